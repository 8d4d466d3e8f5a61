"""A slice is a move out of the source; one that leaves out nothing is the source."""

from math import prod

import numpy as np

from secateur.network import Operator, Tensor
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.move.rule import move_step, strides


def lower_slice(lowering: Lowering, index: int) -> None:
    """``target[i] = source[begin + i·step]`` along every axis."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    begins = lowering.integers(operator, 1).reshape(-1).tolist()
    if operator.kind == "SLICE":
        steps = [1] * len(begins)
        sizes = lowering.integers(operator, 2).reshape(-1).tolist()
        rest = [whole - begin for whole, begin in zip(source.shape, begins)]
        counts = [left if size == -1 else size for size, left in zip(sizes, rest)]
    else:
        begins, steps, counts = _strided(lowering, operator, source)
    reads = lowering.buffer(operator.inputs[0])
    rank = len(source.shape)
    ends = [begin + (count - 1) * step for begin, step, count in zip(begins, steps, counts)]
    inside = all(0 <= place < size for size, *both in zip(source.shape, begins, ends) for place in both)
    fits = len(begins) == len(counts) == rank and min(counts, default=1) > 0
    if not fits or prod(counts) != prod(target.shape) or not inside:
        raise unsupported(
            operator,
            target,
            f"takes {target.shape} out of {source.shape} from {begins}",
            "Convert the model again.",
        )
    own = strides(source.shape)
    start = sum(begin * step for begin, step in zip(begins, own))
    if tuple(counts) == source.shape and all(step == 1 for step in steps):
        lowering.alias(operator.outputs[0], operator.inputs[0])
        lowering.done.add(index)
        return
    writes = lowering.new_buffer(operator.outputs[0])
    label = lowering.derived_label(operator.inputs[0], "/slice")
    taken = (start, [step * size for step, size in zip(steps, own)])
    item = lowering.item_bytes(operator.outputs[0])
    lowering.add(move_step(label, index, (reads, writes), counts, taken, (0, strides(counts)), item))


def _strided(
    lowering: Lowering, operator: Operator, source: Tensor
) -> tuple[list[int], list[int], list[int]]:
    """Begins, steps and counts of a STRIDED_SLICE along every axis of its source."""
    target = lowering.tensor(operator.outputs[0])
    vectors = [
        lowering.integers(operator, place).reshape(-1).astype(np.int64).tolist() for place in (1, 2, 3)
    ]
    masks = {
        name: int(operator.options.get(f"{name}Mask", 0))
        for name in ("begin", "end", "ellipsis", "newAxis", "shrinkAxis")
    }
    rank = len(source.shape)
    if (
        masks["ellipsis"]
        or masks["newAxis"]
        or any(len(vector) != rank for vector in vectors)
        or 0 in vectors[2]
    ):
        raise unsupported(
            operator, target, "has an ellipsis or new axes", "Slice all axes, none of them new."
        )
    begins, counts = [], []
    for axis, (size, begin, end, step) in enumerate(zip(source.shape, *vectors)):
        low, high = (0, size) if step > 0 else (-1, size - 1)
        first = min(max(begin + size * (begin < 0), low), high)
        last = min(max(end + size * (end < 0), low), high)
        if masks["begin"] >> axis & 1:
            first = 0 if step > 0 else size - 1
        if masks["end"] >> axis & 1:
            last = size if step > 0 else -1
        if masks["shrinkAxis"] >> axis & 1:
            last = first + (1 if step > 0 else -1)
        begins.append(first)
        counts.append(max(0, -((first - last) // step)))
    return begins, vectors[2], counts
