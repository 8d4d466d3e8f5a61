"""What RELU, RELU6, LEAKY_RELU, ABS and QUANTIZE scale integers by, and where they cut them off."""

from dataclasses import dataclass
from math import prod

import numpy as np

from secateur.network import Operator
from secateur.operators.layer_16 import HIGHEST, LOWEST
from secateur.operators.lowering import ITEM_BYTES, Lowering, unsupported
from secateur.operators.pairing import stored
from secateur.operators.program import Step
from secateur.operators.requantise import activation_range

_LARGEST = float(1 << 14)
_RELU, _RELU6 = 1, 3
"""The schema's numbers of these activations."""


@dataclass(frozen=True)
class Rescale:
    """Nine words that state it, see ``rescale_values.c``."""

    words: tuple[int, ...]


def lower_rescale(lowering: Lowering, index: int) -> None:
    """``target = clamp(scale · (source − zero point) + zero point)``, of int16, or between int8 and int16."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    reads = lowering.buffer(operator.inputs[0])
    if prod(source.shape) != prod(target.shape) or target.dtype not in ("int8", "int16"):
        raise unsupported(
            operator,
            target,
            f"makes {target.dtype} {target.shape} of {source.dtype} {source.shape}",
            "Quantise the model fully to int8 or int16.",
        )
    assert source.quantization is not None
    assert target.quantization is not None
    one, other = (
        float(np.float32(item.quantization.scales[0])) for item in (source, target) if item.quantization
    )
    positive, negative = _scales(operator, one, other)
    if not max(positive, abs(negative)) < _LARGEST:
        raise unsupported(
            operator, target, "has an output scale of next to nothing", "Calibrate the model again."
        )
    limits = (LOWEST, HIGHEST) if target.dtype == "int16" else (-128, 127)
    activation = {"RELU": _RELU, "RELU6": _RELU6}.get(operator.kind, 0)
    cut = source.quantization if operator.kind == "RELU6" else target.quantization
    low, high = activation_range(activation, cut, *limits)
    label = lowering.derived_label(operator.inputs[0], "/" + operator.kind.lower())
    writes = successor(lowering, index)
    words = (
        ITEM_BYTES[source.dtype] | ITEM_BYTES[target.dtype] << 8 | (negative < 0) << 16,
        source.quantization.zero_points[0],
        *stored(positive),
        *stored(abs(negative)),
        target.quantization.zero_points[0],
        low,
        high,
    )
    lowering.add(
        elementwise_step(
            label, index, "rescale_values", (reads, writes), prod(target.shape), 36, Rescale(words)
        )
    )


def _scales(operator: Operator, one: float, other: float) -> tuple[float, float]:
    """Of values of zero and more, and of negative ones; below zero where these change their sign."""
    if operator.kind == "RELU6":  # the reference takes both ends to have one scale
        return 1.0, 1.0
    if operator.kind == "LEAKY_RELU":
        return one / other, one * float(np.float32(operator.options.get("alpha", 0.0))) / other
    return one / other, (-one if operator.kind == "ABS" else one) / other


def successor(lowering: Lowering, index: int) -> int:
    """The buffer of an element-wise operator's target: that of its source where it is done with, or a new one."""
    operator = lowering.network.operators[index]
    source, target = operator.inputs[0], operator.outputs[0]
    same = lowering.tensor(source).dtype == lowering.tensor(target).dtype
    if not same or not lowering.may_overwrite(source, [index]):
        return lowering.new_buffer(target)
    lowering.alias(target, source)
    return lowering.buffer(target)


def elementwise_step(
    label: str,
    operator: int,
    kernel: str,
    buffers: tuple[int, int],
    elements: int,
    weights_bytes: int,
    payload: object,
) -> Step:
    """A step that maps every element alone."""
    return Step(
        label=label,
        kernel=kernel,
        operators=(operator,),
        reads=(buffers[0],),
        writes=(buffers[1],),
        rows=1,
        columns=elements,
        macs=0,
        parameters=0,
        weights_bytes=weights_bytes,
        tables_bytes=0,
        work=(1, elements),
        payload=payload,
    )
