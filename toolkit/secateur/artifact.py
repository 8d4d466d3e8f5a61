"""What ``export`` and ``bench`` work on: a policy, a finished run or any .tflite, brought to one form."""

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from secateur.errors import SecateurError
from secateur.export.c.names import identifier
from secateur.export.read import read_tflite
from secateur.network import Network
from secateur.runfolder import control_rate, read_finished
from secateur.target.target import Target

if TYPE_CHECKING:
    from secateur.verify.golden import Golden

CALIBRATION_EPISODES, CALIBRATION_STATES = 16, 512
"""Episodes that a policy is calibrated on, and how many of their states are taken, evenly."""

Share = Callable[[float, str], None]
"""Told how much of a conversion is done, as a share, and a note."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A deployable network.

    Attributes:
        source: as it was asked for.
        name: a C identifier.
        models: file name → .tflite.
        deployed: the one of ``models`` that a board runs; None where there is only a float model of a policy
            that cannot be calibrated.
        golden: vectors of a run; None for anything else.
        note: what the reader of the artifact should know about its making.
        control_hz: rate of the task; None where there is none, or it is not known.
    """

    source: str
    name: str
    models: Mapping[str, bytes]
    deployed: str | None
    golden: "Golden | None" = None
    note: str = ""
    control_hz: float | None = None

    @property
    def model(self) -> bytes:
        """The .tflite that a board runs.

        Raises:
            SecateurError: there is none.
        """
        if self.deployed is None:
            raise SecateurError(
                "a board runs a quantised model, which takes inputs to calibrate on",
                f"{self.source} has no task to roll out",
                "Add task() to its policy.py, or export --format tflite and quantise it elsewhere.",
            )
        return self.models[self.deployed]

    @property
    def network(self) -> Network:
        """The model as read."""
        return read_tflite(self.model)

    @property
    def hash(self) -> str:
        """sha256 of the model, in hexadecimal."""
        return sha256(self.model).hexdigest()


def open_artifact(source: str, target: Target, seed: int, share: Share) -> Artifact:
    """A policy, a run's folder or a .tflite, told apart by what is there.

    Args:
        source: path of a .tflite; folder of a finished run; or a policy as ``policy.load`` takes it.
        target: the board whose emulated core a policy's int8 model is tried on.
        seed: of the episodes that a policy is calibrated on.
        share: told of progress.

    Raises:
        SecateurError: none of them, or damaged, or changed since it was written.
    """
    path = Path(source)
    if _is_file(path):
        return _from_file(path)
    return _from_run(path) if _is_run(path) else _from_policy(source, target, seed, share)


def open_model(source: str) -> Artifact:
    """A run's folder or a .tflite, and nothing that would have to be converted first."""
    path = Path(source)
    if _is_file(path):
        return _from_file(path)
    if _is_run(path):
        return _from_run(path)
    raise SecateurError(
        "bench takes a finished run or a .tflite",
        f"got {source!r}",
        f"Convert a policy first: secateur export {source} --format tflite.",
    )


def _is_file(path: Path) -> bool:
    return path.suffix == ".tflite" or path.is_file()


def _is_run(path: Path) -> bool:
    return path.is_dir() and not (path / "policy.py").is_file()


def symbol_name(text: str) -> str:
    """A C identifier that can be the prefix of a network's symbols."""
    name = identifier(text)
    return name if re.match(r"[a-z]", name) and not name.startswith("secateur") else f"model_{name}"


def _from_file(path: Path) -> Artifact:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SecateurError(
            "a model is a readable .tflite", f"{path}: {error.strerror}", "Correct the path."
        ) from error
    network = read_tflite(data)
    whole = {network.tensors[index].dtype for operator in network.operators for index in operator.outputs}
    kind = next((kind for kind in ("int16", "int8") if kind in whole), "float32")
    file = f"model.{kind}.tflite"
    return Artifact(str(path), symbol_name(path.stem), {file: data}, file)


def _from_run(path: Path) -> Artifact:
    from secateur.verify.golden import load_golden

    summary = read_finished(path)
    names = ("model.int8.tflite", "model.float32.tflite")
    models = {name: (path / name).read_bytes() for name in names if (path / name).is_file()}
    if names[0] not in models:
        raise SecateurError(
            "a run holds model.int8.tflite", f"{path} does not", "Run it again into a new folder."
        )
    golden = load_golden(path / "golden.npz") if (path / "golden.npz").is_file() else None
    name = symbol_name(str(summary["policy"]))
    return Artifact(str(path), name, models, names[0], golden, control_hz=control_rate(path))


def _from_policy(source: str, target: Target, seed: int, share: Share) -> Artifact:
    """Converted, and calibrated where there is a task: in closed loop if the target's emulator runs the policy."""
    from secateur.calibration import calibrate
    from secateur.export.quantize import quantize
    from secateur.export.tflite import to_tflite
    from secateur.policy.load import load
    from secateur.prune.states import evenly, visited_inputs
    from secateur.simulate.controller import torch_controller
    from secateur.simulate.rollout import rollouts

    loaded = load(source)
    converted = to_tflite(loaded.policy)
    models, name = {"model.float32.tflite": converted}, symbol_name(loaded.policy.name)
    if loaded.task is None:
        return Artifact(source, name, models, None)
    seeds = [int(s) for s in np.random.SeedSequence([seed]).generate_state(CALIBRATION_EPISODES)]
    controller, note = torch_controller(loaded.policy, loaded.task), ""
    try:
        with tempfile.TemporaryDirectory() as build:
            quantized = calibrate(loaded.task, target, converted, controller, seeds, Path(build), share)
    except SecateurError as error:
        visited = visited_inputs(loaded.task, rollouts(loaded.task, controller, seeds))
        quantized = quantize(converted, evenly(visited, CALIBRATION_STATES))
        note = f"Calibrated on the float policy's states only, and not tried in closed loop: {error}"
    models["model.int8.tflite"] = quantized
    return Artifact(source, name, models, "model.int8.tflite", note=note, control_hz=loaded.task.control_hz)
