"""When a BATCH_MATMUL, or a FULLY_CONNECTED of two activations, can be carried out, and what it takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NoReturn

import numpy as np

from secateur.network import Operator, Quantization
from secateur.operators.kernel import padded_size
from secateur.operators.layer_16 import MOST_LEFT
from secateur.operators.lowering import ITEM_BYTES, Lowering, unsupported
from secateur.operators.pairing import stored
from secateur.operators.program import Step
from secateur.operators.requantise import quantize_multiplier, reduced_multiplier
from secateur.operators.window import LARGEST


@dataclass(frozen=True)
class BatchMatmul:
    """The words that state it, see ``batch_matmul.c`` and those of other types.

    Attributes:
        words: these.
        item_bytes: of an element.
        constants: the network's tensor for each side that is a constant, and is packed; None for an activation.
    """

    words: tuple[int, ...]
    item_bytes: int = 1
    constants: tuple[int | None, int | None] = (None, None)


def lower_batch_matmul(lowering: Lowering, index: int) -> None:
    """``target[b, rows, columns] = one[b, rows, inner] · other[b, inner, columns]``, either transposed."""
    _lower(lowering, index, "batch_matmul", _words)


def lower_batch_matmul_16(lowering: Lowering, index: int) -> None:
    """The same of int16: sums of 64 bits, scaled by 15 bits and rounded once."""
    _lower(lowering, index, "batch_matmul_16", _words_16)


def lower_batch_matmul_float(lowering: Lowering, index: int) -> None:
    """The same of float32."""
    _lower(lowering, index, "batch_matmul_float", lambda quantizations, refuse: ())


Words = Callable[[Sequence[Quantization], Callable[[str, str], NoReturn]], Sequence[int]]
"""Quantisation of one, other and target (none of float32), how to refuse → the words behind sizes and steps."""


def _words(quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]) -> Sequence[int]:
    real = _real(quantizations)
    if not real < 1 << 14:
        refuse("has an output scale of next to nothing", "Calibrate the model again.")
    return (*(item.zero_points[0] for item in quantizations), *stored(real))


def _words_16(quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]) -> Sequence[int]:
    real = _real(quantizations)
    if not real < 1 << MOST_LEFT:
        refuse(f"scales sums up by {real:.3g}", "Calibrate the model again.")
    multiplier, shift = quantize_multiplier(real)
    return reduced_multiplier(multiplier), 15 - shift


def _real(quantizations: Sequence[Quantization]) -> float:
    one, other, target = (np.float32(quantization.scales[0]) for quantization in quantizations)
    with np.errstate(over="ignore"):
        return float(one * other) / float(target)


def _lower(lowering: Lowering, index: int, kernel: str, words_of: Words) -> None:
    operator = lowering.network.operators[index]
    one, other = (lowering.tensor(tensor) for tensor in operator.inputs[:2])
    target = lowering.tensor(operator.outputs[0])

    def refuse(seen: str, remedy: str) -> NoReturn:
        raise unsupported(operator, target, seen, remedy)

    sources = [lowering.source(tensor) for tensor in operator.inputs[:2]]
    reads = tuple(buffer for buffer in sources if buffer is not None)
    for tensor in operator.inputs[:2]:
        lowering.check_activation(tensor)
    if not reads or len({item.dtype for item in (one, other, target)}) > 1:
        refuse(
            f"multiplies {one.dtype} by {other.dtype}, {2 - len(reads)} of them constant",
            "Quantise the model again, and let one of both be an activation.",
        )
    if min(len(one.shape), len(other.shape), len(target.shape)) < 2:
        refuse(f"multiplies {one.shape} by {other.shape}", "Use matrices.")
    shapes, flip_one, flip_other = _matrices(operator, (one.shape, other.shape, target.shape))
    rows, inner = shapes[0][-2:][::-1] if flip_one else shapes[0][-2:]
    again, columns = shapes[1][-2:][::-1] if flip_other else shapes[1][-2:]
    batches = [prod(shape[:-2]) for shape in shapes[:2]]
    count = max(batches)
    if inner != again or shapes[2][-2:] != (rows, columns) or prod(shapes[2][:-2]) != count:
        refuse(f"multiplies {one.shape} by {other.shape} to {target.shape}", "Convert the model again.")
    if any(batch not in (1, count) for batch in batches):
        refuse("broadcasts along some of its batches", "Broadcast along all batches or none.")
    if operator.options.get("fusedActivationFunction", 0) or any(t != -1 for t in operator.inputs[2:]):
        refuse("adds a bias or bends the product of two activations", "Use operators of their own.")
    if kernel == "batch_matmul_16" and inner > LARGEST["an image"]:
        refuse(f"sums {inner} products", f"Take at most {LARGEST['an image']}.")
    writes = lowering.new_buffer(operator.outputs[0])
    steps_one = (rows * inner * (batches[0] > 1), *((1, rows) if flip_one else (inner, 1)))
    steps_other = (columns * inner * (batches[1] > 1), *((inner, 1) if flip_other else (1, columns)))
    quantizations = [item.quantization for item in (one, other, target) if item.quantization is not None]
    words = (count, rows, columns, inner, *steps_one, *steps_other, *words_of(quantizations, refuse))
    activation = operator.inputs[0 if sources[0] is not None else 1]
    label, item = lowering.derived_label(activation, "/batch_matmul"), ITEM_BYTES[target.dtype]
    constants = [t if place is None else None for t, place in zip(operator.inputs[:2], sources)]
    learnt = [prod(lowering.tensor(tensor).shape) for tensor in constants if tensor is not None]
    lowering.add(
        Step(
            label=label,
            kernel=kernel,
            operators=(index,),
            reads=reads,
            writes=(writes,),
            rows=rows,
            columns=columns,
            macs=count * rows * columns * inner,
            parameters=sum(learnt),
            weights_bytes=4 * len(words) + sum(padded_size(item * elements) for elements in learnt),
            tables_bytes=0,
            work=(1, count * rows, count * rows * columns, count * rows * columns * inner),
            payload=BatchMatmul(words, item, (constants[0], constants[1])),
        )
    )


Shape = tuple[int, ...]


def _matrices(operator: Operator, shapes: tuple[Shape, Shape, Shape]) -> tuple[list[Shape], bool, bool]:
    """One, other and target as matrices by batches; which of the first two are transposed."""
    if operator.kind != "FULLY_CONNECTED":
        return list(shapes), bool(operator.options.get("adjX")), bool(operator.options.get("adjY"))
    one, other, target = shapes
    vectors = [(prod(shape) // shape[-1], shape[-1]) for shape in (one, target)]
    return [vectors[0], other, vectors[1]], False, True
