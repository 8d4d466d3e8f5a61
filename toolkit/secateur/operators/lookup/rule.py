"""Which operators a byte table carries out, and how far a chain of them reaches."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from secateur.errors import SecateurError
from secateur.network import Operator, Tensor
from secateur.operators.clamp.rule import clamp_step
from secateur.operators.curve.rule import lower_conversion
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Step
from secateur.operators.requantise import activation_range
from secateur.operators.rescale.rule import lower_rescale

ELEMENTWISE = frozenset(
    {
        "ABS",
        "COS",
        "DEQUANTIZE",
        "ELU",
        "EXP",
        "HARD_SWISH",
        "LEAKY_RELU",
        "LOG",
        "LOGISTIC",
        "NEG",
        "QUANTIZE",
        "RELU",
        "RELU6",
        "RSQRT",
        "SIN",
        "SQRT",
        "SQUARE",
        "TANH",
    }
)
"""Operators of one input and one output that map every element alone."""

POINTWISE = ELEMENTWISE | {
    "ADD",
    "DIV",
    "EQUAL",
    "FLOOR",
    "GREATER",
    "GREATER_EQUAL",
    "LESS",
    "LESS_EQUAL",
    "MAXIMUM",
    "MINIMUM",
    "MUL",
    "NOT_EQUAL",
    "SELECT",
    "SELECT_V2",
    "SQUARED_DIFFERENCE",
    "SUB",
}
"""Operators that, between values made of one source and single constants, map every element alone too."""

_UNNAMED = ("QUANTIZE", "DEQUANTIZE")

_CUTS = {"QUANTIZE": 0, "RELU": 1, "RELU6": 3}
"""Operators that do no more than cut values off where both ends have one scale → the fused activation that does."""


@dataclass(frozen=True)
class Lookup:
    """What the table does: network tensors at both ends, and the operators between them in order."""

    source: int
    target: int
    operators: tuple[int, ...]


def is_elementwise(operator: Operator) -> bool:
    """True for what can be a link of a chain."""
    return operator.kind in ELEMENTWISE and len(operator.inputs) == len(operator.outputs) == 1


def lower_elementwise(lowering: Lowering, index: int) -> None:
    """The longest chain that ends in int8 → one table, in place where the source is done with.

    A chain that changes nothing is another name for the buffer; one that only cuts values off needs no table, and
    is a clamp where size is asked for, which takes no flash and 1.7 times the instructions.

    What is dequantised and not quantised again is float32 from there on. Where values fork and join on the way (the
    ELU or softplus of a converter, say), all that is made of the source alone becomes a table for each int8 that
    others read.
    """
    network = lowering.network
    first = network.operators[index]
    source = first.inputs[0]
    if lowering.tensor(source).dtype != "int8":
        raise unsupported(
            first,
            lowering.tensor(first.outputs[0]),
            f"reads {lowering.tensor(source).dtype}",
            "Quantise the model fully to int8, inputs and outputs included.",
        )
    chain = _chain(lowering, index)
    if not chain and first.kind == "QUANTIZE":
        lower_rescale(lowering, index)
        return
    makers = {} if chain else _makers(lowering, index)
    refusal = None if chain else _refusal(lowering, index, makers)
    if refusal is None:
        for operators in [chain] if chain else _ways(lowering, makers):
            _add_table(lowering, source, operators)
    elif first.kind == "DEQUANTIZE":
        lower_conversion(lowering, index)
    else:
        raise refusal


def _chain(lowering: Lowering, index: int) -> tuple[int, ...]:
    """The longest chain from an operator that ends in int8; empty if none does."""
    operators = lowering.network.operators
    chain, length, current = [index], 0, operators[index].outputs[0]
    while True:
        if lowering.tensor(current).dtype == "int8":
            length = len(chain)
        following = lowering.sole_consumer(current)
        if following is None or not is_elementwise(operators[following]):
            break
        chain.append(following)
        current = operators[following].outputs[0]
    return tuple(chain[:length])


def _makers(lowering: Lowering, index: int) -> dict[int, int]:
    """What is made of the source of an operator, and of single numbers: tensor → the operator that makes it."""
    operators = lowering.network.operators
    source, makers = operators[index].inputs[0], dict[int, int]()
    for number, operator in enumerate(operators[index:], index):
        if number not in lowering.done and _obstacle(lowering, source, makers, operator) is None:
            makers[operator.outputs[0]] = number
    return makers


def _obstacle(lowering: Lowering, source: int, makers: Mapping[int, int], operator: Operator) -> str | None:
    """Why an operator does not make every value of one of the source's; None if it does."""
    own = [tensor for tensor in operator.inputs if tensor == source or tensor in makers]
    rest = [tensor for tensor in operator.inputs if tensor not in own and tensor != -1]
    size = prod(lowering.tensor(source).shape)
    if not own or operator.kind not in POINTWISE or len(operator.outputs) != 1 or -1 in operator.inputs:
        return "is not element-wise"
    for tensor in rest:
        if not lowering.tensor(tensor).constant:
            return f"reads {lowering.tensor(tensor).name!r} too"
        if not _is_number(lowering.tensor(tensor)):
            return f"reads {lowering.tensor(tensor).name!r}, a constant of several values"
    if prod(lowering.tensor(operator.outputs[0]).shape) != size:
        return "changes the number of elements"
    return None


