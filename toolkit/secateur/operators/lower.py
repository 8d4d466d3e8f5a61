"""Network → program: every operator by its rule, in execution order."""

from collections.abc import Callable

from secateur.errors import SecateurError
from secateur.network import Network
from secateur.operators.fully_connected.rule import lower_fully_connected
from secateur.operators.lookup.rule import ELEMENTWISE, lower_elementwise
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Program
from secateur.operators.reshape.rule import lower_reshape

RULES: dict[str, Callable[[Lowering, int], None]] = {
    "FULLY_CONNECTED": lower_fully_connected,
    "EXPAND_DIMS": lower_reshape,
    "RESHAPE": lower_reshape,
    "SQUEEZE": lower_reshape,
    **dict.fromkeys(sorted(ELEMENTWISE), lower_elementwise),
}
"""Operator kind → its rule: adds steps for the operator at an index, and for those it fuses with it."""

INPUTS = {"FULLY_CONNECTED": 2}
"""Inputs that an operator cannot be without, where more than one."""


def lower(network: Network) -> Program:
    """The program of a network; constants need no data.

    Raises:
        SecateurError: an operator, or a form of it, that the back end does not have. Names operator and
            tensor.
    """
    lowering = Lowering(network)
    for index, operator in enumerate(network.operators):
        if index in lowering.done:
            continue
        if operator.kind not in RULES:
            raise unsupported(
                operator,
                network.tensors[(*operator.outputs, *network.outputs.values())[0]],
                "is not supported",
                f"Write the model with {', '.join(sorted(RULES))}.",
            )
        if (
            len(operator.outputs) != 1
            or len(operator.inputs) < INPUTS.get(operator.kind, 1)
            or -1 in operator.inputs[:2]
        ):
            raise SecateurError(
                f"{operator.kind} has its inputs and one output",
                f"operator {index} has inputs {operator.inputs} and outputs {operator.outputs}",
                "Convert the model again.",
            )
        RULES[operator.kind](lowering, index)
    for name, tensor in network.outputs.items():
        if tensor not in lowering:
            raise SecateurError(
                "an output is computed from the inputs",
                f"output {name!r} is the constant {network.tensors[tensor].name!r}",
                "Leave constant outputs out of the model.",
            )
    program = lowering.program()
    if not program.steps:
        raise SecateurError("a network computes something", "no operator does", "Convert the model again.")
    return program
