"""What TANH and LOGISTIC of int16 scale their source by before they look it up."""

import math
from dataclasses import dataclass
from math import prod

import numpy as np

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.rescale.rule import elementwise_step, successor

_LARGEST_MULTIPLIER = 32767 / 2
_MOST_SHIFTED = 30
_MOST_MULTIPLIED = (1 << 16) - 1
_NEAR = 1e-3
"""Of binary logarithms: how near to a whole one the reference takes for one."""


@dataclass(frozen=True)
class Sigmoid:
    """``x = (source · multiplier + half) >> right``, in steps of 1 / (3 · 2¹²); of a tanh, of half of that."""

    multiplier: int
    right: int
    tanh: bool


def lower_sigmoid(lowering: Lowering, index: int) -> None:
    """``target = tanh(source)`` or ``1 / (1 + exp(−source))``; the target's scale is 2⁻¹⁵."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    reads = lowering.buffer(operator.inputs[0])
    assert source.quantization is not None
    assert target.quantization is not None
    if _power_of_two(target.quantization.scales[0]) != -15 or prod(source.shape) != prod(target.shape):
        raise unsupported(operator, target, "has another scale than 2⁻¹⁵", "Quantise the model again.")
    tanh = operator.kind == "TANH"
    multiplier, right = scaling(source.quantization.scales[0], tanh)
    if not 1 <= multiplier <= _MOST_MULTIPLIED:
        raise unsupported(
            operator,
            target,
            f"reads steps of {source.quantization.scales[0]:g}",
            "Calibrate the model again.",
        )
    label = lowering.derived_label(operator.inputs[0], "/" + operator.kind.lower())
    buffers = reads, successor(lowering, index)
    part = Sigmoid(multiplier, right, tanh)
    lowering.add(elementwise_step(label, index, "sigmoid_16", buffers, prod(target.shape), 0, part))


def scaling(scale: float, tanh: bool) -> tuple[int, int]:
    """Multiplier and shift to the right for a source of that scale; a power of two near 2⁻¹² needs no shift."""
    real = float(np.float32(scale))
    power = _power_of_two(real)
    if power is not None and power + 12 in ((0, 1) if tanh else (0,)):
        return 3 << (power + 12), 0
    multiplier, right = real * 4096 * 3, 0
    while multiplier <= _LARGEST_MULTIPLIER and right <= _MOST_SHIFTED:
        multiplier, right = 2 * multiplier, right + 1
    return int(multiplier), right


def _power_of_two(scale: float) -> int | None:
    """The binary logarithm of a scale, where it is near a whole one."""
    logarithm = math.log2(scale)
    return round(logarithm) if abs(logarithm - round(logarithm)) < _NEAR else None
