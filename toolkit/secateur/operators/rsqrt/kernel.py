"""How the rsqrt_16 kernel is called."""

from collections.abc import Sequence
from pathlib import Path

from secateur.operators.kernel import Kernel, ends, no_arrays
from secateur.operators.program import Step


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part = step.payload
    return f"{ends(reads, writes, 'secateur_int16')}, {step.columns}, {part.multiplier}, {part.shift}"


RSQRT_16 = Kernel(
    name="rsqrt_16",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_rsqrt_16(const secateur_int16 *source, secateur_int16 *target, int32_t count,"
        " int32_t multiplier, int32_t shift)"
    ),
    summary="target[i] = 1 / the root of source[i], of int16; target may be source.",
    terms=("call", "value"),
    pack=no_arrays,
    call=_call,
    includes=("fixed_point",),
)
