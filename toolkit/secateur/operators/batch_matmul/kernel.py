"""How the batch_matmul kernel is called: with fifteen words that state it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    return (Array.of_words(np.array(step.payload.words), f"{step.label}: a product of activations"),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {reads[1]}, {writes[0]}"


BATCH_MATMUL = Kernel(
    name="batch_matmul",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_batch_matmul(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)"
    ),
    summary="target = one . two, matrix by matrix.",
    terms=("call", "row", "value", "product"),
    pack=_pack,
    call=_call,
    includes=("requantise",),
)
