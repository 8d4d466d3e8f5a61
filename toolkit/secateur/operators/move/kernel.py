"""How the move kernel is called: with the loops as fifteen words, and a constant where that is what it moves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    words = np.array(step.payload.loops, np.int64).reshape(-1)
    loops = Array.of_words(words, f"{step.label}: {step.columns} bytes moved")
    if step.payload.constant is None:
        return (loops,)
    data = network.tensors[step.payload.constant].data
    return loops, Array.of_constant(data, f"{step.label}: a constant", False)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part = step.payload
    source, *_ = (*reads, *arrays[1:])
    return f"{arrays[0]}, {source} + {part.source_start}, {writes[0]} + {part.target_start}"


MOVE = Kernel(
    name="move",
    folder=Path(__file__).parent,
    prototype="void secateur_move(const uint32_t *stream, const int8_t *source, int8_t *target)",
    summary="Copies bytes in up to five nested loops, each with a step of its own at both ends.",
    terms=("call", "run", "carry", "byte", "byte_apart"),
    pack=_pack,
    call=_call,
)
