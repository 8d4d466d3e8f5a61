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


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    one, other, target = (float(np.float32(quantization.scales[0])) for quantization in quantizations)
    twice = 2 * max(one, other)
    with np.errstate(over="ignore"):
        real = twice * twice / float(np.float32((1 << 2 * _FRACTION_BITS) * np.float32(target)))
    if not real < _LARGEST:
        refuse("has an output scale of next to nothing", "Calibrate the model again.")
    points = [quantization.zero_points[0] for quantization in quantizations]
    return (points[0], *stored(one / twice), points[1], *stored(other / twice), points[2], *stored(real))
