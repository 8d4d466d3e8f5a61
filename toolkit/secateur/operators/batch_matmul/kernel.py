"""How the batch_matmul kernels are called: with some words that state them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import TYPES_OF_C, Array, Kernel, constant_pointer, pointer
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    return (Array.of_words(np.array(step.payload.words), f"{step.label}: a product of activations"),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    kind = TYPES_OF_C[step.payload.item_bytes]
    sources = [constant_pointer(place, kind) for place in reads]
    return ", ".join([arrays[0], *sources, pointer(writes[0], kind)])


def _kernel(name: str, kind: str, summary: str, includes: tuple[str, ...]) -> Kernel:
    return Kernel(
        name=name,
        folder=Path(__file__).parent,
        prototype=(
            f"void secateur_{name}(const uint32_t *stream, const {kind} *one, const {kind} *two, {kind} *target)"
        ),
        summary=summary,
        terms=("call", "row", "value", "product"),
        pack=_pack,
        call=_call,
        includes=includes,
    )


BATCH_MATMUL = _kernel("batch_matmul", "int8_t", "target = one . two, matrix by matrix.", ("requantise",))
BATCH_MATMUL_16 = _kernel(
    "batch_matmul_16", "secateur_int16", "The same of int16.", ("requantise_16", "requantise")
)
BATCH_MATMUL_FLOAT = _kernel("batch_matmul_float", "secateur_float", "The same of float32.", ("float",))
