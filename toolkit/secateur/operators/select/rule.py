"""When a SELECT_V2 can be carried out, and its loops over three sources."""

from dataclasses import dataclass
from math import prod

import numpy as np

from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.pairing import padded_size
from secateur.operators.program import Step

LOOPS = 4


@dataclass(frozen=True)
class Select:
    """Three sources read in step.

    Attributes:
        tensors: of the network: condition, one, other.
        constant: which of them are constants, packed and not read from a buffer.
        loops: from inside to outside: times, step of each source.
    """

    tensors: tuple[int, int, int]
    constant: tuple[bool, bool, bool]
    loops: tuple[tuple[int, int, int, int], ...]


def lower_select(lowering: Lowering, index: int) -> None:
    """``target = one where condition else other``, broadcast as numpy does; bytes stay as they are."""
    operator = lowering.network.operators[index]
    result = operator.outputs[0]
    target = lowering.tensor(result)
    sources = [lowering.tensor(tensor) for tensor in operator.inputs[:3]]
    if sources[0].dtype != "bool" or any(source.dtype != "int8" for source in sources[1:]):
        types = ", ".join(source.dtype for source in sources)
        raise unsupported(
            operator,
            target,
            f"selects by types {types}",
            "Select int8 values by a comparison of int8 values.",
        )
    shapes = [source.shape for source in sources]
    try:
        fits = np.broadcast_shapes(*shapes) == target.shape
    except ValueError:
        fits = False
    loops = _loops(shapes, target.shape) if fits else ()
    if not fits or len(loops) > LOOPS or len(target.shape) > LOOPS + 1:
        raise unsupported(operator, target, f"selects from {shapes}", "Broadcast along fewer axes at a time.")
    constant = tuple(source.constant for source in sources)
    part = Select(tuple(operator.inputs[:3]), constant, loops)  # type: ignore[arg-type]
    reads = tuple(
        lowering.buffer(tensor) for tensor, fixed in zip(operator.inputs[:3], constant) if not fixed
    )
    if not reads:
        raise unsupported(operator, target, "selects from constants", "Fold constant parts of the model.")
    label = lowering.label(result)
    writes = lowering.new_buffer(result)
    size = [
        prod(times for times, *steps in loops if steps[place])
        for place, fixed in enumerate(constant)
        if fixed
    ]
    lowering.add(
        Step(
            label=label,
            kernel="select",
            operators=(index,),
            reads=reads,
            writes=(writes,),
            rows=1,
            columns=prod(target.shape),
            macs=0,
            parameters=sum(size),
            weights_bytes=4 * 4 * LOOPS + sum(map(padded_size, size)),
            tables_bytes=0,
            work=(1, prod(times for times, *_ in loops[1:]), prod(target.shape)),
            payload=part,
        )
    )


def _loops(shapes: list[tuple[int, ...]], target: tuple[int, ...]) -> tuple[tuple[int, int, int, int], ...]:
    """As few loops as can be, over sources that are broadcast to a target."""
    full = [(1,) * (len(target) - len(shape)) + tuple(shape) for shape in shapes]
    loops: list[tuple[int, ...]] = []
    for axis in reversed(range(len(target))):
        if target[axis] == 1:
            continue
        steps = [prod(shape[axis + 1 :]) if shape[axis] > 1 else 0 for shape in full]
        if loops and all(step == loops[-1][0] * old for step, old in zip(steps, loops[-1][1:])):
            loops[-1] = (loops[-1][0] * target[axis], *loops[-1][1:])
        else:
            loops.append((target[axis], *steps))
    return tuple(loops) or ((1, 1, 1, 1),)  # type: ignore[arg-type, return-value]
