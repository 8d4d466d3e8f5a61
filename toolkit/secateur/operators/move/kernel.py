"""How the move kernel is called: with the loops as fifteen words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    words = np.array(step.payload.loops, np.int64).reshape(-1)
    return (Array.of_words(words, f"{step.label}: {step.columns} bytes moved"),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    part = step.payload
    return f"{arrays[0]}, {reads[0]} + {part.source_start}, {writes[0]} + {part.target_start}"


MOVE = Kernel(
    name="move",
    folder=Path(__file__).parent,
    prototype="void secateur_move(const uint32_t *stream, const int8_t *source, int8_t *target)",
    summary="Copies bytes in up to five nested loops, each with a step of its own at both ends.",
    terms=("call", "run", "carry", "byte", "byte_apart"),
    pack=_pack,
    call=_call,
)
