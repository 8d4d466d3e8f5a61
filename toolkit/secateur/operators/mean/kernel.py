"""How the mean kernel is called: with seven words that state the layer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.mean.rule import Mean
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Mean = step.payload
    multiplier, left = part.multiplier()
    shifts = max(-left, 0) | max(left, 0) << 8
    zero_points = part.source.zero_points[0], part.target.zero_points[0]
    words = np.array([part.outer, part.count, part.inner, *zero_points, multiplier, shifts], np.int64)
    text = f"{step.label}: mean over {part.count} of [{part.outer}, {part.count}, {part.inner}]"
    return (Array("weights", (words & 0xFFFFFFFF).astype(np.uint32), text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}"


MEAN = Kernel(
    name="mean",
    folder=Path(__file__).parent,
    prototype="void secateur_mean(const uint32_t *stream, const int8_t *source, int8_t *target)",
    summary="target[outer, inner] = mean of source[outer, count, inner] over its middle.",
    terms=("call", "outer", "result", "value"),
    pack=_pack,
    call=_call,
)
