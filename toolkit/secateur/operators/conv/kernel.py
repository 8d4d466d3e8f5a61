"""How the weights of a convolution are laid out for its kernel, and how the kernel is called."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.conv.rule import Conv, quads
from secateur.operators.helium import pack_rows
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step
from secateur.operators.stream import Layer, constants, paired, shift_bytes, window_words, words_of

PackedBy = Callable[[Network, Step], tuple[Array, ...]]


def pack(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words; rows by twos share theirs.

    ::

        five words for the window, see ``window_words``; its channels: source's | rows << 16
        zero point of the source
        zero point of the target
        for every two rows:
            for every quad: 256 · weights[row][value] + weights[row + 1][value] as half words, see ``paired``
            bias[2]                                 less the source's zero point × the sum of the weights
            multiplier[2]                           2·m − 2³²
            right shift[2], 0, 0                    a byte each
        for the row that may be left:
            bias, for every quad weights[4 values], multiplier, right shift     a word each
    """
    layer, weights, offset, header, text = _layer(network, step)
    rows = step.rows
    words, split = [header], rows - rows % 2
    pairs = paired(weights[:split]) if split else np.zeros((0, 0), np.int64)
    shift = (-layer.shift).astype(np.int8)
    for start in range(0, split, 2):
        block = slice(start, start + 2)
        words += [pairs[start // 2], offset[block], layer.multiplier[block], _shifts(shift[block])]
    for row in range(split, rows):
        own = slice(row, row + 1)
        words += [
            offset[own],
            words_of(weights[row].astype(np.int8)),
            layer.multiplier[own],
            _shifts(shift[own]),
        ]
    return (Array.of_words(np.concatenate(words), text),)


def pack_wide(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words; every row has its own.

    ::

        seven words in front as above
        for every two rows, and for the one that may be left:
            bias[rows]                              less the source's zero point × the sum of the weights
            for every quad: weights[row][4 values]  a word for each row
            multiplier[rows]                        2·m − 2³²
            right shift[2], left shift[2]           a byte each
    """
    layer, weights, offset, header, text = _layer(network, step)
    values, words = words_of(weights.astype(np.int8)), [header]
    for start in range(0, step.rows, 2):
        block = slice(start, start + 2)
        words += [
            offset[block],
            values[block].T.reshape(-1),
            layer.multiplier[block],
            shift_bytes(layer.shift[block], 2),
        ]
    return (Array.of_words(np.concatenate(words), text),)


def pack_helium(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words: seven in front as above, then the rows as ``pack_rows`` has them."""
    layer, weights, offset, header, text = _numbers(network, step)
    words = [header, *pack_rows(weights.reshape(step.rows, -1), offset, layer)]
    return (Array.of_words(np.concatenate(words), text),)


def _layer(network: Network, step: Step) -> tuple[Layer, np.ndarray, np.ndarray, np.ndarray, str]:
    """As ``_numbers``, but for the weights [rows, values]: padded to whole quads."""
    part: Conv = step.payload
    layer, weights, offset, header, text = _numbers(network, step)
    rows, height, length = weights.shape
    words = -(-length // 4)
    values = np.zeros((rows, height, 4 * words), np.int64)
    values[:, :, :length] = weights
    padded = np.zeros((rows, 4 * quads(part, step.kernel)), np.int64)
    padded[:, : 4 * words * height] = values.reshape(rows, -1)
    return layer, padded, offset, header, text


def _numbers(network: Network, step: Step) -> tuple[Layer, np.ndarray, np.ndarray, np.ndarray, str]:
    """The layer's numbers; its weights [rows, rows of the window, values]; its biases; words in front; a title."""
    part: Conv = step.payload
    window, rows = part.window, step.rows
    layer = constants(
        network, step.label, (part.source, part.weights, part.bias, part.target), rows, part.single
    )
    weights = np.zeros((rows, window.height, window.width, part.channels), np.int64)
    down, right = part.dilation
    own = weights[:, ::down, ::right]
    if part.spread:
        row = np.arange(rows)
        each = layer.weights.reshape(*own.shape[1:3], rows)
        own[row, :, :, row // (rows // part.channels)] = np.moveaxis(each, 2, 0)
    else:
        own[...] = layer.weights.reshape(own.shape)
    offset = layer.bias - layer.source_zero_point * weights.reshape(rows, -1).sum(axis=1)
    weights[layer.nothing], offset[layer.nothing] = 0, 0
    header = np.concatenate(
        [
            window_words(window, part.channels | rows << 16),
            np.array([layer.source_zero_point, layer.target_zero_point], np.int64),
        ]
    )
    text = (
        f"{step.label}: convolution {window.height} x {window.width} of "
        f"{window.source_height} x {window.source_width} x {part.channels} to "
        f"{window.target_height} x {window.target_width} x {rows}"
    )
    return layer, weights.reshape(rows, window.height, -1), offset, header, text


def _shifts(shift: np.ndarray) -> np.ndarray:
    """int8 [1 or 2] → a word."""
    return words_of(np.concatenate([shift, np.zeros(4 - len(shift), np.int8)]))


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}, {writes[1]}"


def _kernel(name: str, summary: str, gathered: tuple[str, ...], packed: PackedBy) -> Kernel:
    return Kernel(
        name=name,
        folder=Path(__file__).parent,
        prototype=(
            f"void secateur_{name}(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)"
        ),
        summary=f"target[y, x] = requantise(weights . window of source at (y, x) + bias){summary}.",
        terms=("call", "pair", *_GATHERED, *gathered, "block", "block_quad", "single", "single_quad"),
        pack=packed,
        call=_call,
        includes=("gather", "requantise"),
    )


_GATHERED = ("window", "row", "run", "copied", "filled", "mixed")

CONV = _kernel("conv", "", ("point",), pack)
CONV_WIDE = _kernel("conv_wide", ", of any weights and any depth", (), pack_wide)

_BLOCKS = ("shallow_block", "shallow_pixel", "block", "pixel", "pixel_chunk")

CONV_HELIUM = replace(
    _kernel("conv_helium", ", for Helium", (), pack_helium),
    terms=(
        *("call", "group", "window", "row", "edge_window", "edge_row", "edge_run", "vector"),
        *(*_BLOCKS, "single", "single_pixel", "single_chunk"),
    ),
    includes=("helium", "requantise"),
)
