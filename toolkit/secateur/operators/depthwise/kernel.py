"""How the weights of a depthwise convolution are laid out for its kernel, and how the kernel is called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.depthwise.rule import Depthwise
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step
from secateur.operators.stream import constants, shift_bytes, window_words, words_of


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
    part: Depthwise = step.payload
    window, rows = part.window, step.rows
    layer = constants(
        network, step.label, (part.source, part.weights, part.bias, part.target), rows, single=False
    )
    weights = layer.weights.reshape(-1, rows).copy()
    offset = layer.bias - layer.source_zero_point * weights.sum(axis=0)
    weights[:, layer.nothing], offset[layer.nothing] = 0, 0
    taps = len(weights)
    words = [
        window_words(window, rows),
        np.array([layer.source_zero_point, layer.target_zero_point], np.int64),
    ]
    for start in range(0, rows, 4):
        block = slice(min(start, rows - 4), min(start, rows - 4) + 4)
        own = weights[:, block].astype(np.int8)
        pairs = own[: taps - taps % 2].reshape(-1, 2, 2, 2).transpose(0, 2, 1, 3)
        words += [
            offset[block],
            words_of(pairs.reshape(-1, 4)).reshape(-1),
            words_of(own[taps - taps % 2 :]).reshape(-1),
            layer.multiplier[block],
            shift_bytes(layer.shift[block], 4),
        ]
    stream = (np.concatenate(words) & 0xFFFFFFFF).astype(np.uint32)
    text = (
        f"{step.label}: depthwise convolution {window.height} x {window.width} of "
        f"{window.source_height} x {window.source_width} x {rows} to "
        f"{window.target_height} x {window.target_width} x {rows}"
    )
    return (Array("weights", stream, text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}, {writes[1]}"


DEPTHWISE = Kernel(
    name="depthwise",
    folder=Path(__file__).parent,
    prototype=(
        "void secateur_depthwise(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)"
    ),
    summary="target[y, x, c] = requantise(weights[c] . window of source[c] at (y, x) + bias[c]).",
    terms=("call", "padding", "pixel", "list", "list_tap", "block", "block_pair", "block_odd"),
    pack=pack,
    call=_call,
    includes=("requantise",),
)
