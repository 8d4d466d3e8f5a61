"""A reshaped tensor is an alias of the tensor it was made from."""

from math import prod

from secateur.operators.lowering import Lowering, unsupported


def lower_reshape(lowering: Lowering, index: int) -> None:
    """The output lives where the input lives; both are of one type, with the same quantisation."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    if (
        operator.inputs[0] not in lowering
        or source.dtype != target.dtype
        or prod(source.shape) != prod(target.shape)
    ):
        raise unsupported(
            operator,
            target,
            f"makes {target.dtype} {target.shape} of {source.dtype} {source.shape}",
            "Reshape activations, and keep their type and number of elements.",
        )
    lowering.alias(operator.outputs[0], operator.inputs[0])
    lowering.done.add(index)
