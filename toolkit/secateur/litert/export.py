"""The story of ``secateur export`` to a computer.

policy or run → entries that are exported → float .tflite of each file → dtypes → each against torch on LiteRT
             → the dtype asked for, or the quickest that keeps the return (dtype_choice.py) → files and policy.json
"""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur.errors import SecateurError
from secateur.export.flows import Models, parts_storing
from secateur.export.litert import run_signature
from secateur.export.quantize import CALIBRATED, RECIPES, Samples, convert
from secateur.export.tflite import image_inputs, to_signatures
from secateur.litert.dtype_choice import MAX_ERROR, Judge, Time, choose, judge_of
from secateur.litert.source import Calls, Source, file_stem, own_entries
from secateur.pipeline import Share
from secateur.policy.parts import part_names, parts_of
from secateur.policy.policy import Task
from secateur.policy.unroll import fed_back
from secateur.records import Part
from secateur.target.computer import Computer

FLOAT_TOLERANCE = 1e-4
"""Largest error of a float32 file, as a share of the outputs' range: rounding and no more."""

WORST_ERROR = 0.25
"""Error share from which a file is nonsense, whatever was asked for."""

AUTO = "auto"


@dataclass(frozen=True)
class Accuracy:
    """How far a file is from torch on states that it was not calibrated on.

    Attributes:
        rows: calls compared.
        max_abs_error: largest absolute difference of any output.
        error_share: root mean square of the difference over the range of the output, of the worst output.
    """

    rows: int
    max_abs_error: float
    error_share: float


