"""A CONCATENATION, or a PACK, is a move of every source, a constant among them, to its place in the target."""

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.move.rule import move_in, strides


def lower_concatenation(lowering: Lowering, index: int) -> None:
    """``target`` = the sources one after the other along an axis, their bytes as they are."""
    operator = lowering.network.operators[index]
    target = lowering.tensor(operator.outputs[0])
    shapes = [lowering.tensor(tensor).shape for tensor in operator.inputs]
    rank = len(target.shape)
    axis = int(operator.options.get("axis", 0))
    along = axis % rank if rank else 0
    fits = [
        len(shape) == rank
        and shape[:along] + shape[along + 1 :] == target.shape[:along] + target.shape[along + 1 :]
        for shape in shapes
    ]
    if (
        not -rank <= axis < rank
        or not all(fits)
        or sum(shape[along] for shape in shapes) != target.shape[along]
    ):
        raise unsupported(operator, target, f"puts together {shapes}", "Convert the model again.")
    if int(operator.options.get("fusedActivationFunction", 0)):
        raise unsupported(operator, target, "has a fused activation", "Use an activation of its own.")
    reads = [lowering.source(tensor) for tensor in operator.inputs]
    writes = lowering.new_buffer(operator.outputs[0])
    own, start = strides(target.shape), 0
    for tensor, shape, buffer in zip(operator.inputs, shapes, reads):
        steps = strides(shape), own
        move_in(lowering, index, tensor, "/concatenation", (buffer, writes), steps, start)
        start += shape[along] * own[along]


def lower_pack(lowering: Lowering, index: int) -> None:
    """``target`` = the sources one after the other along an axis that they do not have."""
    operator = lowering.network.operators[index]
    target = lowering.tensor(operator.outputs[0])
    shapes = [lowering.tensor(tensor).shape for tensor in operator.inputs]
    rank, axis = len(target.shape), int(operator.options.get("axis", 0))
    along = axis % rank if rank else 0
    rest = target.shape[:along] + target.shape[along + 1 :]
    if not -rank <= axis < rank or set(shapes) != {rest} or len(shapes) != target.shape[along]:
        raise unsupported(operator, target, f"packs {shapes}", "Convert the model again.")
    reads = [lowering.source(tensor) for tensor in operator.inputs]
    writes, own = lowering.new_buffer(operator.outputs[0]), strides(target.shape)
    steps = strides(rest), own[:along] + own[along + 1 :]
    for place, (tensor, buffer) in enumerate(zip(operator.inputs, reads)):
        move_in(lowering, index, tensor, "/pack", (buffer, writes), steps, place * own[along])
