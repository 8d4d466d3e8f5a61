"""Openers of a proof: the original in torch, and the artifact on a device or as the program of a robot."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from secateur.device.devices import open_devices
from secateur.errors import SecateurError
from secateur.job import planning
from secateur.planner.controller import BundleController
from secateur.policy.load import load
from secateur.policy.parts import parts_of
from secateur.policy.policy import Policy, Task
from secateur.policy.weights import load_weights
from secateur.simulate.controller import acting
from secateur.simulate.parallel import Opened
from secateur.simulate.planner import policy_controller
from secateur.target.target import Target, compiled_by, load_target, optimised
from secateur.verify.firmware import FirmwareController
from secateur.verify.swapped import with_int8


@dataclass(frozen=True)
class Original:
    """The original in torch: by its deployed entry, or planning.

    Attributes:
        reference: as ``policy.load`` takes it.
        plans: whether the planner moves the robot.
    """

    reference: str
    plans: bool = False

    def __call__(self) -> Opened:
        """Loads it."""
        policy, task = self.loaded()
        return Opened(task, policy_controller(policy, task))

    def loaded(self) -> tuple[Policy, Task]:
        """Policy and task.

        Raises:
            SecateurError: there is no task.
        """
        loaded = load(self.reference)
        if loaded.task is None:
            raise SecateurError(
                "a policy is proven at its task",
                f"{self.reference} has no task()",
                "Add task() to its policy.py.",
            )
        return (planning(loaded.policy) if self.plans else loaded.policy), loaded.task


@dataclass(frozen=True)
class OnDevice:
    """The .tflite files of a policy on a device, firmware in the loop.

    Attributes:
        original: whose task it does.
        models: of each part of the policy its name, the path of its .tflite and the sha256 of that.
        device: as ``device.open_device`` takes it.
        target: board, or the path of its TOML.
        optimise, toolchain: as for ``pipeline.PruneRequest``.
        late: part and control periods until others see its output; see ``simulate.Holding``.
    """

    original: Original
    models: tuple[tuple[str, str, str], ...]
    device: str
    target: str
    optimise: str | None = None
    toolchain: str | None = None
    late: tuple[tuple[str, int], ...] = ()

    def __call__(self) -> Opened:
        """Builds what the device runs, and starts it."""
        policy, task = self.original.loaded()
        parts = parts_of(policy, task.control_hz)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="secateur-")))
            devices = stack.enter_context(open_devices(self.device, self.read(), parts, self.board(), folder))
            controller = FirmwareController(devices, task, parts, dict(self.late))
            return Opened(task, controller, stack.pop_all().close)

    def board(self) -> Target:
        """The target, as its run had it."""
        return compiled_by(optimised(load_target(self.target), self.optimise), self.toolchain)

    def read(self) -> dict[str, bytes]:
        """Part → its .tflite.

        Raises:
            SecateurError: one was changed meanwhile.
        """
        found = {}
        for part, path, wanted in self.models:
            found[part] = Path(path).read_bytes()
            if sha256(found[part]).hexdigest() != wanted:
                raise SecateurError(
                    "a model stays as it is while it is proven", f"{path} was changed", "Start again."
                )
        return found


@dataclass(frozen=True)
class Reweighted:
    """The original's architecture with other weights of the same shapes.

    Attributes:
        original: whose architecture it is.
        weights: path of a .safetensors.
    """

    original: Original
    weights: str

    def __call__(self) -> Opened:
        """Loads it."""
        policy, task = self.original.loaded()
        load_weights(policy.module, Path(self.weights))
        return Opened(task, policy_controller(policy, task))


@dataclass(frozen=True)
class InInt8:
    """The original with some components computing in int8.

    Attributes:
        original: in torch.
        components: that do.
        visited: path of an .npz with inputs of the deployed entry, over which scales are fixed.
    """

    original: Original
    components: tuple[str, ...]
    visited: str

    def __call__(self) -> Opened:
        """Loads it."""
        policy, task = self.original.loaded()
        with np.load(self.visited, allow_pickle=False) as archive:
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
    """

    original: Original
    folder: str
    target: str

    def __call__(self) -> Opened:
        """Starts the program."""
        _, task = self.original.loaded()
        return Opened(task, BundleController(Path(self.folder), task))
