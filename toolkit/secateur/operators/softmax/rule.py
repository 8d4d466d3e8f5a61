"""When a SOFTMAX can be carried out, and its table of exponentials."""

import math
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Step
from secateur.operators.requantise import quantize_multiplier
from secateur.operators.rescale.rule import elementwise_step
from secateur.operators.window import LARGEST

_INTEGER_BITS = 5
_FRACTION_BITS = 31 - _INTEGER_BITS
_FACTORS = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)
"""exp(−2ⁿ) as a fraction of 2³¹, by n."""

_MOST_COLUMNS = 2000

_LARGEST_16 = float(1 << 14)
"""That a difference of 17 bits may be scaled by."""


@dataclass(frozen=True)
class Softmax:
    """Rows of ``columns`` values; of their scaling: multiplier, left shift, and entries of the table."""

    rows: int
    columns: int
    multiplier: int
    shift: int
    length: int


def lower_softmax(lowering: Lowering, index: int) -> None:
    """``target[r] = exp(β · source[r]) / Σ exp(β · source[r])`` over the last axis; the output's scale is 1/256."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    reads, writes = lowering.buffer(operator.inputs[0]), lowering.new_buffer(operator.outputs[0])
    assert source.quantization is not None
    assert target.quantization is not None
    if (target.quantization.scales[0], target.quantization.zero_points[0]) != (1 / 256, -128):
        raise unsupported(operator, target, "has another scale than 1/256", "Quantise the model again.")
    columns = source.shape[-1]
    beta = float(np.float32(operator.options.get("beta", 0.0)))
    real = min(beta * source.quantization.scales[0] * (1 << _FRACTION_BITS), (1 << 31) - 1.0)
    if not real > 1 or columns > _MOST_COLUMNS or source.shape != target.shape:
        raise unsupported(operator, target, f"maps {source.shape} at β {beta:g}", "Use fewer classes, β = 1.")
    multiplier, shift = quantize_multiplier(real)
    radius = math.floor(((1 << _INTEGER_BITS) - 1) * (1 << _FRACTION_BITS) / (1 << shift))
    part = Softmax(prod(source.shape[:-1]), columns, multiplier, shift, min(radius, 255) + 1)
    label = lowering.derived_label(operator.inputs[0], "/softmax")
    lowering.add(softmax_step(label, index, (reads, writes), part))


@dataclass(frozen=True)
class Softmax16:
    """Rows of ``columns`` values; of their differences, in steps of 10 / 65535: multiplier and left shift."""

    rows: int
    columns: int
    multiplier: int
    shift: int


def lower_softmax_16(lowering: Lowering, index: int) -> None:
    """The same of int16; the output's scale is 2⁻¹⁵, and exp(−10) stands for all that is less."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    reads, writes = lowering.buffer(operator.inputs[0]), lowering.new_buffer(operator.outputs[0])
    assert source.quantization is not None
    assert target.quantization is not None
    if target.quantization.scales[0] != 1 / (1 << 15):
        raise unsupported(operator, target, "has another scale than 2⁻¹⁵", "Quantise the model again.")
    beta = float(np.float32(operator.options.get("beta", 0.0)))
    real = float(np.float32(source.quantization.scales[0])) * beta / (10.0 / 65535.0)
    if source.shape != target.shape or not source.shape or source.shape[-1] > LARGEST["an image"]:
        raise unsupported(operator, target, f"maps {source.shape} to {target.shape}", "Convert it again.")
    if not 0 < real < _LARGEST_16:
        seen = f"has steps of {source.quantization.scales[0]:g} and β {beta:g}"
        raise unsupported(operator, target, seen, "Calibrate the model again, β = 1.")
    part = Softmax16(prod(source.shape[:-1]), source.shape[-1], *quantize_multiplier(real))
    label = lowering.derived_label(operator.inputs[0], "/softmax")
    lowering.add(_softmax_step(label, index, "softmax_16", (reads, writes), part))


@dataclass(frozen=True)
class SoftmaxFloat:
    """Rows of ``columns`` values, and β."""

    rows: int
    columns: int
    beta: float


def lower_softmax_float(lowering: Lowering, index: int) -> None:
    """The same of float32."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    if source.shape != target.shape or not source.shape:
        raise unsupported(operator, target, f"maps {source.shape} to {target.shape}", "Convert it again.")
    reads, writes = lowering.buffer(operator.inputs[0]), lowering.new_buffer(operator.outputs[0])
    part = SoftmaxFloat(prod(source.shape[:-1]), source.shape[-1], float(operator.options.get("beta", 0.0)))
    label = lowering.derived_label(operator.inputs[0], "/softmax")
    lowering.add(_softmax_step(label, index, "softmax_float", (reads, writes), part))


def _softmax_step(
    label: str, operator: int, kernel: str, buffers: tuple[int, int], part: Softmax16 | SoftmaxFloat
) -> Step:
    """A step without a table of its own, and work in rows and in values."""
    values = part.rows * part.columns
    step = elementwise_step(label, operator, kernel, buffers, values, 0, part)
    return replace(step, work=(1, part.rows, values))


def softmax_step(label: str, operator: int, buffers: tuple[int, int], part: Softmax) -> Step:
    """The step: a word for each difference that counts, and work in rows and in values."""
    values = part.rows * part.columns
    return Step(
        label=label,
        kernel="softmax",
        operators=(operator,),
        reads=(buffers[0],),
        writes=(buffers[1],),
        rows=1,
        columns=values,
        macs=0,
        parameters=0,
        weights_bytes=0,
        tables_bytes=4 * part.length,
        work=(1, part.rows, values),
        payload=part,
    )


def exponentials(part: Softmax) -> np.ndarray:
    """Exponentials of every difference from the largest value, of which 2³¹ is one: int64 [length]."""
    return np.array([_exponential(part, below) for below in range(part.length)], np.int64)


def _exponential(part: Softmax, below: int) -> int:
    value = _high_product(-below << part.shift, part.multiplier)
    if value == 0:
        return (1 << 31) - 1
    quarter = 1 << (_FRACTION_BITS - 2)
    rest = (value & (quarter - 1)) - quarter
    result = _near_zero(rest << _INTEGER_BITS)
    for exponent, factor in _FACTORS:
        if (rest - value) >> (_FRACTION_BITS + exponent) & 1:
            result = _high_product(result, factor)
    return result


def _near_zero(value: int) -> int:
    """The exponential from −1/4 to 0, by four terms round −1/8; 2³¹ is one."""
    constant, third = 1895147668, 715827883
    x = value + (1 << 28)
    x2 = _high_product(x, x)
    x3, x4 = _high_product(x2, x), _high_product(x2, x2)
    rest = _shift_right(_high_product(_shift_right(x4, 2) + x3, third) + x2, 1)
    return constant + _high_product(constant, x + rest)


def _high_product(one: int, two: int) -> int:
    return (one * two + (1 << 30)) >> 31


def _shift_right(value: int, bits: int) -> int:
    return (value - (value < 0) + (1 << (bits - 1))) >> bits
