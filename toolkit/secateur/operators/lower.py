"""Network → program: every operator by its rule, in execution order."""

from collections.abc import Callable, Mapping

from secateur.errors import SecateurError
from secateur.network import Network, Operator, Tensor
from secateur.operators.add.rule import lower_add
from secateur.operators.batch_matmul.rule import lower_batch_matmul
from secateur.operators.broadcast.rule import lower_broadcast
from secateur.operators.compare.rule import ANSWERS, lower_compare
from secateur.operators.concatenation.rule import lower_concatenation, lower_pack
from secateur.operators.conv.rule import lower_conv
from secateur.operators.depthwise.rule import lower_depthwise
from secateur.operators.divide.rule import lower_divide
from secateur.operators.extreme.rule import lower_extreme
from secateur.operators.fully_connected.rule import lower_fully_connected
from secateur.operators.lookup.rule import ELEMENTWISE, lower_elementwise
from secateur.operators.lowering import Lowering, check_activation, unsupported
from secateur.operators.mean.rule import lower_mean
from secateur.operators.multiply.rule import lower_multiply
from secateur.operators.pad.rule import lower_pad
from secateur.operators.patch.rule import patched
from secateur.operators.pool.rule import lower_pool
from secateur.operators.program import BY_SPEED, Choice, Program
from secateur.operators.reshape.rule import lower_reshape
from secateur.operators.rules_float32 import RULES_FLOAT32
from secateur.operators.rules_int16 import RULES_INT16, TFLM_LACKS_INT16
from secateur.operators.select.rule import lower_select
from secateur.operators.slice.rule import lower_slice
from secateur.operators.softmax.rule import lower_softmax
from secateur.operators.split.rule import lower_split, lower_unpack
from secateur.operators.squared_difference.rule import lower_squared_difference
from secateur.operators.state import keep_states
from secateur.operators.transpose.rule import lower_transpose

RULES: dict[str, Callable[[Lowering, int], None]] = {
    "ADD": lower_add,
    "AVERAGE_POOL_2D": lower_pool,
    "BATCH_MATMUL": lower_batch_matmul,
    "BROADCAST_TO": lower_broadcast,
    "CONCATENATION": lower_concatenation,
    "CONV_2D": lower_conv,
    "DEPTHWISE_CONV_2D": lower_depthwise,
    "DIV": lower_divide,
    "EXPAND_DIMS": lower_reshape,
    "FULLY_CONNECTED": lower_fully_connected,
    "MAXIMUM": lower_extreme,
    "MAX_POOL_2D": lower_pool,
    "MEAN": lower_mean,
    "MINIMUM": lower_extreme,
    "MUL": lower_multiply,
    "PACK": lower_pack,
    "PAD": lower_pad,
    "PADV2": lower_pad,
    "RESHAPE": lower_reshape,
    "SELECT_V2": lower_select,
    "SLICE": lower_slice,
    "SOFTMAX": lower_softmax,
    "SPLIT": lower_split,
    "SPLIT_V": lower_split,
    "SQUARED_DIFFERENCE": lower_squared_difference,
    "SQUEEZE": lower_reshape,
    "STRIDED_SLICE": lower_slice,
    "SUB": lower_add,
    "SUM": lower_mean,
    "TRANSPOSE": lower_transpose,
    "UNPACK": lower_unpack,
    **dict.fromkeys(sorted(ANSWERS), lower_compare),
    **dict.fromkeys(sorted(ELEMENTWISE), lower_elementwise),
}
"""Operator kind → its rule: adds steps for the operator at an index, and for those it fuses with it."""

RULES_OF: dict[str, dict[str, Callable[[Lowering, int], None]]] = {
    "int8": RULES,
    "int16": RULES_INT16,
    "float32": RULES_FLOAT32,
}
"""Type of the activations that an operator reads → its rules."""

TFLM_LACKS = {"int16": TFLM_LACKS_INT16, "float32": ("DEQUANTIZE",)}
"""Type of the activations that an operator reads → operators of other types that TFLM does not run on it either."""

CONVERSIONS = ("DEQUANTIZE", "QUANTIZE")
"""Operators from one type to another."""

INPUTS = {
    **dict.fromkeys(
        ("ADD", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "DIV", "FULLY_CONNECTED", "MAXIMUM"), 2
    ),
    **dict.fromkeys(
        ("MEAN", "MINIMUM", "MUL", "PAD", "SPLIT", "SQUARED_DIFFERENCE", "SUB", "SUM", "TRANSPOSE"), 2
    ),
    **dict.fromkeys(ANSWERS, 2),
    **dict.fromkeys(("PADV2", "SELECT_V2", "SLICE", "SPLIT_V"), 3),
    "STRIDED_SLICE": 4,
}
"""Inputs that an operator cannot be without, where more than one."""

SEVERAL_OUTPUTS = ("SPLIT", "SPLIT_V", "UNPACK")
"""Operators that may have more than one output."""


