"""How the select kernel is called: its loops, then three sources, constants among them packed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.pairing import padded_size
from secateur.operators.program import Step
from secateur.operators.select.rule import LOOPS, Select


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Select = step.payload
    loops = [*part.loops, *[(1, 0, 0, 0)] * (LOOPS - len(part.loops))]
    words = np.array([*np.array(loops).reshape(-1), *part.words], np.int64).astype(np.uint32)
    arrays = [Array("weights", words, f"{step.label}: a choice of {step.columns} values")]
    for place, (tensor, fixed) in enumerate(zip(part.tensors, part.constant)):
        data: Any = network.tensors[tensor].data
        if fixed:
            stored = np.frombuffer(data.tobytes(), np.int8)
            values = np.zeros(padded_size(stored.size), np.int8)
            values[: stored.size] = stored
            wide = place > 0 and part.item_bytes > 1
            values = values.view(np.uint32) if wide else values
            arrays.append(Array("weights", values, f"{step.label}: a constant to choose"))
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
