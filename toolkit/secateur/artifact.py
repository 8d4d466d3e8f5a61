"""What ``export`` and ``bench`` work on: a policy, a finished run or any .tflite, brought to one form."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from secateur.errors import SecateurError
from secateur.export.c.names import identifier
from secateur.export.read import MAX_FILE_BYTES, read_tflite
from secateur.network import Network
from secateur.pipeline import Share
from secateur.records import ALONE, Part
from secateur.runfolder import control_rate, read_finished
from secateur.runparts import golden_file, parts_of_run, stems
from secateur.target.target import Target

if TYPE_CHECKING:
    from secateur.verify.golden import Golden

CALIBRATION_EPISODES, CALIBRATION_STATES = 16, 512
"""Episodes that a policy is calibrated on, and how many of their states are taken, evenly."""


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
        part: of a policy in several parts, which one this is.
    """

    source: str
    name: str
    models: Mapping[str, bytes]
    deployed: str | None
    golden: "Golden | None" = None
    note: str = ""
    control_hz: float | None = None
    part: Part = ALONE[0]

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


def open_artifacts(
    source: str, target: Target, seed: int, share: Share, dtype: str | None = None
) -> tuple[Artifact, ...]:
    """A policy, a run's folder or a .tflite, told apart by what is there; one for each part of a policy.

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
    if not _is_file(path) and not is_run(path):
        return _from_policy(source, target, seed, share, dtype or target.dtype)
    artifacts = (_from_file(path),) if _is_file(path) else _from_run(path)
    if dtype is None:
        return artifacts
    stored = "int16" if dtype == "int16x8" and _is_file(path) else dtype
    return tuple(_as(artifact, source, dtype, stored) for artifact in artifacts)


def _as(artifact: Artifact, source: str, dtype: str, stored: str) -> Artifact:
    """The artifact with the model of another type deployed."""
    assert artifact.deployed is not None
    file = f"{artifact.deployed.split('.')[0]}.{stored}.tflite"
    if file == artifact.deployed:
        return artifact
    if file not in artifact.models:
        raise SecateurError(
            "a converted model is exported in a type that it was stored in",
            f"{source} has {', '.join(artifact.models)}, {dtype} was asked for",
            "Export the policy itself, which is converted to the type that is asked for.",
        )
    return replace(artifact, deployed=file, golden=None)


def open_models(source: str) -> tuple[Artifact, ...]:
    """A run's folder, part by part, or a .tflite, and nothing that would have to be converted first."""
    path = Path(source)
    if _is_file(path):
        return (_from_file(path),)
    if is_run(path):
        return _from_run(path)
    raise SecateurError(
        "bench takes a finished run or a .tflite",
        f"got {source!r}",
        f"Convert a policy first: secateur export {source} --format tflite.",
    )


def _is_file(path: Path) -> bool:
    return path.suffix == ".tflite" or path.is_file()


def is_run(path: Path) -> bool:
    """Whether a folder is one of results, a run's or an exported one, rather than that of a policy."""
    return path.is_dir() and not (path / "policy.py").is_file()


def symbol_name(text: str) -> str:
    """A C identifier that can be the prefix of a network's symbols."""
    name = identifier(text)
    return name if re.match(r"[a-z]", name) and not name.startswith("secateur") else f"model_{name}"


def _from_file(path: Path) -> Artifact:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise OSError(0, f"it has more than {MAX_FILE_BYTES:,} bytes")
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


def _from_run(path: Path) -> tuple[Artifact, ...]:
    from secateur.verify.golden import load_golden

    summary = read_finished(path)
    name, rate, parts = symbol_name(str(summary["policy"])), control_rate(path), parts_of_run(path)
    found = []
    for part, stem in zip(parts, stems(parts).values()):
        names = (f"{stem}.int8.tflite", f"{stem}.float32.tflite")
        models = {name: (path / name).read_bytes() for name in names if (path / name).is_file()}
        if names[0] not in models:
            raise SecateurError(
                f"a run holds {names[0]}", f"{path} does not", "Run it again into a new folder."
            )
        vectors = path / golden_file(stem)
        golden = load_golden(vectors) if vectors.is_file() else None
        found.append(Artifact(str(path), name, models, names[0], golden, control_hz=rate, part=part))
    return tuple(found)


def _from_policy(source: str, target: Target, seed: int, share: Share, dtype: str) -> tuple[Artifact, ...]:
    """Converted, and calibrated where there is a task: in closed loop if the target's emulator runs the policy."""
    from secateur.calibration import calibrate
    from secateur.export.flows import parts_storing
    from secateur.export.states import mark_states
    from secateur.export.tflite import to_tflite
    from secateur.policy.load import load
    from secateur.policy.parts import part_names, parts_of
    from secateur.policy.unroll import fed_back
    from secateur.prune.states import met_inputs, samples_of_parts
    from secateur.simulate.controller import torch_controller
    from secateur.simulate.rollout import rollouts

    loaded = load(source)
    task, policy, note = loaded.task, loaded.policy, ""
    rate = task.control_hz if task else None
    parts = parts_of(policy, rate) if rate else tuple(Part(name) for name in part_names(policy)[-1:])
    converted = {part.name: to_tflite(policy, part.name) for part in parts}
    states, quantized = fed_back(policy, policy.entry()), dict[str, bytes]()
    if task is not None and dtype != "float32":
        seeds = [int(s) for s in np.random.SeedSequence([seed]).generate_state(CALIBRATION_EPISODES)]
        quantizer = parts_storing(dtype, parts, states)
        try:
            with tempfile.TemporaryDirectory() as build:
                folder = Path(build)
                quantized = calibrate(
                    task, target, converted, policy, seeds, folder, share, quantizer=quantizer
                )
        except SecateurError as error:
            met = met_inputs(task, rollouts(task, torch_controller(policy, task), seeds), policy)
            quantized = quantizer(converted, samples_of_parts(policy, met, CALIBRATION_STATES))
            note = f"Calibrated on the float policy's states only, and not tried in closed loop: {error}"
    found = []
    for part, stem in zip(parts, stems(parts).values()):
        plain, file = f"{stem}.float32.tflite", f"{stem}.{dtype}.tflite"
        models = {plain: mark_states(converted[part.name], states)}
        models |= {file: quantized[part.name]} if quantized else {}
        deployed = file if file in models else None
        name = symbol_name(policy.name)
        found.append(Artifact(source, name, models, deployed, note=note, control_hz=rate, part=part))
    return tuple(found)
