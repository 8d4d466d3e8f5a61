"""How the weights of a depthwise convolution are laid out for its kernel, and how the kernel is called."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.depthwise.rule import Depthwise
from secateur.operators.helium import shifts
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step
from secateur.operators.stream import Layer, constants, shift_bytes, window_words, words_of


def pack(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words.

    ::

        five words for the window, see ``window_words``
        zero point of the source
        zero point of the target
        for every four channels, the last four of which overlap with those before:
            bias[4]                             less the source's zero point × the sum of the weights
            for every two taps:                 a byte each: weights[tap][2], weights[tap + 1][2] of the first
                                                two channels, then of the other two
            for an odd last tap: weights[4]
            multiplier[4]                       2·m − 2³²
            right shift[4], left shift[4]       a byte each
    """
    return _packed(network, step, _by_taps, (0, 1))


def pack_3x3(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words.

    ::

        seven words in front as above
        for every four channels:
            bias[4]
            for every column of the window: those of its upper two taps as above, lower weights[4]
            multiplier[4]
            right shift[4]                      a byte each
    """
    return _packed(network, step, _by_columns, (0,))


def pack_helium(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words.

    ::

        seven words in front as above
        for every four channels, the last four of which overlap with those before:
            for each channel: weights, a byte for every tap, column by column
            bias[4]
            multiplier[4]                       m
            shift[4]                            a byte each; to the right: negative
    """
    layer, weights, offset, header, text = _layer(network, step)
    shift, words, rows = shifts(layer), [header], step.rows
    for start in range(0, rows, 4):
        block = slice(min(start, rows - 4), min(start, rows - 4) + 4)
        words += [
            words_of(weights[..., block].astype(np.int8).transpose(2, 1, 0).reshape(-1)),
            offset[block],
            layer.multiplier[block] // 2,
            words_of(shift[block]),
        ]
    return (Array.of_words(np.concatenate(words), text),)


def pack_rows(network: Network, step: Step) -> tuple[Array, ...]:
    """One stream of words.

    ::

        seven words in front as above
        for every four channels:
            bias[4]
            for every column of the window, for every two rows of it: as above for every two taps; the second of the
                last two is nothing where rows are odd
            multiplier[4]
            right shift[4]                      a byte each
    """
    return _packed(network, step, _by_row_pairs, (0,))


def _by_row_pairs(own: np.ndarray) -> np.ndarray:
    """int8 [height, width, 4] → words."""
    even = np.concatenate([own, np.zeros((len(own) % 2, *own.shape[1:]), np.int8)])
    pairs = even.reshape(-1, 2, own.shape[1], 2, 2).transpose(2, 0, 3, 1, 4)
    return words_of(pairs.reshape(-1, 4)).reshape(-1)


def _by_taps(own: np.ndarray) -> np.ndarray:
    """int8 [height, width, 4] → words."""
    own = own.reshape(-1, 4)
    even = len(own) - len(own) % 2
    pairs = own[:even].reshape(-1, 2, 2, 2).transpose(0, 2, 1, 3)
    return np.concatenate([words_of(pairs.reshape(-1, 4)).reshape(-1), words_of(own[even:]).reshape(-1)])


def _by_columns(own: np.ndarray) -> np.ndarray:
    """int8 [3, 3, 4] → words."""
    pairs = own[:2].reshape(2, 3, 2, 2).transpose(1, 2, 0, 3).reshape(3, 8)
    return words_of(np.concatenate([pairs, own[2]], axis=1)).reshape(-1)


def _packed(
    network: Network, step: Step, arranged: Callable[[np.ndarray], np.ndarray], directions: tuple[int, ...]
) -> tuple[Array, ...]:
    rows = step.rows
    layer, weights, offset, header, text = _layer(network, step)
    words = [header]
    for start in range(0, rows, 4):
        block = slice(min(start, rows - 4), min(start, rows - 4) + 4)
        words += [
            offset[block],
            arranged(weights[..., block].astype(np.int8)),
            layer.multiplier[block],
            shift_bytes(layer.shift[block], 4)[list(directions)],
        ]
    return (Array.of_words(np.concatenate(words), text),)


def _layer(network: Network, step: Step) -> tuple[Layer, np.ndarray, np.ndarray, np.ndarray, str]:
    """The layer's numbers; its weights [height, width, rows]; its biases; words in front; a title."""
    part: Depthwise = step.payload
    window, rows = part.window, step.rows
    layer = constants(
        network, step.label, (part.source, part.weights, part.bias, part.target), rows, single=False
    )
    weights = np.zeros((window.height, window.width, rows), np.int64)
    own = weights[:: part.dilation[0], :: part.dilation[1]]
    own[...] = layer.weights.reshape(own.shape)
    offset = layer.bias - layer.source_zero_point * weights.sum(axis=(0, 1))
    weights[..., layer.nothing], offset[layer.nothing] = 0, 0
    header = np.concatenate(
        [
            window_words(window, rows),
            np.array([layer.source_zero_point, layer.target_zero_point], np.int64),
        ]
    )
    text = (
        f"{step.label}: depthwise convolution {window.height} x {window.width} of "
        f"{window.source_height} x {window.source_width} x {rows} to "
        f"{window.target_height} x {window.target_width} x {rows}"
    )
    return layer, weights, offset, header, text


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}, {writes[1]}"


def _kernel(
    name: str, window: str, packed: Callable[[Network, Step], tuple[Array, ...]], terms: tuple[str, ...]
) -> Kernel:
    return Kernel(
        name=name,
        folder=Path(__file__).parent,
        prototype=(
            f"void secateur_{name}(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)"
        ),
        summary=f"target[y, x, c] = requantise(weights[c] . window{window} of source[c] at (y, x) + bias[c]).",
        terms=terms,
        pack=packed,
        call=_call,
        includes=("requantise",),
    )


DEPTHWISE = _kernel(
    "depthwise",
    "",
    pack,
    ("call", "padding", "pixel", "list", "list_tap", "block", "block_pair", "block_odd"),
)
DEPTHWISE_3X3 = _kernel(
    "depthwise_3x3",
    " of 3 x 3",
    pack_3x3,
    ("call", "padding", "block", "row", "column", "edge_column", "pixel"),
)
DEPTHWISE_HELIUM = replace(
    _kernel(
        "depthwise_helium",
        "",
        pack_helium,
        (
            *("call", "place", "group", "pass", "row", "spread", "block", "line", "pixel", "pixel_apart"),
            *("deep_block", "deep_line", "deep_pixel", "deep_chunk"),
        ),
    ),
    includes=("helium", "requantise"),
)
DEPTHWISE_ROWS = _kernel(
    "depthwise_rows",
    ", spread out by rows,",
    pack_rows,
    (
        *("call", "padding", "block", "block_pair", "row", "row_pair", "column", "pixel", "pixel_four"),
        "pixel_tap",
    ),
)
