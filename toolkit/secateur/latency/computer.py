"""The story of ``secateur calibrate``: a target's latency model, fitted to the device in hand.

computer: probe networks in every dtype → timed on the device → seconds of each term → tried on networks held out
         → the same on several threads → a target file that stands by itself and that every command takes

Microcontrollers: see ``latency.board``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from secateur.device.timing import Effort, Link, Timed, time_models
from secateur.errors import SecateurError
from secateur.export.litert import drawn_inputs
from secateur.export.quantize import RECIPES, convert
from secateur.export.read import read_tflite
from secateur.latency.probes import FITTED, HELD_OUT, probe_model
from secateur.pipeline import Share
from secateur.target.computer import Computer, DtypeLatency
from secateur.target.work import TERMS, Work, work_of

EFFORT = Effort(half_width=0.01, warmup_s=0.05, max_s=2.0)

MOST_THREADS = 4
"""Threads are fitted at the device's cores, or so many."""

_ROUNDS, _LEAST_ERROR = 40, 0.03
_MARGIN = 1.25
"""The stated interval is that of the errors on held-out networks, and a quarter more: they are few."""
_BEYOND = 2.0
"""The interval for other sizes, over that."""


@dataclass(frozen=True)
class Errors:
    """Relative errors of predictions for networks that were not fitted to.

    Attributes:
        median, p90, largest: of their absolute values.
    """

    median: float
    p90: float
    largest: float


@dataclass(frozen=True)
class Threads:
    """What several threads did to the probes.

    Attributes:
        threads: of each call.
        quicker: how many of the probes were quicker than on one thread.
        probes: of how many.
        speed: one thread's time over theirs, of the probe that gained most.
        slower_macs: multiply-accumulates of the largest probe that was slower; 0 where none was.
        after: errors of the predicted latency on the probes that were held out.
    """

    threads: int
    quicker: int
    probes: int
    speed: float
    slower_macs: int
    after: Errors


@dataclass(frozen=True, eq=False)
class Calibrated:
    """One dtype: its model, and how well networks held out were predicted by the target before and after."""

    dtype: str
    model: DtypeLatency
    before: Errors
    after: Errors
    threads: Threads | None = None


def calibrate_computer(
    target: Computer, link: Link, dtypes: Sequence[str], share: Share
) -> tuple[Computer, tuple[Calibrated, ...], dict[str, Any]]:
    """Fits every dtype.

    Args:
        target: to start from; its latency model is the one "before".
        link: to the device.
        dtypes: keys of ``RECIPES``.
        share: told of progress.

    Returns:
        The target as the device is; what was found of each dtype; the device's own description.

    Raises:
        SecateurError: the device cannot be reached or was throttled, or lacks something.
    """
    probes = (*FITTED, *HELD_OUT)
    found: list[Calibrated] = []
    machine: dict[str, Any] = {}
    for number, dtype in enumerate(dtypes):
        share(number / len(dtypes), f"{dtype}: probes")
        models = [_stored(probe_model(probe, index), dtype) for index, probe in enumerate(probes)]
        timed = [
            Timed(f"{dtype}:{index}", model, "act", drawn_inputs(model, "act", 16))
            for index, model in enumerate(models)
        ]
        measured = _measured(link, timed, 1, _part(share, number, len(dtypes)))
        machine = {**measured["machine"], "library": measured["models"][0]["library"]}
        machine["library_version"] = measured["models"][0]["library_version"]
        works = [work_of(read_tflite(model)) for model in models]
        seconds = _quiet(measured)
        fitted = _fitted(target, dtype, works, seconds, f"{link.name}, {machine['cpu'] or machine['model']}")
        used = min(machine["cores"] or 1, MOST_THREADS)
        if used > 1:
            share(number / len(dtypes), f"{dtype}: probes on {used} threads")
            several = _quiet(_measured(link, timed, used, _part(share, number, len(dtypes))))
            fitted = _with_threads(fitted, works, seconds, several, used)
        found.append(fitted)
    latency = {**target.latency, **{c.dtype: c.model for c in found}}
    device = {"architecture": machine["architecture"], "cores": machine["cores"], "latency": latency}
    return target.model_copy(update=device), tuple(found), machine


