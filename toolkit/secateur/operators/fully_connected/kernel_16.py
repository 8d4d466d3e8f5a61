"""How the weights of a fully connected layer of int16 activations are laid out, and how its kernel is called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.fully_connected.rule_other_types import Vectors
from secateur.operators.kernel import Array, Kernel, ends
from secateur.operators.layer_16 import layer_words
from secateur.operators.program import Step
from secateur.operators.stream import words_of

_ORDER = (0, 2, 1, 3)
"""Of the columns in a word."""


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Vectors = step.payload
    layer, rows, weights = layer_words(
        network, step.label, part.tensors, step.rows, part.activation, single=True
    )
    columns = step.columns
    padded = np.zeros((step.rows, -(-columns // 4) * 4), np.int8)
    padded[:, :columns] = weights
    ordered = padded.reshape(step.rows, -1, 4)[:, :, _ORDER]
    stream = np.concatenate(
        [layer, [step.rows | columns << 16, part.count], rows.reshape(-1), words_of(ordered.reshape(-1))]
    )
    text = f"{step.label}: fully connected, {columns} to {step.rows}, int16 activations"
    return (Array.of_words(stream, text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {ends(reads, writes, 'secateur_int16')}"


FULLY_CONNECTED_16 = Kernel(
    name="fully_connected_16",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_fully_connected_16("
        "const uint32_t *stream, const secateur_int16 *source, secateur_int16 *target)"
    ),
    summary="target[v, rows] = requantise(weights . source[v] + bias), of int16.",
    terms=("call", "pair", "quad", "rest"),
    pack=_pack,
    call=_call,
    includes=("requantise_16", "requantise"),
)
