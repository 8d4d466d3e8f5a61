"""When a SELECT_V2 can be carried out, and its loops over three sources."""

from dataclasses import dataclass
from math import prod

import numpy as np

from secateur.operators.kernel import padded_size
from secateur.operators.lowering import ITEM_BYTES, Lowering, unsupported
from secateur.operators.program import Step

LOOPS = 4


@dataclass(frozen=True)
class Select:
    """Three sources read in step.

    Attributes:
        tensors: of the network: condition, one, other.
        constant: which of them are constants, packed and not read from a buffer.
        loops: from inside to outside: times, step of each source in bytes.
        item_bytes: of an element of the values.
    """

    tensors: tuple[int, int, int]
    constant: tuple[bool, bool, bool]
    loops: tuple[tuple[int, int, int, int], ...]
    item_bytes: int = 1

    @property
    def words(self) -> tuple[int, ...]:
        """What follows the loops, where the kernel asks for it."""
        return (self.item_bytes,) if self.item_bytes > 1 else ()


def lower_select(lowering: Lowering, index: int) -> None:
    """``target = one where condition else other``, broadcast as numpy does; values of any type stay as they are."""
    operator = lowering.network.operators[index]
    result = operator.outputs[0]
    target = lowering.tensor(result)
    sources = [lowering.tensor(tensor) for tensor in operator.inputs[:3]]
    if sources[0].dtype != "bool" or any(source.dtype != target.dtype for source in sources[1:]):
        types = ", ".join(source.dtype for source in sources)
        raise unsupported(
            operator,
            target,
            f"selects by types {types}",
            f"Select {target.dtype} values by a comparison.",
        )
    shapes = [source.shape for source in sources]
    try:
        fits = np.broadcast_shapes(*shapes) == target.shape
    except ValueError:
        fits = False
    item = ITEM_BYTES[target.dtype]
    loops = _loops(shapes, target.shape, (1, item, item)) if fits else ()
    if not fits or len(loops) > LOOPS or len(target.shape) > LOOPS + 1:
        raise unsupported(operator, target, f"selects from {shapes}", "Broadcast along fewer axes at a time.")
    constant = tuple(source.constant for source in sources)
    part = Select(tuple(operator.inputs[:3]), constant, loops, item)  # type: ignore[arg-type]
    reads = tuple(
        lowering.buffer(tensor) for tensor, fixed in zip(operator.inputs[:3], constant) if not fixed
    )
    if not reads:
        raise unsupported(operator, target, "selects from constants", "Fold constant parts of the model.")
    label = lowering.label(result)
    writes = lowering.new_buffer(result)
    size = [
        (prod(times for times, *steps in loops if steps[place]), item if place else 1)
        for place, fixed in enumerate(constant)
        if fixed
    ]
    lowering.add(
        Step(
            label=label,
            kernel="select" if item == 1 else "select_wide",
            operators=(index,),
            reads=reads,
            writes=(writes,),
            rows=1,
            columns=prod(target.shape),
            macs=0,
            parameters=sum(count for count, _ in size),
            weights_bytes=4 * (4 * LOOPS + len(part.words))
            + sum(padded_size(count * each) for count, each in size),
            tables_bytes=0,
            work=(1, prod(times for times, *_ in loops[1:]), prod(target.shape)),
            payload=part,
        )
    )


def _loops(
    shapes: list[tuple[int, ...]], target: tuple[int, ...], items: tuple[int, int, int]
) -> tuple[tuple[int, int, int, int], ...]:
    """As few loops as can be, over sources of so many bytes an element that are broadcast to a target."""
    full = [(1,) * (len(target) - len(shape)) + tuple(shape) for shape in shapes]
    loops: list[tuple[int, ...]] = []
    for axis in reversed(range(len(target))):
        if target[axis] == 1:
            continue
        steps = [item * prod(shape[axis + 1 :]) if shape[axis] > 1 else 0 for shape, item in zip(full, items)]
        if loops and all(step == loops[-1][0] * old for step, old in zip(steps, loops[-1][1:])):
            loops[-1] = (loops[-1][0] * target[axis], *loops[-1][1:])
        else:
            loops.append((target[axis], *steps))
    return tuple(loops) or ((1, *items),)  # type: ignore[arg-type, return-value]
