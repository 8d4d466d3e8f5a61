"""How the sigmoid_16 kernel is called; it brings its table along."""

from collections.abc import Sequence
from pathlib import Path

from secateur.operators.kernel import Kernel, ends, no_arrays
from secateur.operators.program import Step


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part = step.payload
    return f"{ends(reads, writes, 'secateur_int16')}, {step.columns}, {part.multiplier}, {part.right}, {int(part.tanh)}"


SIGMOID_16 = Kernel(
    name="sigmoid_16",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_sigmoid_16(const secateur_int16 *source, secateur_int16 *target, int32_t count,"
        " int32_t multiplier, uint32_t right, int32_t tanh)"
    ),
    summary="target[i] = tanh(source[i]), or the logistic function of it, of int16; target may be source.",
    terms=("call", "value"),
    pack=no_arrays,
    call=_call,
)
