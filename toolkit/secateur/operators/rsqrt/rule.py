"""What RSQRT of int16 scales its result by."""

import math
from dataclasses import dataclass
from math import prod

import numpy as np

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.requantise import quantize_multiplier
from secateur.operators.rescale.rule import elementwise_step, successor

_FRACTION_BITS = 20
_SHIFTS = range(_FRACTION_BITS - 31, _FRACTION_BITS + 11)
"""To the left, that the reference can shift the root of 20 bits of fraction by."""


@dataclass(frozen=True)
class Root:
    """``target = root · multiplier · 2^(shift − 31)``, of a root with 20 bits of fraction."""

    multiplier: int
    shift: int


def lower_rsqrt_16(lowering: Lowering, index: int) -> None:
    """``target = 1 / √source``; the largest value of zero, and of what is less, for which the reference has none."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    reads = lowering.buffer(operator.inputs[0])
    assert source.quantization is not None
    assert target.quantization is not None
    one, other = (float(np.float32(item.scales[0])) for item in (source.quantization, target.quantization))
    multiplier, shift = quantize_multiplier(1.0 / (math.sqrt(one) * other))
    if shift not in _SHIFTS or multiplier == 0 or prod(source.shape) != prod(target.shape):
        seen = f"makes {target.shape} in steps of {other:g} of {source.shape} in steps of {one:g}"
        raise unsupported(operator, target, seen, "Calibrate the model again.")
    label = lowering.derived_label(operator.inputs[0], "/rsqrt")
    buffers = reads, successor(lowering, index)
    part = Root(multiplier, shift - _FRACTION_BITS)
    lowering.add(elementwise_step(label, index, "rsqrt_16", buffers, prod(target.shape), 0, part))
