"""How the fill kernel is called; it has no constants."""

from collections.abc import Sequence
from pathlib import Path

from secateur.operators.kernel import Kernel, no_arrays
from secateur.operators.program import Step


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{writes[0]}, {step.columns}, {step.payload.value}"


FILL = Kernel(
    name="fill",
    folder=Path(__file__).parent,
    prototype="void secateur_fill(int8_t *target, int32_t count, int32_t value)",
    summary="target[i] = value.",
    terms=("call", "byte"),
    pack=no_arrays,
    call=_call,
)
