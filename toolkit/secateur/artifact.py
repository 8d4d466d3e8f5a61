"""What ``export`` and ``bench`` work on: a policy, a finished run or any .tflite, brought to one form."""

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
                "Add task() to its policy.py, or export it with --dtype float32.",
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


BOARD_DTYPES = ("int8", "int16x8", "float32")
"""Types that a microcontroller's model can be made in: of weights and activations; int8 weights, int16 activations."""


def open_artifact(source: str, target: Target, seed: int, share: Share, dtype: str | None = None) -> Artifact:
    """A policy, a run's folder or a .tflite, told apart by what is there.

    Args:
        source: path of a .tflite; folder of a finished run; or a policy as ``policy.load`` takes it.
        target: the board whose emulated core a policy's quantised model is tried on.
        seed: of the episodes that a policy is calibrated on.
        share: told of progress.
        dtype: one of ``BOARD_DTYPES``; by default the target's, or what a .tflite is.

    Raises:
        SecateurError: none of them, or damaged, or changed since it was written; or not to be had in that type.
    """
    path = Path(source)
    if not _is_file(path) and not _is_run(path):
        return _from_policy(source, target, seed, share, dtype or target.dtype)
    artifact = _from_file(path) if _is_file(path) else _from_run(path)
    file = f"model.{'int16' if dtype == 'int16x8' and _is_file(path) else dtype}.tflite"
    if dtype is None or file == artifact.deployed:
        return artifact
    if file not in artifact.models:
        raise SecateurError(
            "a converted model is exported in a type that it was stored in",
            f"{source} has {', '.join(artifact.models)}, {dtype} was asked for",
            "Export the policy itself, which is converted to the type that is asked for.",
        )
    return replace(artifact, deployed=file, golden=None)


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


def _from_policy(source: str, target: Target, seed: int, share: Share, dtype: str) -> Artifact:
    """Converted, and calibrated where there is a task: in closed loop if the target's emulator runs the policy."""
    from secateur.calibration import calibrate
    from secateur.export.flows import parts_storing
    from secateur.export.states import mark_states
    from secateur.export.tflite import to_tflite
    from secateur.policy.load import load
    from secateur.policy.parts import parts_of
    from secateur.policy.unroll import fed_back
    from secateur.prune.states import evenly, met_inputs
    from secateur.simulate.controller import torch_controller
    from secateur.simulate.rollout import rollouts

    loaded = load(source)
    converted = to_tflite(loaded.policy)
    states = fed_back(loaded.policy, loaded.policy.entry())
    plain = "model.float32.tflite"
    models, name = {plain: mark_states(converted, states)}, symbol_name(loaded.policy.name)
    if loaded.task is None or dtype == "float32":
        rate = loaded.task.control_hz if loaded.task else None
        return Artifact(source, name, models, plain if dtype == "float32" else None, control_hz=rate)

    task = loaded.task
    seeds = [int(s) for s in np.random.SeedSequence([seed]).generate_state(CALIBRATION_EPISODES)]
    (part,) = parts_of(loaded.policy, task.control_hz)
    quantizer, note = parts_storing(dtype, (part,), states), ""
    try:
        with tempfile.TemporaryDirectory() as build:
            folder = Path(build)
            quantized = calibrate(
                task,
                target,
                {part.name: converted},
                loaded.policy,
                seeds,
                folder,
                share,
                quantizer=quantizer,
            )
    except SecateurError as error:
        rolled = rollouts(task, torch_controller(loaded.policy, task), seeds)
        met = met_inputs(task, rolled, loaded.policy)
        quantized = quantizer({part.name: converted}, {part.name: evenly(met, CALIBRATION_STATES)})
        note = f"Calibrated on the float policy's states only, and not tried in closed loop: {error}"
    models[f"model.{dtype}.tflite"] = quantized[part.name]
    rate = loaded.task.control_hz
    return Artifact(source, name, models, f"model.{dtype}.tflite", note=note, control_hz=rate)
