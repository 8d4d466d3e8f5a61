"""How the select kernel is called: its loops, then three sources, constants among them packed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step
from secateur.operators.select.rule import LOOPS, Select


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Select = step.payload
    loops = [*part.loops, *[(1, 0, 0, 0)] * (LOOPS - len(part.loops))]
    words = np.array([*np.array(loops).reshape(-1), *part.words], np.int64).astype(np.uint32)
    arrays = [Array("weights", words, f"{step.label}: a choice of {step.columns} values")]
    for place, (tensor, fixed) in enumerate(zip(part.tensors, part.constant)):
        if fixed:
            wide = place > 0 and part.item_bytes > 1
            arrays.append(
                Array.of_constant(network.tensors[tensor].data, f"{step.label}: a constant to choose", wide)
            )
    return tuple(arrays)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    buffers, constants = iter(reads), iter(arrays[1:])
    sources = [next(constants) if fixed else next(buffers) for fixed in step.payload.constant]
    return ", ".join([arrays[0], *sources, writes[0]])


SELECT = Kernel(
    name="select",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_select(const uint32_t *stream, const int8_t *condition, const int8_t *one, "
        "const int8_t *two, int8_t *target)"
    ),
    summary="target = one where the condition is not 0, else two.",
    terms=("call", "run", "value"),
    pack=_pack,
    call=_call,
)

SELECT_WIDE = Kernel(
    name="select_wide",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_select_wide(const uint32_t *stream, const int8_t *condition, const void *one, "
        "const void *two, void *target)"
    ),
    summary="The same of int16 and float32.",
    terms=("call", "run", "value"),
    pack=_pack,
    call=_call,
)
