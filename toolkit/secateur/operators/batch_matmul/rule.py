"""When a BATCH_MATMUL can be carried out, and what it takes."""

from dataclasses import dataclass
from math import prod
from typing import NoReturn

import numpy as np

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.pairing import stored
from secateur.operators.program import Step


@dataclass(frozen=True)
class BatchMatmul:
    """Fifteen words that state it, see ``batch_matmul.c``."""

    words: tuple[int, ...]


def lower_batch_matmul(lowering: Lowering, index: int) -> None:
    """``target[b, rows, columns] = one[b, rows, inner] · other[b, inner, columns]``, either transposed."""
    operator = lowering.network.operators[index]
    one, other = (lowering.tensor(tensor) for tensor in operator.inputs[:2])
    target = lowering.tensor(operator.outputs[0])

    def refuse(seen: str, remedy: str) -> NoReturn:
        raise unsupported(operator, target, seen, remedy)

    reads = tuple(lowering.buffer(tensor) for tensor in operator.inputs[:2])
    if min(len(one.shape), len(other.shape), len(target.shape)) < 2:
        refuse(f"multiplies {one.shape} by {other.shape}", "Use matrices.")
    flip_one, flip_other = bool(operator.options.get("adjX")), bool(operator.options.get("adjY"))
    rows, inner = one.shape[-2:][::-1] if flip_one else one.shape[-2:]
    again, columns = other.shape[-2:][::-1] if flip_other else other.shape[-2:]
    batches = [prod(tensor.shape[:-2]) for tensor in (one, other)]
    count = max(batches)
    if inner != again or target.shape[-2:] != (rows, columns) or prod(target.shape[:-2]) != count:
        refuse(f"multiplies {one.shape} by {other.shape} to {target.shape}", "Convert the model again.")
    if any(batch not in (1, count) for batch in batches):
        refuse("broadcasts along some of its batches", "Broadcast along all batches or none.")
    assert one.quantization is not None
    assert other.quantization is not None
    writes = lowering.new_buffer(operator.outputs[0])
    assert target.quantization is not None
    scale = float(np.float32(one.quantization.scales[0]) * np.float32(other.quantization.scales[0]))
    real = scale / float(np.float32(target.quantization.scales[0]))
    if not real < 1 << 14:
        refuse("has an output scale of next to nothing", "Calibrate the model again.")
    steps_one = (rows * inner * (batches[0] > 1), *((1, rows) if flip_one else (inner, 1)))
    steps_other = (columns * inner * (batches[1] > 1), *((inner, 1) if flip_other else (1, columns)))
    points = [item.zero_points[0] for item in (one.quantization, other.quantization, target.quantization)]
    words = (count, rows, columns, inner, *steps_one, *steps_other, *points, *stored(real))
    label = lowering.derived_label(operator.inputs[0], "/batch_matmul")
    lowering.add(
        Step(
            label=label,
            kernel="batch_matmul",
            operators=(index,),
            reads=reads,
            writes=(writes,),
            rows=rows,
            columns=columns,
            macs=count * rows * columns * inner,
            parameters=0,
            weights_bytes=60,
            tables_bytes=0,
            work=(1, count * rows, count * rows * columns, count * rows * columns * inner),
            payload=BatchMatmul(words),
        )
    )
