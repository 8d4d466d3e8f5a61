"""What DIV scales its quotient by."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from secateur.network import Quantization
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import lower_pair
from secateur.operators.requantise import quantize_multiplier

_SHIFTS = (7, 23)
"""Least and greatest shift to the left of the scale with which the reference shifts the quotient right by 0 to 31: a
dividend of one step leaves 31 bits of room and a divisor of 255 steps takes seven; a dividend of 255 leaves 23."""


def lower_divide(lowering: Lowering, index: int) -> None:
    """``target = activation(one / other)``."""
    lower_pair(lowering, index, "divide", _words)


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    one, other, target = (np.float32(quantization.scales[0]) for quantization in quantizations)
    with np.errstate(all="ignore"):
        real = float(one / (other * target))
    multiplier, shift = quantize_multiplier(real) if np.isfinite(real) else (0, 0)
    if not multiplier or not _SHIFTS[0] <= shift <= _SHIFTS[1]:
        refuse(
            f"has scales whose quotient is {real:.3g} steps of its output",
            f"Bring it to {2 ** (_SHIFTS[0] - 1)} to {2 ** _SHIFTS[1]}: divide values of a range like the divisor's.",
        )
    points = [quantization.zero_points[0] for quantization in quantizations]
    return (*points, 2 * multiplier, shift)
