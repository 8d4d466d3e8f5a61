"""A transpose is a move with other steps; one that moves only axes of one is the source."""

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.move.rule import move_step, strides


def lower_transpose(lowering: Lowering, index: int) -> None:
    """``target`` = source with its axes in another order."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    order = [int(axis) for axis in lowering.integers(operator, 1).reshape(-1)]
    reads = lowering.buffer(operator.inputs[0])
    if sorted(order) != list(range(len(source.shape))) or target.shape != tuple(
        source.shape[a] for a in order
    ):
        raise unsupported(operator, target, f"orders {source.shape} by {order}", "Convert the model again.")
    moved = [axis for axis in order if source.shape[axis] > 1]
    if moved == sorted(moved):
        lowering.alias(operator.outputs[0], operator.inputs[0])
        lowering.done.add(index)
        return
    own = strides(source.shape)
    writes = lowering.new_buffer(operator.outputs[0])
    label = lowering.derived_label(operator.inputs[0], "/transpose")
    taken = (0, [own[axis] for axis in order])
    item = lowering.item_bytes(operator.outputs[0])
    written = (0, strides(target.shape))
    lowering.add(move_step(label, index, (reads, writes), target.shape, taken, written, item))
