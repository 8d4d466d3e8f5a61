"""Fit the latency models of Raspberry Pi boards to published latencies; state the error on those left out.

    python bench/fit_published.py            prints the tables of every board
    python bench/fit_published.py --write    writes them into targets/
    python bench/fit_published.py --check    exit code 1 where targets/ says something else

Latency = call + operators + (multiply-accumulates · time of one + bytes · time of one) · (1 − p + p / threads).
The rates are least squares of the relative error over ``bench/data/pi_latency.csv``, none negative, with one time of
a byte for both dtypes; p comes from how latency falls with threads. What nobody has published is derived from the
nearest thing that somebody has, and its interval says so. Deterministic; takes a second.
"""

import argparse
import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from published_networks import published_work
from scipy.optimize import nnls

ROOT = Path(__file__).parent.parent
ROWS = list(csv.DictReader((ROOT / "bench" / "data" / "pi_latency.csv").open()))

HOST_CALL_S, HOST_OPERATOR_S, HOST_HZ = 0.55e-6, 0.04e-6, 2.6e9
"""Of a call and of an operator on an x86-64 server core, from ``secateur calibrate --device host``."""

CYCLES = {"cortex-a53": 3.0, "cortex-a72": 2.0, "cortex-a76": 1.2}
"""How many more cycles such code is assumed to take on a core than on that server's."""

BEYOND = (0.3, 4.0)
"""Factors of the prediction for networks far smaller or larger than those of the fit: nothing is published on them."""

MARGIN = 1.1
"""The interval is that of the errors left out, and a tenth more: six points are few."""

INT16_SLOWDOWN = 8.0
"""int16×8 has no XNNPACK kernels and runs TFLite's own; assumed, hence the widest interval."""


@dataclass(frozen=True)
class Model:
    """One dtype on one board; see ``target.computer.DtypeLatency``."""

    conv: float
    byte: float
    parallel: float
    macs: tuple[float, float]
    within: tuple[float, float]
    beyond: tuple[float, float]
    points: int
    median_error: float | None
    source: str


def parallel_share(board: str, dtype: str) -> float:
    """P of ``t(n) / t(1) = 1 − p + p / n``, least squares over models and threads."""
    times: dict[str, dict[int, float]] = {}
    for row in ROWS:
        if row["board"] == board and row["dtype"] == dtype and row["source"] in ("efficientdet", "detection"):
            times.setdefault(row["model"], {})[int(row["threads"])] = float(row["ms"])
    pairs = [(1 - 1 / n, 1 - t / series[1]) for series in times.values() for n, t in series.items() if n > 1]
    x, y = np.array(pairs).T
    return float(x @ y / (x @ x))


def fit_board(board: str) -> dict[str, Model]:
    """float32 and int8 of a board that XNNPACK has published figures for."""
    points = [row for row in ROWS if row["board"] == board and row["source"] == "xnnpack"]
    dtypes = ("float32", "int8")
    shares = {dtype: parallel_share(board, dtype) for dtype in dtypes}
    matrix, seconds = [], []
    for row in points:
        work, share = (
            published_work(row["model"], row["dtype"]),
            1 - shares[row["dtype"]] * (1 - 1 / int(row["threads"])),
        )
        amounts = [work.macs * (row["dtype"] == dtype) for dtype in dtypes]
        matrix.append([share * amount for amount in (*amounts, work.weights_bytes + work.activations_bytes)])
        seconds.append(float(row["ms"]) * 1e-3)
    terms, measured = np.array(matrix, float), np.array(seconds)
    found = _nonnegative(terms, measured)
    out = np.array([_left_out(terms, measured, k) for k in range(len(measured))])
    models = {}
    for index, dtype in enumerate(dtypes):
        own = np.array([row["dtype"] == dtype for row in points])
        ratio = 1 / out[own]  # measured over predicted
        macs = [published_work(row["model"], dtype).macs for row in points if row["dtype"] == dtype]
        models[dtype] = Model(
            found[index],
            found[2],
            shares[dtype],
            (min(macs), max(macs)),
            (min(1.0, float(ratio.min()) / MARGIN), max(1.0, float(ratio.max()) * MARGIN)),
            BEYOND,
            int(own.sum()),
            float(np.median(np.abs(out[own] - 1))),
            "XNNPACK's README, table Raspberry Pi; threads: NobuoTsukamoto/benchmarks",
        )
    return models


def fit_pi5(pi4: Mapping[str, Model]) -> dict[str, Model]:
    """Raspberry Pi 5: int8 from three published latencies, float32 from the Pi 4's by clock and width of the core."""
    points = [row for row in ROWS if row["board"] == "raspberry-pi-5"]
    byte, share = pi4["int8"].byte / 2, 1 - pi4["int8"].parallel * (1 - 1 / 4)
    works = [published_work(row["model"], "int8") for row in points]
    seconds = np.array([float(row["ms"]) * 1e-3 for row in points])
    rest = share * byte * np.array([work.weights_bytes + work.activations_bytes for work in works])
    macs = share * np.array([float(work.macs) for work in works])

    def rate(rows: list[int]) -> float:
        return max(
            0.0,
            float(
                np.sum(macs[rows] * (seconds - rest)[rows] / seconds[rows] ** 2)
                / np.sum((macs[rows] / seconds[rows]) ** 2)
            ),
        )

    everything = list(range(len(points)))
    out = np.array(
        [(macs[k] * rate([j for j in everything if j != k]) + rest[k]) / seconds[k] for k in everything]
    )
    ratio = 1 / out
    int8 = Model(
        rate(everything),
        byte,
        pi4["int8"].parallel,
        (min(w.macs for w in works), max(w.macs for w in works)),
        (min(1.0, float(ratio.min()) / MARGIN), max(1.0, float(ratio.max()) * MARGIN)),
        BEYOND,
        len(points),
        float(np.median(np.abs(out - 1))),
        "three published medians of int8 networks; bytes at twice the Raspberry Pi 4's rate; its threads",
    )
    scaled = _derived(
        pi4["float32"],
        1.5 / 2.4 / 2,
        0.5,
        (0.4, 2.5),
        "Raspberry Pi 4's, by clock and twice the vector units",
    )
    return {"float32": scaled, "int8": int8}


