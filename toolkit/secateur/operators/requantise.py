"""TFLM's fixed-point requantisation: from an int32 sum to an int8, bit for bit.

The reference is ``MultiplyByQuantizedMultiplier`` with two roundings (gemmlowp): a saturating rounding
doubling high multiplication, then a rounding shift to the right, half away from zero.

On a core with DSP instructions the first is one SMMLAR. With the multiplier ``m`` in [2³⁰, 2³¹) stored as
``2·m − 2³²``, which fits 32 signed bits::

    round(a · m / 2³¹) = (2·a·m + 2³¹) >> 32 = (2³²·a + a·(2·m − 2³²) + 2³¹) >> 32 = SMMLAR(a, stored, a)

The second is ADDS, ASRS, ADC: subtracting one from negative values leaves their sign in the carry, a shift by
    a register leaves the last bit shifted out there, or the carry untouched when it shifts by nothing.
"""

import math

import numpy as np

from secateur.errors import SecateurError
from secateur.network import Quantization

ACTIVATION_RANGES: dict[int, tuple[float | None, float | None]] = {
    0: (None, None),  # NONE
    1: (0.0, None),  # RELU
    2: (-1.0, 1.0),  # RELU_N1_TO_1
    3: (0.0, 6.0),  # RELU6
}
"""Fused activation, by the schema's number → lowest and highest real value."""


_LARGEST_MULTIPLIER = float(1 << 30)
_INT32 = float(1 << 31)


def _round(value: float) -> float:
    """C's ``round``: half away from zero."""
    return math.copysign(math.floor(abs(value) + 0.5), value)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """``real`` → (multiplier in [2³⁰, 2³¹) or 0, left shift), as TFLM's ``QuantizeMultiplier``.

    real ≈ multiplier · 2^(shift − 31)
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    fixed = int(_round(fraction * (1 << 31)))
    if fixed == 1 << 31:
        fixed, shift = fixed // 2, shift + 1
    return (0, 0) if shift < -31 else (fixed, shift)


def multipliers(
    source: Quantization, weights: Quantization, target: Quantization, rows: int, single: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier and left shift of every row of a matrix product.

    TFLM multiplies the scales in double precision, but those of a FULLY_CONNECTED whose weights have one
    scale in single (``single``).

    Returns:
        int64 [rows], int64 [rows].

    Raises:
        SecateurError: a multiplier of 2³⁰ or more, which the reference cannot shift by.
    """
    scale, result = np.float32(source.scales[0]), float(np.float32(target.scales[0]))
    if len(weights.scales) == 1 and single:
        reals = [float(scale * np.float32(weights.scales[0])) / result] * rows
    elif len(weights.scales) == 1:
        reals = [float(scale) * float(np.float32(weights.scales[0])) / result] * rows
    else:
        reals = [float(scale) * float(np.float32(row)) / result for row in weights.scales]
    if not max(reals) < _LARGEST_MULTIPLIER:
        raise SecateurError(
            "input scale × weight scale / output scale is below 2³⁰",
            f"it is {max(reals):.3g}",
            "Calibrate the model again: the range of an output is next to nothing.",
        )
    table = np.array([quantize_multiplier(real) for real in reals], np.int64).reshape(rows, 2)
    return table[:, 0], table[:, 1]


def reduced_multiplier(multiplier: int) -> int:
    """The 15 bits of a multiplier that TFLM scales sums of 64 bits by."""
    return 0x7FFF if multiplier >= 0x7FFF0000 else (multiplier + (1 << 15)) >> 16


def multiply_by_quantized_multiplier(values: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """The reference's arithmetic on int32 values, in numpy: what the kernels are tested against."""
    shifted = (values.astype(np.int64) << max(shift, 0)).astype(np.int32).astype(np.int64)
    high = (shifted * multiplier + (1 << 30)) >> 31
    right = max(-shift, 0)
    half = (1 << right) >> 1
    return (high + half - ((high < 0) & (right > 0))) >> right


def activation_range(
    activation: int, target: Quantization, lowest: int = -128, highest: int = 127
) -> tuple[int, int]:
    """Lowest and highest stored value that a fused activation lets through, between those of the type."""
    low, high = ACTIVATION_RANGES[activation]
    scale, zero_point = np.float32(target.scales[0]), target.zero_points[0]

    def stored(real: float) -> int:
        steps = float(np.float32(real)) / float(scale)
        if abs(steps) >= _INT32:
            raise SecateurError(
                "the bounds of a fused activation fit 32 bits in steps of its output",
                f"{real:g} is {steps:.3g} steps",
                "Calibrate the model again: the range of an output is next to nothing.",
            )
        return zero_point + int(_round(float(np.float32(real) / scale)))

    return (
        lowest if low is None else max(lowest, stored(low)),
        highest if high is None else min(highest, stored(high)),
    )
