"""A SPLIT, or an UNPACK, is a move of every part out of the source."""

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.move.rule import move_step, strides


def lower_split(lowering: Lowering, index: int) -> None:
    """The outputs are the parts of the source along an axis, their bytes as they are."""
    operator = lowering.network.operators[index]
    place, tensor = (0, operator.inputs[1]) if operator.kind == "SPLIT" else (2, operator.inputs[0])
    source = lowering.tensor(tensor)
    shapes = [lowering.tensor(part).shape for part in operator.outputs]
    rank = len(source.shape)
    axis = int(lowering.integers(operator, place).reshape(-1)[0])
    along = axis % rank if rank else 0
    rest = source.shape[:along] + source.shape[along + 1 :]
    fits = [len(shape) == rank and shape[:along] + shape[along + 1 :] == rest for shape in shapes]
    if (
        not -rank <= axis < rank
        or not all(fits)
        or sum(shape[along] for shape in shapes) != source.shape[along]
    ):
        target = lowering.tensor(operator.outputs[0])
        raise unsupported(
            operator, target, f"splits {source.shape} into {shapes}", "Convert the model again."
        )
    reads = lowering.buffer(tensor)
    own, start, item = strides(source.shape), 0, lowering.item_bytes(tensor)
    for part, shape in zip(operator.outputs, shapes):
        writes = lowering.new_buffer(part)
        label = lowering.derived_label(tensor, "/split")
        written = (0, strides(shape))
        lowering.add(move_step(label, index, (reads, writes), shape, (start, own), written, item))
        start += shape[along] * own[along]


def lower_unpack(lowering: Lowering, index: int) -> None:
    """The outputs are the source at each index of an axis, which they do not have."""
    operator = lowering.network.operators[index]
    tensor = operator.inputs[0]
    source = lowering.tensor(tensor)
    shapes = [lowering.tensor(part).shape for part in operator.outputs]
    rank, axis = len(source.shape), int(operator.options.get("axis", 0))
    along = axis % rank if rank else 0
    rest = source.shape[:along] + source.shape[along + 1 :]
    if not -rank <= axis < rank or set(shapes) != {rest} or len(shapes) != source.shape[along]:
        target = lowering.tensor(operator.outputs[0])
        raise unsupported(operator, target, f"unpacks {source.shape} to {shapes}", "Convert the model again.")
    reads = lowering.buffer(tensor)
    own, item = strides(source.shape), lowering.item_bytes(tensor)
    steps = own[:along] + own[along + 1 :]
    for place, part in enumerate(operator.outputs):
        writes = lowering.new_buffer(part)
        label = lowering.derived_label(tensor, "/unpack")
        start = place * own[along]
        written = (0, strides(rest))
        lowering.add(move_step(label, index, (reads, writes), rest, (start, steps), written, item))
