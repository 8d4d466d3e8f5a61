"""Which operators a byte table carries out, and how far a chain of them reaches."""

from dataclasses import dataclass
from math import prod

from secateur.network import Operator
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Step

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

_UNNAMED = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True)
class Lookup:
    """The chain: network tensors at both ends, and its operators in order."""

    source: int
    target: int
    operators: tuple[int, ...]


def is_elementwise(operator: Operator) -> bool:
    """True for what can be a link of a chain."""
    return operator.kind in ELEMENTWISE and len(operator.inputs) == len(operator.outputs) == 1


def lower_elementwise(lowering: Lowering, index: int) -> None:
    """The longest chain that ends in int8 → one table, in place where the source is done with."""
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
    chain, length, current = [index], 0, first.outputs[0]
    while True:
        if lowering.tensor(current).dtype == "int8":
            length = len(chain)
        following = lowering.sole_consumer(current)
        if following is None or not is_elementwise(network.operators[following]):
            break
        chain.append(following)
        current = network.operators[following].outputs[0]
    if length == 0:
        raise unsupported(
            first,
            lowering.tensor(current),
            f"starts a chain of element-wise operators that ends in {lowering.tensor(current).dtype}",
            "End the chain in int8 (QUANTIZE), or write the operator that follows it in a supported form.",
        )
    chain = chain[:length]
    target = network.operators[chain[-1]].outputs[0]
    kinds = [network.operators[item].kind for item in chain]
    named = [kind for kind in kinds if kind not in _UNNAMED] or kinds[:1]
    label = lowering.derived_label(source, "/" + "-".join(kind.lower() for kind in named))
    reads = lowering.buffer(source)
    if lowering.may_overwrite(source, chain):
        lowering.alias(target, source)
    else:
        lowering.new_buffer(target)
    writes = lowering.buffer(target)
    elements = prod(lowering.tensor(target).shape)
    if elements != prod(lowering.tensor(source).shape):
        raise unsupported(
            first, lowering.tensor(target), "changes the number of elements", "Convert the model again."
        )
    lowering.add(lookup_step(label, (reads, writes), elements, Lookup(source, target, tuple(chain))))


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
