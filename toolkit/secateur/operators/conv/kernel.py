"""How the weights of a convolution are laid out for its kernel, and how the kernel is called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.conv.rule import Conv
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step
from secateur.operators.stream import constants, shift_bytes, window_words, words_of


def pack(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words.

    ::

        five words for the window, see ``window_words``; its channels: source's | rows << 16
        zero point of the source
        zero point of the target
        for every two rows, and for the one that may be left:
            bias[rows]                              less the source's zero point × the sum of the weights
            for every quad: weights[row][4 values]  a word for each row
            multiplier[rows]                        2·m − 2³²
            right shift[2], left shift[2]           a byte each
    """
    part: Conv = step.payload
    window, rows = part.window, step.rows
    layer = constants(
        network, step.label, (part.source, part.weights, part.bias, part.target), rows, part.single
    )
    shape = (rows, window.height, window.width, part.channels)
    if part.spread:
        weights = np.zeros(shape, np.int64)
        row = np.arange(rows)
        channel = row // (rows // part.channels)
        weights[row, :, :, channel] = np.moveaxis(
            layer.weights.reshape(window.height, window.width, rows), 2, 0
        )
    else:
        weights = layer.weights.reshape(shape)
    offset = layer.bias - layer.source_zero_point * weights.reshape(rows, -1).sum(axis=1)
    weights, offset = weights.copy(), offset.copy()
    weights[layer.nothing], offset[layer.nothing] = 0, 0
    length = window.width * part.channels
    bytes_ = np.zeros((rows, window.height, -(-length // 4) * 4), np.int8)
    bytes_[:, :, :length] = weights.reshape(rows, window.height, length)
    quads = words_of(bytes_.reshape(rows, -1))
    words = [
        window_words(window, part.channels | rows << 16),
        np.array([layer.source_zero_point, layer.target_zero_point], np.int64),
    ]
    for start in range(0, rows, 2):
        block = slice(start, start + 2)
        words += [
            offset[block],
            quads[block].T.reshape(-1),
            layer.multiplier[block],
            shift_bytes(layer.shift[block], 2),
        ]
    stream = (np.concatenate(words) & 0xFFFFFFFF).astype(np.uint32)
    text = (
        f"{step.label}: convolution {window.height} x {window.width} of "
        f"{window.source_height} x {window.source_width} x {part.channels} to "
        f"{window.target_height} x {window.target_width} x {rows}"
    )
    return (Array("weights", stream, text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}, {writes[1]}"


CONV = Kernel(
    name="conv",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_conv(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)"
    ),
    summary="target[y, x] = requantise(weights . window of source at (y, x) + bias).",
    terms=(
        "call",
        "pair",
        "window",
        "row",
        "run",
        "copied",
        "filled",
        "mixed",
        "block",
        "block_quad",
        "single",
        "single_quad",
    ),
    pack=pack,
    call=_call,
    includes=("requantise",),
)
