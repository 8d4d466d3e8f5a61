"""How the mean kernel is called: with seven words that state the layer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel, ends
from secateur.operators.mean.rule import Mean
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Mean = step.payload
    multiplier, left = part.multiplier()
    assert part.source is not None
    assert part.target is not None
    shifts = max(-left, 0) | max(left, 0) << 8
    zero_points = part.source.zero_points[0], part.target.zero_points[0]
    words = np.array([part.outer, part.count, part.inner, *zero_points, multiplier, shifts], np.int64)
    what = "sum" if part.total else "mean"
    text = f"{step.label}: {what} over {part.count} of [{part.outer}, {part.count}, {part.inner}]"
    return (Array.of_words(words, text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}"


MEAN = Kernel(
    name="mean",
    folder=Path(__file__).parent,
    prototype="void secateur_mean(const uint32_t *stream, const int8_t *source, int8_t *target)",
    summary="target[outer, inner] = mean or sum of source[outer, count, inner] over its middle.",
    terms=("call", "outer", "result", "value"),
    pack=_pack,
    call=_call,
)


def _call_16(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {ends(reads, writes, 'secateur_int16')}"


MEAN_16 = Kernel(
    name="mean_16",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_mean_16(const uint32_t *stream, const secateur_int16 *source, secateur_int16 *target)"
    ),
    summary="The same of int16.",
    terms=("call", "outer", "result", "value"),
    pack=_pack,
    call=_call_16,
)


def _pack_float(network: Network, step: Step) -> tuple[Array, ...]:
    return ()


def _call_float(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part: Mean = step.payload
    divisor = 1 if part.total else part.count
    return f"{ends(reads, writes, 'secateur_float')}, {part.outer}, {part.count}, {part.inner}, {divisor}"


MEAN_FLOAT = Kernel(
    name="mean_float",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_mean_float("
        "const secateur_float *source, secateur_float *target, int32_t outer, int32_t count, int32_t inner,"
        " int32_t divisor)"
    ),
    summary="The same of float32.",
    terms=("call", "outer", "result", "value"),
    pack=_pack_float,
    call=_call_float,
)