def _derived(model: Model, rate: float, byte: float, beyond: tuple[float, float], source: str) -> Model:
    return replace(
        model,
        conv=model.conv * rate,
        byte=model.byte * byte,
        within=beyond,
        beyond=beyond,
        points=0,
        median_error=None,
        source=f"derived: {source}",
    )


def _nonnegative(terms: np.ndarray, measured: np.ndarray) -> np.ndarray:
    scale = terms.max(axis=0)
    return nnls(terms / measured[:, None] / scale, np.ones(len(measured)))[0] / scale


def _left_out(terms: np.ndarray, measured: np.ndarray, index: int) -> float:
    """Predicted over measured, of a point that the fit has not seen."""
    rows = [k for k in range(len(measured)) if k != index]
    return float(terms[index] @ _nonnegative(terms[rows], measured[rows]) / measured[index])


def all_dtypes(models: Mapping[str, Model]) -> dict[str, Model]:
    """The dtypes that nobody has published, from those that somebody has."""
    real, whole = models["float32"], models["int8"]
    wide = (min(0.3, real.beyond[0]), max(4.0, real.beyond[1]))
    return {
        "float32": real,
        "float16": _derived(
            real, 1.0, 1.0, wide, "float32's; weights are unpacked to it when the model is loaded"
        ),
        "dynamic": _derived(
            whole, 1.0, 2.0, (0.5 * wide[0], 1.5 * wide[1]), "int8's, with activations four times as large"
        ),
        "int8": whole,
        "int16x8": _derived(
            real, INT16_SLOWDOWN, 1.0, (0.5 * wide[0], 1.5 * wide[1]), "float32's × 8, without XNNPACK"
        ),
    }


def boards() -> dict[str, tuple[str, float, dict[str, Model]]]:
    """Board → core, clock, models."""
    pi3, pi4 = fit_board("raspberry-pi-3b-plus"), fit_board("raspberry-pi-4b")
    clock = 1.4e9 / 1.0e9
    zero = {
        dtype: _derived(model, clock, clock, (0.4, 3.0), "Raspberry Pi 3B+'s (the same core), by clock")
        for dtype, model in pi3.items()
    }
    other = {
        dtype: _derived(model, 1.0, 1.0, (0.15, 6.0), "Raspberry Pi 4's") for dtype, model in pi4.items()
    }
    return {
        "raspberry-pi-zero-2w": ("cortex-a53", 1.0e9, all_dtypes(zero)),
        "raspberry-pi-3b-plus": ("cortex-a53", 1.4e9, all_dtypes(pi3)),
        "raspberry-pi-4b": ("cortex-a72", 1.5e9, all_dtypes(pi4)),
        "raspberry-pi-5": ("cortex-a76", 2.4e9, all_dtypes(fit_pi5(pi4))),
        "linux-aarch64": ("cortex-a72", 1.5e9, all_dtypes(other)),
    }


def tables(core: str, clock_hz: float, models: Mapping[str, Model]) -> str:
    """The [latency.*] tables of a target's TOML."""
    scale = CYCLES[core] * HOST_HZ / clock_hz
    text = []
    for dtype, model in models.items():
        terms = {
            "call": HOST_CALL_S * scale, "operator": HOST_OPERATOR_S * scale, "dense": model.conv, "conv": model.conv,
            "depthwise": model.conv, "idle": 0.0, "tap": 0.0, "weight_byte": model.byte,
            "activation_byte": model.byte,
        }  # fmt: skip
        seconds = ", ".join(f"{term} = {value:.3g}" for term, value in terms.items())
        text += [
            f"[latency.{dtype}]",
            f"seconds = {{ {seconds} }}",
            f"parallel = {model.parallel:.2f}",
            f"macs_low = {model.macs[0]:.3g}",
            f"macs_high = {model.macs[1]:.3g}",
            f"low = {model.within[0]:.2f}",
            f"high = {model.within[1]:.2f}",
            f"beyond_low = {model.beyond[0]:.2f}",
            f"beyond_high = {model.beyond[1]:.2f}",
            f"points = {model.points}",
            *([f"median_error = {model.median_error:.3f}"] if model.median_error is not None else []),
            f'source = "{model.source}"',
            "",
        ]
    return "\n".join(text)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the tables into targets/")
    parser.add_argument("--check", action="store_true", help="compare them with those in targets/")
    arguments = parser.parse_args()
    stale = []
    for name, (core, clock_hz, models) in boards().items():
        text, path = tables(core, clock_hz, models), ROOT / "targets" / f"{name}.toml"
        kept = re.split(r"^\[latency\.", path.read_text(encoding="utf-8"), maxsplit=1, flags=re.MULTILINE)[0]
        if arguments.check:
            stale += [name] if path.read_text(encoding="utf-8") != kept + text else []
        elif arguments.write:
            path.write_text(kept + text, encoding="utf-8")
        else:
            print(f"# {name}\n{text}")
    if stale:
        print(f"targets differ from the fit: {', '.join(stale)}", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
