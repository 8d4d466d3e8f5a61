"""What ADD and SUB scale their sources and their sum by."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from secateur.network import Quantization
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import lower_pair, stored

_FRACTION_BITS, _FRACTION_BITS_16 = 20, 15

_HALF = 1 << 31
"""A multiplier of a half, as it is stored."""


def lower_add(lowering: Lowering, index: int) -> None:
    """``target = activation(one ± other)``: both brought to twice the larger scale, with 20 bits of fraction."""
    lower_pair(lowering, index, "add", _words, _suits_helium)


def lower_add_16(lowering: Lowering, index: int) -> None:
    """The same of int16: with 15 bits of fraction."""
    lower_pair(lowering, index, "add_16", _words_16)


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    first, second, last = _scales(quantizations, _FRACTION_BITS, refuse)
    points = [quantization.zero_points[0] for quantization in quantizations]
    return (points[0], *first, points[1], *second, points[2], *last, 1 if kind == "ADD" else -1)


def _suits_helium(words: Sequence[int]) -> bool:
    """True where one source is scaled by a half, as the one of the larger scale is, and all else is shifted right."""
    exact = [words[place + 1] == _HALF and words[place + 2] == 0 for place in (0, 3)]
    right = [0 < words[place] < 32 for place in (2, 5, 8)]
    return (exact[0] or exact[1]) and (exact[0] or right[0]) and (exact[1] or right[1]) and right[2]


def _words_16(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    first, second, last = _scales(quantizations, _FRACTION_BITS_16, refuse)
    return (*first, *second, *last, 1 if kind == "ADD" else -1)


def _scales(
    quantizations: Sequence[Quantization], fraction_bits: int, refuse: Callable[[str, str], NoReturn]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """What the one, the other and the sum are scaled by."""
    one, other, target = (float(np.float32(quantization.scales[0])) for quantization in quantizations)
    twice = 2 * max(one, other)
    real = twice / ((1 << fraction_bits) * target)
    if not real < 1:
        refuse("has an output scale of next to nothing", "Calibrate the model again.")
    return stored(one / twice), stored(other / twice), stored(real)
