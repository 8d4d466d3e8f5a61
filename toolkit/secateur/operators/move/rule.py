"""A move, added by the rules of operators that put values into another order and change none of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from secateur.errors import SecateurError
from secateur.operators.kernel import padded_size
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Step

LOOPS = 4

_SHORTEST_RUN = 8
"""Bytes: below, the longest loop goes inside instead of that along neighbouring bytes."""


@dataclass(frozen=True)
class Move:
    """Loops from inside to outside, the run first: (times, step of the source, of the target); starts, in bytes.

    ``constant`` is the network's tensor that is read where that is no buffer.
    """

    loops: tuple[tuple[int, int, int], ...]
    source_start: int
    target_start: int
    constant: int | None = None


def strides(shape: Sequence[int]) -> list[int]:
    """Elements from one index of an axis to the next."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def move_step(
    label: str,
    operator: int,
    buffers: tuple[int | None, int],
    shape: Sequence[int],
    source: tuple[int, Sequence[int]],
    target: tuple[int, Sequence[int]],
    item_bytes: int = 1,
    constant: int | None = None,
) -> Step:
    """``target[start + Σ i·stride] = source[start + Σ i·stride]`` for every index i of ``shape``.

    Args:
        label: of the step.
        operator: of the network.
        buffers: read, None of a constant; and written.
        shape: of what is moved, from outside to inside.
        source: where it starts, and its strides, in elements.
        target: the same.
        item_bytes: of an element; its bytes are an axis of their own.
        constant: the network's tensor that is read in place of a buffer, all of it.

    Raises:
        SecateurError: more axes than loops that cannot be seen as one.
    """
    loops: list[tuple[int, int, int]] = []
    axes = [
        (times, item_bytes * one, item_bytes * two) for times, one, two in zip(shape, source[1], target[1])
    ]
    for times, one, two in reversed([*axes, (item_bytes, 1, 1)]):
        if times == 1:
            continue
        if loops and one == loops[-1][0] * loops[-1][1] and two == loops[-1][0] * loops[-1][2]:
            loops[-1] = (loops[-1][0] * times, *loops[-1][1:])
        else:
            loops.append((times, one, two))
    loops = loops or [(1, 1, 1)]
    if loops[0][1:] != (1, 1) or loops[0][0] < _SHORTEST_RUN:
        longest = max(loops, key=lambda loop: loop[0])
        loops = [longest, *(loop for loop in loops if loop is not longest)]
    if len(loops) > LOOPS + 1:
        raise SecateurError(
            f"values are put into another order along at most {LOOPS + 1} axes",
            f"{label} moves {tuple(shape)}",
            "Put them into order in several steps.",
        )
    loops += [(1, 0, 0)] * (LOOPS + 1 - len(loops))
    runs = prod(times for times, _, _ in loops[1:])
    near = loops[0][1:] == (1, 1)
    moved = item_bytes * prod(shape)
    carries = sum(prod(times for times, _, _ in loops[depth:]) for depth in range(2, LOOPS + 1))
    return Step(
        label=label,
        kernel="move",
        operators=(operator,),
        reads=() if buffers[0] is None else (buffers[0],),
        writes=(buffers[1],),
        rows=1,
        columns=moved,
        macs=0,
        parameters=0 if constant is None else prod(shape),
        weights_bytes=4 * 3 * (LOOPS + 1) + (0 if constant is None else padded_size(moved)),
        tables_bytes=0,
        work=(1, runs, carries, moved * near, moved * (not near)),
        payload=Move(tuple(loops), item_bytes * source[0], item_bytes * target[0], constant),
    )


def move_in(
    lowering: Lowering,
    index: int,
    tensor: int,
    suffix: str,
    buffers: tuple[int | None, int],
    strides_of: tuple[Sequence[int], Sequence[int]],
    start: int,
) -> None:
    """Adds the move of a tensor, an activation or a constant, to its place in an operator's result.

    Args:
        lowering: the network.
        index: of the operator.
        tensor: that is moved, all of it.
        suffix: of the step's label.
        buffers: of the tensor, None for a constant; and of the result.
        strides_of: the tensor and the result, along the tensor's axes, in elements.
        start: of its place, in elements.

    Raises:
        SecateurError: a constant of another type or quantisation than the result's.
    """
    operator = lowering.network.operators[index]
    result, source = lowering.tensor(operator.outputs[0]), lowering.tensor(tensor)
    learnt = tensor if buffers[0] is None else None
    if learnt is not None and (source.dtype, source.quantization) != (result.dtype, result.quantization):
        raise unsupported(
            operator,
            result,
            f"takes in the constant {source.name!r}, stored in another way than the result",
            "Quantise the model again: all that is put together has one type, scale and zero point.",
        )
    label = lowering.derived_label(tensor, suffix) if learnt is None else lowering.label(tensor, suffix)
    item, places = lowering.item_bytes(operator.outputs[0]), ((0, strides_of[0]), (start, strides_of[1]))
    lowering.add(move_step(label, index, buffers, source.shape, *places, item, learnt))
