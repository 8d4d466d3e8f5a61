"""A broadcast is a move whose source stands still along the axes that are added."""

import numpy as np

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.move.rule import move_step, strides


def lower_broadcast(lowering: Lowering, index: int) -> None:
    """``target`` = source, repeated along axes where it has one index or none."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    rank = len(target.shape)
    shape = (1,) * (rank - len(source.shape)) + source.shape
    try:
        fits = np.broadcast_shapes(source.shape, target.shape) == target.shape
    except ValueError:
        fits = False
    if not fits:
        raise unsupported(
            operator, target, f"makes {target.shape} of {source.shape}", "Convert the model again."
        )
    reads, writes = lowering.buffer(operator.inputs[0]), lowering.new_buffer(operator.outputs[0])
    label = lowering.derived_label(operator.inputs[0], "/broadcast")
    steps = [step if size > 1 else 0 for step, size in zip(strides(shape), shape)]
    own, item = strides(target.shape), lowering.item_bytes(operator.outputs[0])
    lowering.add(move_step(label, index, (reads, writes), target.shape, (0, steps), (0, own), item))
