"""Openers: the original in torch, and the artifact on a device or as the program of a robot."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from secateur.device.devices import SERIAL, open_devices
from secateur.errors import SecateurError
from secateur.job import Job, planning, target_hash, weights_hash
from secateur.planner.controller import BundleController
from secateur.planner.settings import with_settings
from secateur.policy.load import Loaded, absolute, load
from secateur.policy.parts import parts_of
from secateur.policy.planning import PLAN, PlannerSettings
from secateur.policy.policy import Policy, Task
from secateur.policy.weights import load_weights, save_all_buffers
from secateur.prune.analyse import analyse
from secateur.prune.surgery import rebuild
from secateur.runfolder import widths_of
from secateur.shipped import absolute_target
from secateur.simulate.controller import acting
from secateur.simulate.dry_run import acted_on
from secateur.simulate.parallel import Given, Opened, Opener
from secateur.simulate.planner import policy_controller
from secateur.target.target import Target, compiled_by, load_target, optimised
from secateur.verify.firmware import FirmwareController
from secateur.verify.swapped import with_int8
from secateur.workers import Workers


@dataclass(frozen=True)
class Original:
    """The original in torch: by its deployed entry, by another, or planning.

    Attributes:
        reference: as ``policy.load`` takes it.
        entry: in place of the deployed one.
        settings: of its planner, in place of its own.
        weights_sha256, code_sha256: that it must have, wherever it is loaded; None for any.
    """

    reference: str
    entry: str | None = None
    settings: PlannerSettings | None = None
    weights_sha256: str | None = None
    code_sha256: str | None = None
    travels = True

    def __call__(self) -> Opened:
        """Loads it."""
        policy, task = self.loaded()
        return Opened(task, policy_controller(policy, task))

    def loaded(self) -> tuple[Policy, Task]:
        """Policy and task.

        Raises:
            SecateurError: there is no task; or it is not what it was.
        """
        return self.of(load(self.reference))

    def of(self, loaded: Loaded) -> tuple[Policy, Task]:
        """The same, of what ``policy.load`` gave."""
        if loaded.task is None:
            raise SecateurError(
                "a policy is proven at its task",
                f"{self.reference} has no task()",
                "Add task() to its policy.py.",
            )
        for what, wanted, found in (
            ("weights", self.weights_sha256, weights_hash(loaded.policy)),
            ("code", self.code_sha256, loaded.code_sha256),
        ):
            if wanted not in (None, found):
                raise SecateurError(
                    "every process loads the same policy, and it stays as it is",
                    f"{self.reference} has other {what} there, or has now",
                    "Put its files back, or share them among all machines.",
                )
        policy = loaded.policy
        if self.entry is not None:
            policy = planning(policy) if self.entry == PLAN else replace(policy, deployed=self.entry)
        return (policy if self.settings is None else with_settings(policy, self.settings)), loaded.task


def original_of(job: Job, workers: Workers | None) -> Opener:
    """The job's original: as it is loaded here, or how workers load the same."""
    if workers is None:
        return Given(job.task, policy_controller(job.policy, job.task))
    return described(job)


def described(job: Job) -> Original:
    """How another process loads the job's original."""
    return Original(
        absolute(job.request.policy),
        job.policy.deployed,
        None if job.policy.planning is None else job.policy.planning.settings,
        job.identity["weights_sha256"],
        job.identity["code_sha256"],
    )


@dataclass(frozen=True)
class FixedFile:
    """A file that stays as it is while it is used, in whichever process.

    Attributes:
        path: absolute.
        sha256: of its content.
    """

    path: str
    sha256: str

    def read(self) -> bytes:
        """Its content.

        Raises:
            SecateurError: it was changed meanwhile, or is not seen from here.
        """
        content = _content(Path(self.path))
        if sha256(content).hexdigest() != self.sha256:
            raise SecateurError(
                "what is run stays as it is meanwhile", f"{self.path} was changed", "Start again."
            )
        return content

    def checked(self) -> Path:
        """Where it is. Raises SecateurError as ``read`` does."""
        self.read()
        return Path(self.path)


def fixed_file(path: Path) -> FixedFile:
    """A file as it is now. Raises SecateurError where it cannot be read."""
    return FixedFile(str(path.absolute()), sha256(_content(path)).hexdigest())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SecateurError(
            "every process sees the files of what it runs",
            f"{path}: {error.strerror}",
            "Run it again where one is missing; share their folder where there are several machines.",
        ) from error


