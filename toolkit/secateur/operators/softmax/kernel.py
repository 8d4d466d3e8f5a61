"""The table of exponentials, and how the softmax kernel is called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.curve.rule import bits
from secateur.operators.kernel import Array, Kernel, ends, no_arrays
from secateur.operators.program import Step
from secateur.operators.softmax.rule import exponentials


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    text = f"{step.label}: exp by the difference from the largest value, 2^31 for one"
    return (Array("table", exponentials(step.payload).astype(np.uint32), text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part = step.payload
    return f"{arrays[0]}, {reads[0]}, {writes[0]}, {part.rows}, {part.columns}, {part.length}"


SOFTMAX = Kernel(
    name="softmax",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_softmax(const uint32_t *exponentials, const int8_t *source, int8_t *target,\n"
        "                      int32_t rows, int32_t columns, int32_t length)"
    ),
    summary="target[r] = exp(source[r]) / sum of exp(source[r]), of which 256 is one, less 128.",
    terms=("call", "row", "value"),
    pack=_pack,
    call=_call,
    includes=("fixed_point",),
)


def _call_16(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part = step.payload
    sizes = f"{part.rows}, {part.columns}, {part.multiplier}, {part.shift}"
    return f"{ends(reads, writes, 'secateur_int16')}, {sizes}"


SOFTMAX_16 = Kernel(
    name="softmax_16",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_softmax_16(const secateur_int16 *source, secateur_int16 *target, int32_t rows,\n"
        "                         int32_t columns, int32_t multiplier, int32_t shift)"
    ),
    summary="target[r] = exp(source[r]) / sum of exp(source[r]), of which 2^15 is one, of int16.",
    terms=("call", "row", "value"),
    pack=no_arrays,
    call=_call_16,
    includes=("fixed_point",),
)


def _call_float(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part = step.payload
    return f"{ends(reads, writes, 'secateur_float')}, {part.rows}, {part.columns}, {bits(part.beta):#x}"


SOFTMAX_FLOAT = Kernel(
    name="softmax_float",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_softmax_float("
        "const secateur_float *source, secateur_float *target, int32_t rows, int32_t columns, uint32_t beta)"
    ),
    summary="target[r] = exp(beta * source[r]) / their sum, of float32.",
    terms=("call", "row", "value"),
    pack=no_arrays,
    call=_call_float,
    includes=("float",),
)
