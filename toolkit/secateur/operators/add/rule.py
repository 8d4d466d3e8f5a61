"""What ADD and SUB scale their sources and their sum by."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from secateur.network import Quantization
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import lower_pair, stored

_FRACTION_BITS = 20


def lower_add(lowering: Lowering, index: int) -> None:
    """``target = activation(one ± other)``: both brought to twice the larger scale, with 20 bits of fraction."""
    lower_pair(lowering, index, "add", _words)


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    one, other, target = (float(np.float32(quantization.scales[0])) for quantization in quantizations)
    twice = 2 * max(one, other)
    real = twice / ((1 << _FRACTION_BITS) * target)
    if not real < 1:
        refuse("has an output scale of next to nothing", "Calibrate the model again.")
    points = [quantization.zero_points[0] for quantization in quantizations]
    first, second, last = stored(one / twice), stored(other / twice), stored(real)
    return (points[0], *first, points[1], *second, points[2], *last, 1 if kind == "ADD" else -1)
