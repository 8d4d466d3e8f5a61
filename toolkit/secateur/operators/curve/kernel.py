"""How the kernels of element-wise operators of float32 are called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.curve.rule import CURVES, SERIES, bits
from secateur.operators.kernel import Array, Kernel, ends, no_arrays
from secateur.operators.program import Step


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part = step.payload
    return f"{ends(reads, writes, 'secateur_float')}, {step.columns}, {CURVES.index(part.kind)}, {bits(part.slope):#x}"


CURVE_FLOAT = Kernel(
    name="curve_float",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_curve_float("
        "const secateur_float *source, secateur_float *target, int32_t count, uint32_t what, uint32_t slope)"
    ),
    summary="target[i] = tanh, logistic, exp, ... of source[i], of float32; target may be source.",
    terms=("call", *(kind.lower() for kind in CURVES)),
    pack=no_arrays,
    call=_call,
    includes=("float",),
)


def _call_series(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{ends(reads, writes, 'secateur_float')}, {step.columns}, {SERIES.index(step.payload.kind)}"


SERIES_FLOAT = Kernel(
    name="series_float",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_series_float("
        "const secateur_float *source, secateur_float *target, int32_t count, uint32_t what)"
    ),
    summary="target[i] = sin, cos or log of source[i], of float32; target may be source.",
    terms=("call", "angle", "logarithm"),
    pack=no_arrays,
    call=_call_series,
    includes=("float",),
)


def _pack_conversion(network: Network, step: Step) -> tuple[Array, ...]:
    return (Array.of_words(np.array(step.payload.words), f"{step.label}: a conversion"),)


def _call_conversion(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}, {step.columns}"


CONVERT_FLOAT = Kernel(
    name="convert_float",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_convert_float(const uint32_t *stream, const void *source, void *target, int32_t count)"
    ),
    summary="target[i] = source[i], from float32 to integers or back.",
    terms=("call", "rounded", "real"),
    pack=_pack_conversion,
    call=_call_conversion,
    includes=("float",),
)