def _measured(link: Link, timed: Sequence[Timed], threads: int, share: Share) -> dict[str, Any]:
    measured = time_models(link, timed, replace(EFFORT, threads=threads), share)
    if measured["throttled"]:
        raise SecateurError(
            "a device is fitted at its full speed", f"{link.name} was throttled", "Cool it and run again."
        )
    return measured


def _quiet(measured: Mapping[str, Any]) -> np.ndarray:
    return np.array([model["invoke"]["quiet_s"] for model in measured["models"]])


def _with_threads(
    fitted: Calibrated, works: Sequence[Work], one: np.ndarray, several: np.ndarray, threads: int
) -> Calibrated:
    """The dtype with what is divided among threads, fitted to the probes' seconds on one and on several."""
    count, rates = len(FITTED), fitted.model.seconds
    divided = np.array(
        [sum(rates[t] * a for t, a in w.amounts().items() if t not in ("call", "operator")) for w in works]
    )
    operators = np.array([float(work.operators) for work in works])
    parallel, fork_s = fit_threads(
        np.minimum(divided, one)[:count], operators[:count], one[:count], several[:count], threads
    )
    model = fitted.model.model_copy(
        update={"parallel": float(f"{parallel:.3g}"), "fork_s": float(f"{fork_s:.4g}")}
    )
    total = divided + np.array([rates["call"] + rates["operator"] * work.operators for work in works])
    predicted = total - parallel * divided * (1 - 1 / threads) + fork_s * operators
    slower = [work.macs for work, a, b in zip(works, one, several) if b > a]
    found = Threads(
        threads=threads,
        quicker=int((several < one).sum()),
        probes=len(works),
        speed=float((one / several).max()),
        slower_macs=max(slower, default=0),
        after=errors_of(predicted[count:] / several[count:]),
    )
    return replace(fitted, model=model, threads=found)


def fit_threads(
    divided: np.ndarray, operators: np.ndarray, one: np.ndarray, several: np.ndarray, threads: int
) -> tuple[float, float]:
    """Share of the work that threads divide, and seconds of each operator for dividing it.

    Least squares of relative errors of ``one - parallel * divided * (1 - 1 / threads) + fork_s * operators``.

    Args:
        divided: ``[probes]``, seconds on one thread that could be divided.
        operators: ``[probes]``, how many.
        one: ``[probes]``, measured seconds on one thread.
        several: ``[probes]``, the same on ``threads``.
        threads: two or more.
    """
    from scipy.optimize import lsq_linear

    scale = float(one.min())
    terms = np.stack([-divided * (1 - 1 / threads), operators * scale], axis=1) / several[:, None]
    parallel, fork = lsq_linear(terms, (several - one) / several, bounds=([0, 0], [1, np.inf])).x
    return float(parallel), float(fork * scale)


def _part(share: Share, number: int, of: int) -> Share:
    """Progress of one of several equal parts."""
    return lambda done, note: share((number + done) / of, note)


def drawn_samples(model: bytes, count: int) -> dict[str, np.ndarray]:
    """What a probe is quantised on, name → ``[count, ...]``."""
    drawn = drawn_inputs(model, "act", count)
    return {name: array.reshape(len(array), *array.shape[2:]) for name, array in drawn.items()}


def _stored(model: bytes, dtype: str) -> bytes:
    return convert(model, dtype, {"act": drawn_samples(model, 16)})


