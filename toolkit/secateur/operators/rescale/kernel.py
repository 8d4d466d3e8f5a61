"""How the rescale_values kernel is called: with nine words that state it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    return (Array.of_words(np.array(step.payload.words), f"{step.label}: another scale"),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}, {step.columns}"


RESCALE = Kernel(
    name="rescale_values",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_rescale_values(const uint32_t *stream, const void *source, void *target, int32_t count)"
    ),
    summary="target[i] = source[i] in another scale or type of integers, cut off; target may be source.",
    terms=("call", "value"),
    pack=_pack,
    call=_call,
    includes=("requantise_16", "requantise"),
)
