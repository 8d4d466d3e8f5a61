"""The table of a chain, and how the lookup kernel is called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.lookup.reference import evaluate_chain
from secateur.operators.lookup.rule import Lookup
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Lookup = step.payload
    outputs = evaluate_chain(network, part.source, part.operators)
    kinds = ", ".join(network.operators[index].kind for index in part.operators)
    return (Array("table", np.roll(outputs, 128), f"{step.label}: {kinds}; by the source byte, as unsigned"),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}, {step.columns}"


LOOKUP = Kernel(
    name="lookup",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_lookup(const int8_t *table, const int8_t *source, int8_t *target, int32_t count)"
    ),
    summary="target[i] = table[(uint8_t)source[i]]; target may be source.",
    terms=("call", "byte"),
    pack=_pack,
    call=_call,
)