@dataclass(frozen=True, eq=False)
class Exported:
    """One file.

    Attributes:
        file: its name.
        kind: ``whole``, ``component``, ``part`` or ``entries``.
        component: whose file it is; None for the others.
        entries: signatures in it.
        dtype: key of ``RECIPES``.
        model: the .tflite.
        accuracy: by signature.
        candidates: dtype → error, bytes, measured seconds and closed loop of all that were tried, where one was
            chosen; None for what was not looked at.
        period: of a part: control steps from one run to the next.
        late: of a part: control steps after which its output is used.
    """

    file: str
    kind: str
    component: str | None
    entries: tuple[str, ...]
    dtype: str
    model: bytes
    accuracy: Mapping[str, Accuracy]
    candidates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    period: int = 1
    late: int = 0


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        dtype: key of ``RECIPES``, or ``auto``.
        max_error: largest ``error_share`` that ``auto`` may choose; None for ``MAX_ERROR`` where the return does not
            decide, and any sense where it does.
        all_entries: also write every entry as a signature of one file.
        max_return_drop: share of the return that the deployed entry's dtype may lose, where there is a task.
        late: part → control steps after which its output is used; 0 where it is not named.
    """

    dtype: str = "float32"
    max_error: float | None = None
    all_entries: bool = False
    max_return_drop: float = 0.05
    late: Mapping[str, int] = field(default_factory=dict)


def export_files(
    source: Source, target: Computer, wish: Wish, time: Time, share: Share
) -> tuple[Exported, ...]:
    """Every file that is asked for, held against torch.

    Raises:
        SecateurError: a file that cannot be converted, or is not what torch computes; or no dtype is accurate
            enough.
    """
    policy = source.policy
    made = list(_parts(source, target, wish, share))
    parts: list[tuple[str, str, str | None, tuple[str, ...]]] = []
    if not made:
        parts = [(f"{source.name}", "whole", None, (policy.deployed,))]
        own = own_entries(policy).items()
        parts += [(f"{source.name}.{file_stem(c)}", "component", c, (e,)) for c, e in own]
    if wish.all_entries and len(policy.entries) > 1:
        parts.append((f"{source.name}.entries", "entries", None, tuple(e.name for e in policy.entries)))
    calls = source.calls()
    for number, (stem, kind, component, entries) in enumerate(parts):
        share(number / len(parts), stem)
        float_model = to_signatures(policy, entries)
        if wish.dtype == AUTO:
            candidates = {}
            for name in RECIPES:
                with contextlib.suppress(SecateurError):  # a dtype that is none for this policy
                    candidates[name] = _one(source, target, name, float_model, entries, calls)
            judge = _judge(source, target) if kind == "whole" else None
            errors = {d: max(a.error_share for a in found.values()) for d, (_, found) in candidates.items()}
            models = {d: model for d, (model, _) in candidates.items()}
            allowed = (
                (MAX_ERROR if judge is None else WORST_ERROR) if wish.max_error is None else wish.max_error
            )
            dtype, tried = choose(models, errors, allowed, time, stem, judge, wish.max_return_drop)
            model, accuracy = candidates[dtype]
        else:
            dtype, tried = wish.dtype, {}
            model, accuracy = _one(source, target, dtype, float_model, entries, calls)
            _require_sense(accuracy, stem, dtype)
        file = f"{stem}.{dtype}.tflite"
        made.append(Exported(file, kind, component, entries, dtype, model, accuracy, tried))
    return tuple(made)


def _parts(source: Source, target: Computer, wish: Wish, share: Share) -> tuple[Exported, ...]:
    """One file for each part of a policy in several; none for others, or where no task tells the rates.

    Raises:
        SecateurError: a dtype is to be chosen: it is measured of one file; or as ``export_files``.
    """
    if source.task is None or len(part_names(source.policy)) == 1:
        return ()
    policy, dtype = source.policy, wish.dtype
    parts = parts_of(policy, source.task.control_hz)
    if dtype == AUTO:
        raise SecateurError(
            "a dtype is chosen for a policy in one part",
            f"{policy.name} has {', '.join(part.name for part in parts)}",
            f"Name one by --dtype: {', '.join(RECIPES)}.",
        )
    floats = {part.name: to_signatures(policy, (part.name,)) for part in parts}
    calls = source.calls()
    share(0.5, dtype)
    if dtype in CALIBRATED:
        models = _in_closed_loop(source, target, dtype, floats, parts)
    else:
        models = {name: convert(model, dtype, {}) for name, model in floats.items()}
    made = []
    for part in parts:
        stem, model = f"{source.name}.{file_stem(part.name)}", models[part.name]
        accuracy = {part.name: _accuracy(source, part.name, dtype, model, calls)}
        _require_same(accuracy, (part.name,), dtype)
        _require_sense(accuracy, stem, dtype)
        late = wish.late.get(part.name, 0)
        file = f"{stem}.{dtype}.tflite"
        made.append(
            Exported(
                *(file, "part", None, (part.name,), dtype, model, accuracy), period=part.period, late=late
            )
        )
    return tuple(made)


def _accuracy(source: Source, entry: str, dtype: str, model: bytes, calls: Mapping[str, Calls]) -> Accuracy:
    """Of a model's signature, on the odd rows."""
    inputs = _as_taken(source, entry, calls[entry].inputs, slice(1, None, 2))
    wanted = {key: array[1::2] for key, array in calls[entry].outputs.items()}
    return compare(wanted, _run(model, inputs, entry, dtype))


def _require_same(accuracy: Mapping[str, Accuracy], entries: Sequence[str], dtype: str) -> None:
    worst = max(accuracy.values(), key=lambda a: a.error_share)
    if dtype == "float32" and not worst.error_share <= FLOAT_TOLERANCE:
        raise SecateurError(
            "the float .tflite computes what torch does",
            f"{', '.join(entries)}: differs by {worst.max_abs_error:.3g}, {worst.error_share:.2%} of the range",
            "Its entry does something that does not convert: random numbers, or branches on values.",
        )


def _one(
    source: Source,
    target: Computer,
    dtype: str,
    float_model: bytes,
    entries: tuple[str, ...],
    calls: Mapping[str, Calls],
) -> tuple[bytes, dict[str, Accuracy]]:
    """The model in a dtype, calibrated on the even rows and compared on the odd ones."""
    samples = {name: _as_taken(source, name, calls[name].inputs, slice(0, None, 2)) for name in entries}
    ties = [
        (name, output, state)
        for name in entries
        for state, output in fed_back(source.policy, source.policy.entry(name)).items()
    ]
    if dtype in CALIBRATED and source.task is not None and entries == (source.policy.deployed,):
        deployed = source.policy.deployed
        model = _in_closed_loop(source, target, dtype, {deployed: float_model}, (Part(deployed),))[deployed]
    else:
        model = convert(float_model, dtype, samples, ties)
    accuracy = {name: _accuracy(source, name, dtype, model, calls) for name in entries}
    _require_same(accuracy, entries, dtype)
    return model, accuracy


