"""When a FULLY_CONNECTED of int16 or float32 activations can be carried out, one vector or several."""

from dataclasses import dataclass
from math import prod
from typing import NoReturn

from secateur.operators.batch_matmul.rule import lower_batch_matmul_float
from secateur.operators.conv.rule import check_weights
from secateur.operators.layer_16 import KINDS
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Step
from secateur.operators.window import LARGEST


@dataclass(frozen=True)
class Vectors:
    """Network tensors of the step (source, weights, bias or −1, target), vectors, and its fused activation."""

    tensors: tuple[int, int, int, int]
    count: int
    activation: int


def lower_fully_connected_16(lowering: Lowering, index: int) -> None:
    """``target[v, rows] = activation(weights[rows, columns] · source[v, columns] + bias[rows])``, int16."""
    part, rows, columns = vectors_of(lowering, index, KINDS)
    pairs = part.count * (-(-rows // 2))
    lowering.add(
        vectors_step(
            lowering,
            index,
            "fully_connected_16",
            (part, rows, columns),
            20 + rows * (16 + 4 * -(-columns // 4)),
            (1, pairs, pairs * (columns // 4), pairs * (columns % 4)),
        )
    )


def lower_fully_connected_float(lowering: Lowering, index: int) -> None:
    """The same of float32."""
    if not lowering.tensor(lowering.network.operators[index].inputs[1]).constant:
        lower_batch_matmul_float(lowering, index)
        return
    part, rows, columns = vectors_of(lowering, index, ("float32", "float32"))
    blocks = part.count * (-(-rows // 4))
    lowering.add(
        vectors_step(
            lowering,
            index,
            "fully_connected_float",
            (part, rows, columns),
            16 + 4 * rows * (1 + columns),
            (1, part.count * rows, blocks, blocks * (columns // 2)),
        )
    )


def vectors_of(lowering: Lowering, index: int, kinds: tuple[str, ...]) -> tuple[Vectors, int, int]:
    """The layer, its rows and columns.

    Raises:
        SecateurError: a form that no kernel has.
    """
    operator = lowering.network.operators[index]
    target = lowering.tensor(operator.outputs[0])
    source, matrix = (lowering.tensor(tensor) for tensor in operator.inputs[:2])

    def refuse(seen: str, remedy: str) -> NoReturn:
        raise unsupported(operator, target, seen, remedy)

    if len(matrix.shape) != 2:
        refuse(f"has weights of shape {matrix.shape}", "Use constant weights [rows, columns].")
    rows, columns = matrix.shape
    bias = check_weights(lowering, index, rows, 0, refuse, kinds)
    if operator.options.get("weightsFormat", 0):
        refuse("has shuffled weights", "Convert without shuffled weights.")
    count = prod(source.shape) // columns
    whole = prod(source.shape) == columns * count and target.shape[-1:] == (rows,)
    if not whole or prod(target.shape) != rows * count:
        refuse(
            f"maps {source.shape} to {target.shape} with weights {matrix.shape}", "Convert the model again."
        )
    if max(rows, columns, count) > LARGEST["an image"]:
        refuse(
            f"takes {count} vectors of {columns} to {rows}", f"Take at most {LARGEST['an image']} of each."
        )
    activation = int(operator.options.get("fusedActivationFunction", 0))
    tensors = (operator.inputs[0], operator.inputs[1], bias, operator.outputs[0])
    return Vectors(tensors, count, activation), rows, columns


def vectors_step(
    lowering: Lowering,
    index: int,
    kernel: str,
    layer: tuple[Vectors, int, int],
    weights_bytes: int,
    work: tuple[int, ...],
) -> Step:
    """The step, its size and its work."""
    part, rows, columns = layer
    source, weights, bias, target = part.tensors
    reads = lowering.buffer(source)
    return Step(
        label=lowering.label(weights),
        kernel=kernel,
        operators=(index,),
        reads=(reads,),
        writes=(lowering.new_buffer(target),),
        rows=rows,
        columns=columns,
        macs=part.count * rows * columns,
        parameters=rows * (columns + (bias != -1)),
        weights_bytes=weights_bytes,
        tables_bytes=0,
        work=work,
        payload=part,
    )
