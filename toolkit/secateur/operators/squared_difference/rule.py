"""What SQUARED_DIFFERENCE scales its sources and its square by."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from secateur.network import Quantization
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import lower_pair, stored

_FRACTION_BITS = 7
_LARGEST = 1.0


def lower_squared_difference(lowering: Lowering, index: int) -> None:
    """``target = (one − other)²``: both brought to twice the larger scale, with 7 bits of fraction."""
    lower_pair(lowering, index, "squared_difference", _words)


def lower_squared_difference_16(lowering: Lowering, index: int) -> None:
    """The same of int16, without a fraction."""
    lower_pair(lowering, index, "squared_difference_16", _words_16)


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    first, second, last = _scales(quantizations, _FRACTION_BITS, refuse)
    points = [quantization.zero_points[0] for quantization in quantizations]
    return (points[0], *first, points[1], *second, points[2], *last)


def _words_16(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    first, second, last = _scales(quantizations, 0, refuse)
    return (*first, *second, *last)


def _scales(
    quantizations: Sequence[Quantization], fraction_bits: int, refuse: Callable[[str, str], NoReturn]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """What the one, the other and the square are scaled by."""
    one, other, target = (float(np.float32(quantization.scales[0])) for quantization in quantizations)
    twice = 2 * max(one, other)
    with np.errstate(over="ignore"):
        real = twice * twice / float(np.float32((1 << 2 * fraction_bits) * np.float32(target)))
    if not real < _LARGEST:
        refuse("has an output scale of next to nothing", "Calibrate the model again.")
    return stored(one / twice), stored(other / twice), stored(real)
