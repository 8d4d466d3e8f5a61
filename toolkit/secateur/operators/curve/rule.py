"""Element-wise operators of float32, and QUANTIZE and DEQUANTIZE: the kernels are told which."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from secateur.operators.lowering import ITEM_BYTES, Lowering, unsupported
from secateur.operators.rescale.rule import elementwise_step, successor

CURVES = (
    "TANH",
    "LOGISTIC",
    "RELU",
    "RELU6",
    "LEAKY_RELU",
    "EXP",
    "ELU",
    "ABS",
    "NEG",
    "SQUARE",
    "SQRT",
    "RSQRT",
    "HARD_SWISH",
)
"""Operator kinds, by the number that ``curve_float.c`` knows them by."""

SERIES = ("SIN", "COS", "LOG")
"""The same of ``series_float.c``: what few policies have, so that the others do without its code."""


@dataclass(frozen=True)
class Curve:
    """Which one, and the slope of a LEAKY_RELU."""

    kind: str
    slope: float


@dataclass(frozen=True)
class Conversion:
    """Four words that state it, see ``convert_float.c``."""

    words: tuple[int, ...]


def bits(value: float) -> int:
    """A float32 as the word that it is stored in."""
    return int(np.array(value, np.float32).view(np.uint32))


def lower_curve(lowering: Lowering, index: int) -> None:
    """``target[i] = f(source[i])``, float32, in place where the source is done with."""
    operator = lowering.network.operators[index]
    elements = prod(lowering.tensor(operator.outputs[0]).shape)
    if elements != prod(lowering.tensor(operator.inputs[0]).shape):
        target = lowering.tensor(operator.outputs[0])
        raise unsupported(operator, target, "changes the number of elements", "Convert the model again.")
    reads = lowering.buffer(operator.inputs[0])
    label = lowering.derived_label(operator.inputs[0], "/" + operator.kind.lower())
    buffers = reads, successor(lowering, index)
    part = Curve(operator.kind, float(operator.options.get("alpha", 0.0)))
    if operator.kind in SERIES:
        step = elementwise_step(label, index, "series_float", buffers, elements, 0, part)
        logarithms = elements * (operator.kind == "LOG")
        lowering.add(replace(step, work=(1, elements - logarithms, logarithms)))
        return
    step = elementwise_step(label, index, "curve_float", buffers, elements, 0, part)
    lowering.add(replace(step, work=(1, *(elements * (operator.kind == kind) for kind in CURVES))))


def lower_conversion(lowering: Lowering, index: int) -> None:
    """Between float32 and the int8 or int16 of one scale."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    back = source.dtype != "float32"
    whole, real = (source, target) if back else (target, source)
    elements = prod(target.shape)
    if real.dtype != "float32" or whole.quantization is None or elements != prod(source.shape):
        raise unsupported(
            operator,
            target,
            f"makes {target.dtype} {target.shape} of {source.dtype} {source.shape}",
            "Convert between float32 and int8 or int16.",
        )
    scale, zero_point = whole.quantization.scales[0], whole.quantization.zero_points[0]
    words = (int(back), ITEM_BYTES[whole.dtype], bits(scale), zero_point)
    reads = lowering.buffer(operator.inputs[0])
    label = lowering.derived_label(operator.inputs[0], "/" + operator.kind.lower())
    buffers = reads, lowering.new_buffer(operator.outputs[0])
    step = elementwise_step(label, index, "convert_float", buffers, elements, 16, Conversion(words))
    lowering.add(replace(step, work=(1, elements * (not back), elements * back)))