def _require_sense(accuracy: Mapping[str, Accuracy], stem: str, dtype: str) -> None:
    for name, found in accuracy.items():
        if not found.error_share <= WORST_ERROR:
            raise SecateurError(
                "a quantised file computes about what torch does",
                f"{stem}, {name} as {dtype}: {found.error_share:.0%} of the outputs' range off",
                "Take another dtype: int16x8 is the most exact of the integers, float16 of the small ones.",
            )


def _run(model: bytes, inputs: Mapping[str, np.ndarray], entry: str, dtype: str) -> dict[str, np.ndarray]:
    try:
        return run_signature(model, inputs, entry)
    except (RuntimeError, ValueError) as error:
        raise SecateurError(
            "LiteRT runs what was exported",
            f"{entry} as {dtype}: {str(error).strip().splitlines()[-1]}",
            "Take another dtype; int8 and int16x8 need every layer to give more than one value.",
        ) from error


def _in_closed_loop(
    source: Source, target: Computer, dtype: str, models: Models, parts: Sequence[Part]
) -> dict[str, bytes]:
    """Calibrated on what the quantised policy meets too (docs/adr/0005), on LiteRT."""
    from secateur.calibration import calibrate

    assert source.task is not None
    policy = source.policy
    images = {part.name: image_inputs(policy.entry(part.name)) for part in parts}
    store = parts_storing(dtype, parts, fed_back(policy, policy.entry()), named=True)

    def quantizer(models: Models, samples: Mapping[str, Samples]) -> dict[str, bytes]:
        return store(
            models,
            {
                name: {key: np.moveaxis(a, 1, -1) if key in images[name] else a for key, a in arrays.items()}
                for name, arrays in samples.items()
            },
        )

    task = channels_last_task(source)
    with tempfile.TemporaryDirectory() as build:
        return calibrate(
            source.task,
            target,
            models,
            policy,
            source.seeds,
            Path(build),
            lambda *_: None,
            "litert",
            quantizer,
            task,
        )


def _judge(source: Source, target: Computer) -> Judge | None:
    """None where there is no task."""
    from secateur.simulate.controller import torch_controller

    if source.task is None:
        return None
    controller = torch_controller(source.policy, source.task)
    return judge_of(target, source.task, channels_last_task(source), controller, source.seeds)


def channels_last_task(source: Source) -> Task:
    """The task with inputs as the exported file takes them."""
    assert source.task is not None
    entries, to_inputs = map(source.policy.entry, part_names(source.policy)), source.task.to_inputs
    images = frozenset(name for entry in entries for name in image_inputs(entry))
    if not images:
        return source.task

    def taken(observation: Any) -> dict[str, np.ndarray]:
        return {k: np.moveaxis(a, 1, -1) if k in images else a for k, a in to_inputs(observation).items()}

    return replace(source.task, to_inputs=taken)


def _as_taken(
    source: Source, entry: str, inputs: Mapping[str, np.ndarray], rows: slice
) -> dict[str, np.ndarray]:
    """Some rows of inputs, images with channels last."""
    images = image_inputs(source.policy.entry(entry))
    return {n: np.moveaxis(a[rows], 1, -1) if n in images else a[rows] for n, a in inputs.items()}


def compare(wanted: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]) -> Accuracy:
    """How far the outputs ``got`` are from those ``wanted``; name → ``[n, ...]``. NaN counts as infinite."""
    largest = share = 0.0
    for name, array in wanted.items():
        difference = np.abs(array.astype(np.float64) - got[name].reshape(array.shape))
        difference[~np.isfinite(difference)] = np.inf
        span = float(array.max() - array.min()) or max(float(np.abs(array).max()), 1e-12)
        largest = max(largest, float(difference.max()))
        share = max(share, float(np.sqrt(np.mean(difference**2))) / span)
    return Accuracy(len(next(iter(wanted.values()))), largest, share)
