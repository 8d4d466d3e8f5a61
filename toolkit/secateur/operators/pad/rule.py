"""A PAD of its own, and one that is left to the convolution after it."""

from secateur.operators.fill.rule import fill_step
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.move.rule import move_step, strides
from secateur.operators.window import is_fused, padding_amounts, padding_value


def lower_pad(lowering: Lowering, index: int) -> None:
    """Nothing where the one convolution that reads the output takes it in; else a fill and a move."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    amounts = padding_amounts(lowering, index)
    wanted = tuple(size + int(sum(pair)) for size, pair in zip(source.shape, amounts))
    if wanted != target.shape:
        raise unsupported(
            operator, target, f"pads {source.shape} to {target.shape}", "Convert the model again."
        )
    if is_fused(lowering, index):
        lowering.buffer(operator.inputs[0])
        return
    value = padding_value(lowering, index)
    reads, writes = lowering.buffer(operator.inputs[0]), lowering.new_buffer(operator.outputs[0])
    elements = lowering.size(writes)
    lowering.add(
        fill_step(lowering.derived_label(operator.inputs[0], "/pad/fill"), index, writes, elements, value)
    )
    own, item = strides(target.shape), lowering.item_bytes(operator.outputs[0])
    start = sum(int(pair[0]) * step for pair, step in zip(amounts, own))
    label = lowering.derived_label(operator.inputs[0], "/pad")
    lowering.add(
        move_step(label, index, (reads, writes), source.shape, (0, strides(source.shape)), (start, own), item)
    )
