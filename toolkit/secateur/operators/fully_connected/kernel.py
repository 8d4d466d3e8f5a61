"""How the weights of a fully connected layer are laid out for its kernel, and how the kernel is called."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from secateur.errors import SecateurError
from secateur.network import Network
from secateur.operators.fully_connected.rule import FullyConnected
from secateur.operators.helium import pack_rows
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step
from secateur.operators.requantise import multipliers
from secateur.operators.stream import constants, paired, words_of

BLOCK_ROWS = 4
_MAX_DIMENSION = 0xFFFF


def pack(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words that the kernel reads from front to back.

    ::

        rows | quads << 16          quads = columns / 4, rounded up
        zero point of the output
        for every block of 4 rows:
            bias[rows 1, 3, 0, 2]           less the input's zero point × the sum of the weights
            for every quad:                 rows 0 and 1 for columns 0, 2 and 1, 3; rows 2 and 3 likewise:
                256 · weights[even row][column] + weights[odd row][column]      half a word each
            multiplier[4 rows]              2·m − 2³²
            right shift[4 rows]             a byte each; left: negative
        for each single row of the 1 to 3 left:
            bias, for every quad weights[4 columns], multiplier, right shift    a word each
    """
    part: FullyConnected = step.payload
    source, matrix, target = (network.tensors[index] for index in (part.source, part.weights, part.target))
    bias = network.tensors[part.bias] if part.bias != -1 else None
    if matrix.data is None or (bias is not None and bias.data is None):
        raise SecateurError(
            "C is generated from weights", f"{step.label} has shapes only", "Read the network from a .tflite."
        )
    if max(matrix.shape) > _MAX_DIMENSION:
        raise SecateurError(
            f"a fully connected layer has at most {_MAX_DIMENSION} rows and columns",
            f"{step.label} is {matrix.shape}",
            "Split it.",
        )
    assert source.quantization is not None
    assert matrix.quantization is not None
    assert target.quantization is not None
    rows, columns = matrix.shape
    multiplier, shift = multipliers(source.quantization, matrix.quantization, target.quantization, rows)
    weights = np.zeros((rows, -(-columns // 4) * 4), np.int64)
    weights[:, :columns] = matrix.data
    offset = (
        np.zeros(rows, np.int64)
        if bias is None or bias.data is None
        else bias.data.reshape(rows).astype(np.int64)
    )
    offset = offset - source.quantization.zero_points[0] * weights.sum(axis=1)
    nothing = multiplier == 0  # the reference multiplies by zero; so do weights and bias of zero
    weights[nothing], offset[nothing], multiplier[nothing], shift[nothing] = 0, 0, 1 << 30, 0

    quads = weights.shape[1] // 4
    words = [np.array([rows | quads << 16, target.quantization.zero_points[0]], np.int64)]
    stored, split = 2 * multiplier, rows - rows % BLOCK_ROWS
    for start in range(0, split, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        words += [
            offset[block][[1, 3, 0, 2]],
            paired(weights[block]).reshape(2, quads, 2).transpose(1, 0, 2).reshape(-1),
            stored[block],
            words_of((-shift[block]).astype(np.int8)),
        ]
    for row in range(split, rows):
        words += [
            offset[row : row + 1],
            words_of(weights[row].astype(np.int8)),
            stored[row : row + 1],
            words_of(np.array([-shift[row], 0, 0, 0], np.int8)),
        ]
    bias_text = "" if bias is not None else ", no bias"
    return (
        Array.of_words(
            np.concatenate(words), f"{step.label}: fully connected, {columns} to {rows}{bias_text}"
        ),
    )


def pack_helium(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words: rows | columns << 16, zero point of the output, then the rows as ``pack_rows`` has them."""
    part: FullyConnected = step.payload
    layer = constants(
        network, step.label, (part.source, part.weights, part.bias, part.target), step.rows, single=True
    )
    weights = layer.weights.copy()
    offset = layer.bias - layer.source_zero_point * weights.sum(axis=1)
    weights[layer.nothing], offset[layer.nothing] = 0, 0
    header = np.array([step.rows | step.columns << 16, layer.target_zero_point], np.int64)
    stream = np.concatenate([header, *pack_rows(weights, offset, layer)])
    text = f"{step.label}: fully connected, {step.columns} to {step.rows}"
    return (Array.of_words(stream, text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}"


FULLY_CONNECTED = Kernel(
    name="fully_connected",
    folder=Path(__file__).parent,
    prototype="void secateur_fully_connected(const uint32_t *stream, const int8_t *source, int8_t *target)",
    summary="target[rows] = requantise(weights . source + bias); the source is read by whole words.",
    terms=("call", "block", "block_quad", "row", "row_quad", "scaled_up"),
    pack=pack,
    call=_call,
    includes=("requantise",),
)

FULLY_CONNECTED_HELIUM = replace(
    FULLY_CONNECTED,
    name="fully_connected_helium",
    prototype=FULLY_CONNECTED.prototype.replace("_connected(", "_connected_helium("),
    summary="target[rows] = requantise(weights . source + bias), for Helium.",
    terms=("call", "shallow_block", "block", "block_chunk", "row", "row_chunk"),
    pack=pack_helium,
    includes=("helium", "requantise"),
)