def _readers(lowering: Lowering, makers: Mapping[int, int], tensor: int) -> list[int] | None:
    """The operators besides the makers that read a tensor; None if it is an output."""
    readers, members = lowering.consumers(tensor), set(makers.values())
    return None if readers is None else [reader for reader in readers if reader not in members]


def _refusal(lowering: Lowering, index: int, makers: Mapping[int, int]) -> SecateurError | None:
    """Where no table goes on, and why not; None if all that is made of an operator's source becomes tables."""
    operators = lowering.network.operators
    first, source = operators[index], operators[index].inputs[0]
    if first.outputs[0] not in makers:
        target = lowering.tensor(first.outputs[0])
        seen = _obstacle(lowering, source, {}, first) or "is done"
        return unsupported(first, target, seen, "Convert the model again.")
    for stray, maker in makers.items():
        readers, target = _readers(lowering, makers, stray), lowering.tensor(stray)
        if target.dtype == "int8" or readers == []:
            continue
        reasons = [
            f"{operators[each].kind}, which {_obstacle(lowering, source, makers, operators[each])}"
            for each in readers or ()
        ]
        follows = f"read by {'; '.join(reasons)}" if reasons else "an output of the graph"
        return unsupported(
            first,
            target,
            f"starts element-wise operators whose {operators[maker].kind} ends in {target.dtype}, {follows}",
            "End them in int8 (QUANTIZE), or write the operator that follows in a supported form.",
        )
    return None


def _ways(lowering: Lowering, makers: Mapping[int, int]) -> list[tuple[int, ...]]:
    """The operators on the way to each int8 that others read; all of them are done with."""
    operators, ways = lowering.network.operators, []
    for tensor, maker in makers.items():
        if _readers(lowering, makers, tensor) == []:
            continue
        way, unknown = {maker}, list(operators[maker].inputs)
        while unknown:
            read = unknown.pop()
            if read in makers and makers[read] not in way:
                way.add(makers[read])
                unknown += operators[makers[read]].inputs
        ways.append(tuple(sorted(way)))
    lowering.done.update(makers.values())
    return ways


def _is_number(tensor: Tensor) -> bool:
    """A constant that is the same everywhere, so far as known."""
    return tensor.constant and (tensor.data is None or bool((tensor.data == tensor.data.flat[0]).all()))


def _add_table(lowering: Lowering, source: int, operators: tuple[int, ...]) -> None:
    network = lowering.network
    target = network.operators[operators[-1]].outputs[0]
    cut = _cut(lowering, source, operators)
    if cut == (-128, 127):
        lowering.alias(target, source)
        lowering.done.update(operators)
        return
    kinds = [network.operators[item].kind for item in operators]
    named = [kind for kind in kinds if kind not in _UNNAMED] or kinds[:1]
    label = lowering.derived_label(source, "/" + "-".join(kind.lower() for kind in named))
    elements = prod(lowering.tensor(target).shape)
    if elements != prod(lowering.tensor(source).shape):
        raise unsupported(
            network.operators[operators[0]],
            lowering.tensor(target),
            "changes the number of elements",
            "Convert the model again.",
        )
    reads = lowering.buffer(source)
    if lowering.may_overwrite(source, operators):
        lowering.alias(target, source)
        if cut is not None and lowering.choice.optimise == "size":
            lowering.add(clamp_step(label, operators, reads, elements, *cut))
            return
    else:
        lowering.check_activation(target)
        lowering.new_buffer(target)
    lowering.add(
        lookup_step(label, (reads, lowering.buffer(target)), elements, Lookup(source, target, operators))
    )


def _cut(lowering: Lowering, source: int, operators: tuple[int, ...]) -> tuple[int, int] | None:
    """Lowest and highest stored value that a chain lets through, if that is all it does: one scale from end to end.

    The reference multiplies by exactly one then.
    """
    links = [lowering.network.operators[index] for index in operators]
    first = lowering.tensor(source).quantization
    ends = [lowering.tensor(link.outputs[0]) for link in links]
    if (
        first is None
        or any(link.kind not in _CUTS for link in links)
        or any(end.dtype != "int8" or end.quantization != first for end in ends)
    ):
        return None
    ranges = [activation_range(_CUTS[link.kind], first) for link in links]
    return max(low for low, _ in ranges), min(high for _, high in ranges)


def lookup_step(label: str, buffers: tuple[int, int], elements: int, payload: Lookup) -> Step:
    """The step: one table of 256 bytes, read once per element."""
    return Step(
        label=label,
        kernel="lookup",
        operators=payload.operators,
        reads=(buffers[0],),
        writes=(buffers[1],),
        rows=1,
        columns=elements,
        macs=0,
        parameters=0,
        weights_bytes=0,
        tables_bytes=256,
        work=(1, elements),
        payload=payload,
    )
