"""How the batch_matmul kernels are called: with some words that state them, and a side that is constant."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.batch_matmul.rule import BatchMatmul
from secateur.operators.kernel import TYPES_OF_C, Array, Kernel, constant_pointer, pointer
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: BatchMatmul = step.payload
    learnt = [tensor for tensor in part.constants if tensor is not None]
    what = "a product with a constant" if learnt else "a product of activations"
    return (
        Array.of_words(np.array(part.words), f"{step.label}: {what}"),
        *(
            Array.of_constant(
                network.tensors[tensor].data, f"{step.label}: the constant", part.item_bytes > 1
            )
            for tensor in learnt
        ),
    )


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    kind = TYPES_OF_C[step.payload.item_bytes]
    buffers, constants = iter(reads), iter(arrays[1:])
    places = [next(buffers if tensor is None else constants) for tensor in step.payload.constants]
    sources = [constant_pointer(place, kind) for place in places]
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
