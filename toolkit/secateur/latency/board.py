"""``secateur calibrate`` of a microcontroller: how many instructions its kernels take, as its core counts them.

The coefficients in a core's file are fitted by bench/fit_instructions.py, term by term, over hundreds of networks. What
differs on a board of one's own (flags, a compiler) differs for whole kernels, so a dozen networks are enough: each
kernel's coefficients are multiplied by one factor.
"""

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from secateur.device.devices import open_device
from secateur.export.quantize import quantize
from secateur.export.read import read_tflite
from secateur.latency.computer import Errors, drawn_samples, errors_of, toml_text, written_by
from secateur.latency.probes import Pictures, Probe, probe_model
from secateur.operators.lower import lower
from secateur.pipeline import Share
from secateur.target.cost import step_cost
from secateur.target.target import Target

FITTED: tuple[Probe, ...] = (
    (4, 8, 8, 4),
    (6, 30, 22, 3),
    (16, 64, 64, 4),
    (17, 50, 100, 5),
    Pictures(8, (4, 8)),
    Pictures(12, (6, 10), separable=True),
)
HELD_OUT: tuple[Probe, ...] = (
    (5, 12, 12, 3),
    (12, 48, 24, 6),
    (24, 90, 4),
    Pictures(10, (5, 8)),
    Pictures(14, (4, 12), separable=True),
)


def calibrate_board(target: Target, share: Share) -> tuple[dict[str, float], Errors, Errors]:
    """Kernel → factor of its instructions; errors of whole networks held out, before and after.

    Raises:
        SecateurError: a probe cannot be built for the board or run on its emulator.
    """
    kernels: dict[str, list[float]] = defaultdict(list)
    for index, probe in enumerate(FITTED):
        share(index / (len(FITTED) + len(HELD_OUT)), f"probe {index + 1}")
        steps, counted, _ = _count(probe, target, index)
        for kernel, predicted, label in steps:
            kernels[kernel].append(counted[label] / predicted)
    factors = {kernel: float(np.median(ratios)) for kernel, ratios in kernels.items()}
    before, after = [], []
    for index, probe in enumerate(HELD_OUT, len(FITTED)):
        share(index / (len(FITTED) + len(HELD_OUT)), f"probe {index + 1}")
        steps, _, total = _count(probe, target, index)
        before.append((target.program.instructions + sum(p for _, p, _ in steps)) / total)
        after.append(
            (target.program.instructions + sum(p * factors.get(k, 1.0) for k, p, _ in steps)) / total
        )
    return factors, errors_of(np.array(before)), errors_of(np.array(after))


def stored_probe(probe: Probe, seed: int) -> bytes:
    """A probe as an int8 .tflite, with drawn weights."""
    model = probe_model(probe, seed)
    return quantize(model, drawn_samples(model, 32))


def _count(
    probe: Probe, target: Target, seed: int
) -> tuple[Sequence[tuple[str, float, str]], Mapping[str, int], int]:
    """Kernel, predicted instructions and label of each step; counted ones by label; and of the whole call."""
    stored = stored_probe(probe, seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_device("emulator", stored, target, Path(folder))) as device,
    ):
        measured = device.measure()
    assert measured.instructions is not None
    program = lower(read_tflite(stored), target.choice)
    steps = [(s.kernel, step_cost(s, target).instructions, s.label) for s in program.steps]
    return steps, measured.operator_instructions, measured.instructions


def board_toml(target: Target, parent: str, factors: Mapping[str, float], after: Errors, command: str) -> str:
    """A target file that inherits the board and states its own instructions."""
    lines = [
        written_by(command),
        f"inherit = {toml_text(parent)}",
        f"description = {toml_text(f'{target.description}; instructions fitted anew')}",
    ]
    for kernel, factor in sorted(factors.items()):
        costs = target.kernels[kernel].instructions
        terms = ", ".join(f"{term} = {value * factor:.4g}" for term, value in costs.items())
        lines += ["", f"[kernels.{kernel}]", f"instructions = {{ {terms} }}"]
    lines += [
        "",
        "[fit]",
        f"probes = {len(FITTED)}",
        f"max_error = {after.largest:.4f}",
        f'source = "secateur calibrate: one factor for each kernel, on {target.emulator}; {len(HELD_OUT)} held out"',
    ]
    return "\n".join(lines) + "\n"
