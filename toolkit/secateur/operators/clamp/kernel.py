"""How the clamp kernel is called; it has no constants."""

from collections.abc import Sequence
from pathlib import Path

from secateur.operators.kernel import Kernel, no_arrays
from secateur.operators.program import Step


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{writes[0]}, {step.columns}, {step.payload.low}, {step.payload.high}"


CLAMP = Kernel(
    name="clamp",
    folder=Path(__file__).parent,
    prototype="void secateur_clamp(int8_t *values, int32_t count, int32_t low, int32_t high)",
    summary="values[i] = min(max(values[i], low), high).",
    terms=("call", "byte"),
    pack=no_arrays,
    call=_call,
)