INSTEAD = {
    "GATHER": "Take parts by slices.",
    "GELU": "Use x · sigmoid(1.702 x).",
    "L2_NORMALIZATION": "Use SQUARE, MEAN, RSQRT and MUL on a layer of float, or leave the norm out.",
    "POW": "Use a product of x with itself.",
    "PRELU": "Use LEAKY_RELU, one slope for all channels.",
    "REDUCE_MAX": "Use MAX_POOL_2D over height and width.",
    "SELECT": "Rewrite it as SELECT_V2, which has the same inputs.",
    "TRANSPOSE_CONV": "Use a convolution of an image that a PAD or a RESHAPE has enlarged.",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "Unroll the cell for one step, its state an input and an output.",
    "WHILE": "Unroll the loop; one step of a recurrent cell takes its state as an input.",
}
"""What to write in the model in place of operators that converters emit and that there is no kernel for."""


def _check_truth(operator: Operator, tensor: Tensor) -> None:
    """Refuse a comparison whose answers are not bool."""
    if tensor.dtype != "bool":
        raise unsupported(operator, tensor, f"answers in {tensor.dtype}", "Convert the model again.")


def _dtype_of(lowering: Lowering, operator: Operator) -> str:
    """Type of the activations that an operator reads; of what it writes where it reads none."""
    read = [lowering.tensor(tensor) for tensor in operator.inputs if tensor in lowering]
    written = [lowering.tensor(tensor) for tensor in operator.outputs]
    return next((tensor.dtype for tensor in (*read, *written) if tensor.dtype != "bool"), "int8")


def _remedy(operator: Operator, rules: Mapping[str, object], dtype: str) -> str:
    """What to do about an operator that has no rule for a type."""
    if operator.kind in RULES and operator.kind not in rules:
        return f"Quantise the model to int8, or write it with {', '.join(sorted(rules))} where it is {dtype}."
    return f"{INSTEAD.get(operator.kind, '')} Write the model with {', '.join(sorted(rules))}.".strip()


def _check_type(lowering: Lowering, operator: Operator, written: int, dtype: str) -> None:
    """Refuse an operator whose activations are of several types, but for conversions and what truth values choose."""
    activations = [tensor for tensor in operator.inputs if tensor in lowering]
    for tensor in (*activations, written):
        found = lowering.tensor(tensor).dtype
        if found == "bool" and operator.kind != "SELECT_V2":
            raise unsupported(
                operator,
                lowering.tensor(written),
                f"reads the truth values {lowering.tensor(tensor).name!r}",
                "Let a SELECT_V2 make numbers of them.",
            )
        if found not in (dtype, "bool") and operator.kind not in CONVERSIONS:
            raise unsupported(
                operator,
                lowering.tensor(written),
                f"reads {dtype}, and {lowering.tensor(tensor).name!r} is {found}",
                f"Put a QUANTIZE between them, or keep {dtype} throughout.",
            )


def lower(network: Network, choice: Choice = BY_SPEED) -> Program:
    """The program of a network; constants need no data.

    Args:
        network: of any data, or none.
        choice: among kernels, and what is carried out by patches.

    Raises:
        SecateurError: an operator, or a form of it, that the back end does not have. Names operator and
            tensor. Or no operator computes anything. Or what is to be carried out by patches cannot be.
    """
    program = lower_part(network, choice)
    for tensor in (*network.inputs.values(), *network.outputs.values()):
        check_activation(network.tensors[tensor])
    if not program.steps:
        raise SecateurError("a network computes something", "no operator does", "Convert the model again.")
    return patched(program, choice.patches) if choice.patches else program


def lower_part(network: Network, choice: Choice = BY_SPEED) -> Program:
    """The program of a part of a network, which may be of no steps: a reshape is another name for a buffer."""
    lowering = Lowering(network, choice)
    for index, operator in enumerate(network.operators):
        if index in lowering.done:
            continue
        dtype = _dtype_of(lowering, operator)
        rules = RULES_OF.get(dtype, {})
        if operator.kind not in rules:
            raise unsupported(
                operator,
                network.tensors[(*operator.outputs, *network.outputs.values())[0]],
                "is not supported"
                + ("" if rules is RULES else f" where it reads {dtype}")
                + (", nor does TFLM run it" if operator.kind in TFLM_LACKS.get(dtype, ()) else ""),
                _remedy(operator, rules, dtype),
            )
        if (
            len(operator.outputs) < 1
            or (len(operator.outputs) > 1 and operator.kind not in SEVERAL_OUTPUTS)
            or len(operator.inputs) < INPUTS.get(operator.kind, 1)
            or -1 in operator.inputs[:2]
        ):
            raise SecateurError(
                f"{operator.kind} has its inputs and one output",
                f"operator {index} has inputs {operator.inputs} and outputs {operator.outputs}",
                "Convert the model again.",
            )
        for tensor in operator.outputs:
            if operator.kind in ANSWERS:
                _check_truth(operator, network.tensors[tensor])
            elif rules is not RULES or operator.kind not in ELEMENTWISE:
                lowering.check_activation(tensor)
                _check_type(lowering, operator, tensor, dtype)
        rules[operator.kind](lowering, index)
    for name, tensor in network.outputs.items():
        if tensor not in lowering:
            raise SecateurError(
                "an output is computed from the inputs",
                f"output {name!r} is the constant {network.tensors[tensor].name!r}",
                "Leave constant outputs out of the model.",
            )
    keep_states(lowering)
    return lowering.program()
