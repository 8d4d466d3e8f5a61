"""Openers of a proof: the original in torch, and the artifact on a device or as the program of a robot."""

import shutil
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from secateur.device.devices import open_device
from secateur.errors import SecateurError
from secateur.job import planning
from secateur.planner.controller import BundleController
from secateur.policy.load import load
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
    """A .tflite on a device, firmware in the loop.

    Attributes:
        original: whose task it does.
        model: path of the .tflite.
        model_sha256: of its content.
        device: as ``device.open_device`` takes it.
        target: board, or the path of its TOML.
        optimise, toolchain: as for ``pipeline.PruneRequest``.
    """

    original: Original
    model: str
    model_sha256: str
    device: str
    target: str
    optimise: str | None = None
    toolchain: str | None = None

    def __call__(self) -> Opened:
        """Builds what the device runs, and starts it."""
        _, task = self.original.loaded()
        folder = Path(tempfile.mkdtemp(prefix="secateur-"))
        try:
            device = open_device(self.device, self.read(), self.board(), folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

        def close() -> None:
            device.close()
            shutil.rmtree(folder, ignore_errors=True)

        return Opened(task, FirmwareController(device, task), close)

    def board(self) -> Target:
        """The target, as its run had it."""
        return compiled_by(optimised(load_target(self.target), self.optimise), self.toolchain)

    def read(self) -> bytes:
        """The .tflite.

        Raises:
            SecateurError: it was changed meanwhile.
        """
        data = Path(self.model).read_bytes()
        if sha256(data).hexdigest() != self.model_sha256:
            raise SecateurError(
                "a model stays as it is while it is proven", f"{self.model} was changed", "Start again."
            )
        return data


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
    """

    original: Original
    folder: str

    def __call__(self) -> Opened:
        """Starts the program."""
        _, task = self.original.loaded()
        return Opened(task, BundleController(Path(self.folder), task))