@dataclass(frozen=True)
class OnDevice:
    """The .tflite files of a policy on a device, firmware in the loop.

    Attributes:
        original: whose task it does.
        models: of each part of the policy its name and its .tflite.
        device: as ``device.open_device`` takes it.
        target: board, or the path of its TOML.
        optimise, toolchain: as for ``pipeline.PruneRequest``.
        late: part and control periods until others see its output; see ``simulate.Holding``.
        target_sha256: of the board, wherever it is read; None for any.
    """

    original: Original
    models: tuple[tuple[str, FixedFile], ...]
    device: str
    target: str
    optimise: str | None = None
    toolchain: str | None = None
    late: tuple[tuple[str, int], ...] = ()
    target_sha256: str | None = None

    @property
    def travels(self) -> bool:
        """Whether other processes can have such a device too."""
        return not self.device.startswith(SERIAL)

    def __call__(self) -> Opened:
        """Builds what the device runs, and starts it."""
        policy, task = self.original.loaded()
        parts = parts_of(policy, task.control_hz)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="secateur-")))
            models = {part: model.read() for part, model in self.models}
            devices = stack.enter_context(open_devices(self.device, models, parts, self.board(), folder))
            controller = FirmwareController(devices, task, parts, dict(self.late))
            return Opened(task, controller, stack.pop_all().close)

    def board(self) -> Target:
        """The target, as its run had it.

        Raises:
            SecateurError: it is another one.
        """
        board = compiled_by(optimised(load_target(self.target), self.optimise), self.toolchain)
        if self.target_sha256 not in (None, target_hash(board)):
            raise SecateurError(
                "every process reads the same target, and it stays as it is",
                f"{self.target} is another one there, or is now",
                "Put its file back, or share it among all machines.",
            )
        return board


@dataclass(frozen=True)
class Reweighted:
    """The original's architecture with other weights of the same shapes.

    Attributes:
        original: whose architecture it is.
        weights: a .safetensors of these, and of all buffers.
    """

    original: Original
    weights: FixedFile
    travels = True

    def __call__(self) -> Opened:
        """Loads it."""
        policy, task = self.original.loaded()
        save_all_buffers(policy.module)
        load_weights(policy.module, self.weights.checked())
        return Opened(task, policy_controller(policy, task))


@dataclass(frozen=True)
class Recovered:
    """The original cut to widths, with the weights that it recovered to.

    Attributes:
        original: that was cut.
        widths: its widths.json.
        weights: a .safetensors.
    """

    original: Original
    widths: FixedFile
    weights: FixedFile
    travels = True

    def __call__(self) -> Opened:
        """Rebuilds it."""
        policy, task = self.original.loaded()
        graph = analyse(policy, acted_on(policy, task))
        small = rebuild(policy, graph, widths_of(self.widths.checked().parent))
        load_weights(small.module, self.weights.checked())
        return Opened(task, policy_controller(small, task))


def recovered_of(job: Job, policy: Policy, widths: Path, weights: Path, workers: Workers | None) -> Opener:
    """A job's pruned policy: as it is here, or how workers rebuild the same from its files."""
    if workers is None:
        return Given(job.task, policy_controller(policy, job.task))
    return Recovered(described(job), fixed_file(widths / "widths.json"), fixed_file(weights))


@dataclass(frozen=True)
class InInt8:
    """The original with some components computing in int8.

    Attributes:
        original: in torch.
        components: that do.
        visited: an .npz with inputs of the deployed entry, over which scales are fixed.
    """

    original: Original
    components: tuple[str, ...]
    visited: FixedFile
    travels = True

    def __call__(self) -> Opened:
        """Loads it."""
        policy, task = self.original.loaded()
        with np.load(self.visited.checked(), allow_pickle=False) as archive:
            visited = {name: torch.from_numpy(archive[name]) for name in archive.files}
        with acting(policy.module):
            policy = with_int8(policy, self.components, visited)
        return Opened(task, policy_controller(policy, task))


@dataclass(frozen=True)
class Bundled:
    """The program that runs on a robot's computer, with LiteRT on this machine.

    Attributes:
        original: whose task it does.
        folder: of the bundle.
        target: the computer that it is for, or the path of its TOML.
        files: of the bundle.
    """

    original: Original
    folder: str
    target: str
    files: tuple[FixedFile, ...] = ()
    travels = True

    def __call__(self) -> Opened:
        """Starts the program."""
        _, task = self.original.loaded()
        for file in self.files:
            file.checked()
        return Opened(task, BundleController(Path(self.folder), task))


def bundled(original: Original, folder: Path, target: str) -> Bundled:
    """A bundle as it is now."""
    files = tuple(fixed_file(path) for path in sorted(folder.iterdir()) if path.is_file())
    return Bundled(original, str(folder.absolute()), target, files)


def named(models: Mapping[str, Path]) -> tuple[tuple[str, FixedFile], ...]:
    """Of each part its name and its .tflite, as it is now."""
    return tuple((part, fixed_file(path)) for part, path in models.items())


def on_emulator(job: Job, models: Mapping[str, Path], late: Mapping[str, int]) -> OnDevice:
    """The .tflite files of a job's policy on its board's emulated core.

    Args:
        job: whose board it is.
        models: part → its .tflite.
        late: as of ``OnDevice``.
    """
    request = job.request
    return OnDevice(
        described(job),
        named(models),
        "emulator",
        absolute_target(request.target),
        request.optimise,
        request.toolchain,
        tuple(late.items()),
        job.identity["target_sha256"],
    )