def _fitted(
    target: Computer, dtype: str, works: Sequence[Work], seconds: np.ndarray, where: str
) -> Calibrated:
    terms = np.array([[work.amounts()[term] for term in TERMS] for work in works])
    count = len(FITTED)
    rates = fit_relative(terms[:count], seconds[:count])
    ratio = seconds[count:] / (terms[count:] @ rates)
    after = errors_of(1 / ratio)
    old = (
        np.array([target.middle_s(work, dtype) for work in works[count:]])
        if dtype in target.latency
        else None
    )
    before = errors_of(old / seconds[count:]) if old is not None else Errors(np.inf, np.inf, np.inf)
    macs = [float(work.macs) for work in works]
    low, high = interval_of(ratio)
    model = DtypeLatency(
        seconds={term: float(f"{rate:.4g}") for term, rate in zip(TERMS, rates)},
        parallel=target.latency[dtype].parallel if dtype in target.latency else 0.0,
        macs_low=min(macs),
        macs_high=max(macs),
        low=round(low, 3),
        high=round(high, 3),
        beyond_low=round(low / _BEYOND, 3),
        beyond_high=round(high * _BEYOND, 3),
        points=count,
        median_error=round(after.median, 4),
        source=f"fitted by secateur calibrate to {count} probe networks on {where}, one thread;"
        f" held out {len(works) - count}: median error {after.median:.1%}, 90th percentile {after.p90:.1%}",
    )
    return Calibrated(dtype, model, before, after)


def fit_relative(terms: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Cost of each term, none negative, by which ``terms @ costs`` comes closest to ``measured``.

    Close is the sum of the relative errors' absolute values, by least squares with weights, so that one odd probe does
    not bend all costs.

    Args:
        terms: ``[probes, terms]``.
        measured: ``[probes]``, above zero.
    """
    from scipy.optimize import nnls

    scale = np.where(terms.max(axis=0) > 0, terms.max(axis=0), 1.0)
    relative, weights = terms / scale / measured[:, None], np.ones(len(measured))
    costs = np.zeros(terms.shape[1])
    for _ in range(_ROUNDS):
        costs, _ = nnls(relative * weights[:, None], weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ costs - 1), _LEAST_ERROR))
    return costs / scale


def interval_of(ratios: np.ndarray) -> tuple[float, float]:
    """The stated interval, as factors of a prediction, from measurements over predictions."""
    return min(1.0, float(ratios.min()) / _MARGIN), max(1.0, float(ratios.max()) * _MARGIN)


def errors_of(ratios: np.ndarray) -> Errors:
    """Of predictions over measurements."""
    off = np.abs(ratios - 1)
    return Errors(float(np.median(off)), float(np.quantile(off, 0.9)), float(off.max()))


def computer_toml(target: Computer, machine: Mapping[str, Any], command: str) -> str:
    """A target file that stands by itself."""
    lines = [
        written_by(command),
        f"description = {toml_text(f'{target.description}; latency fitted to a device')}",
        f"source = {toml_text(target.source)}",
        f"core = {toml_text(target.core if target.architecture == 'aarch64' else str(machine['cpu']))}",
        f"architecture = {toml_text(target.architecture)}",
        f"cores = {target.cores}",
        f"clock_hz = {target.clock_hz}",
        f"ram_bytes = {target.ram_bytes}",
        f"network_share = {target.network_share}",
        'runtime = "litert"',
        f"threads = {min(target.threads, target.cores)}",
        "validity = "
        + toml_text(
            f"fitted to {machine['cpu'] or machine['model']} with {machine['library']} {machine['library_version']}, "
            "dense and convolutional networks"
        ),
    ]
    for dtype, model in target.latency.items():
        lines += ["", f"[latency.{dtype}]"]
        for key, value in model.model_dump(warnings=False).items():
            if key == "seconds":
                lines.append(f"seconds = {{ {', '.join(f'{t} = {s}' for t, s in value.items())} }}")
            elif value is not None:
                lines.append(f"{key} = {toml_text(value) if isinstance(value, str) else value}")
    return "\n".join(lines) + "\n"


def toml_text(value: str) -> str:
    """A basic string of TOML, whatever is in it: those of JSON are, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def written_by(command: str) -> str:
    """The comment that a target file begins with."""
    return "# Written by: " + re.sub(r"[\x00-\x1f\x7f]+", " ", command)


def known_dtypes(wanted: Sequence[str]) -> tuple[str, ...]:
    """All of them where none is named; each once, in the table's order.

    Raises:
        SecateurError: one that is none.
    """
    wrong = [dtype for dtype in wanted if dtype not in RECIPES]
    if wrong:
        raise SecateurError("a dtype is one of those", f"got {wrong[0]!r}", f"Choose {', '.join(RECIPES)}.")
    return tuple(dtype for dtype in RECIPES if not wanted or dtype in wanted)
