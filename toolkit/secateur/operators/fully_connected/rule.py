"""When a FULLY_CONNECTED can be carried out; it becomes a matrix-vector step, and a clamp if need be."""

from dataclasses import dataclass, replace
from math import prod

from secateur.operators.batch_matmul.rule import lower_batch_matmul
from secateur.operators.clamp.rule import clamp_step
from secateur.operators.conv.rule import Conv, add_conv, is_narrow
from secateur.operators.helium import CHUNK, cut, rows_bytes, taken
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Step
from secateur.operators.requantise import ACTIVATION_RANGES, activation_range, multipliers
from secateur.operators.window import LARGEST, Window


@dataclass(frozen=True)
class FullyConnected:
    """Network tensors of the step; bias −1 if absent."""

    source: int
    weights: int
    bias: int
    target: int


def lower_fully_connected(lowering: Lowering, index: int) -> None:
    """``target[rows] = activation(weights[rows, columns] · source[columns] + bias[rows])``.

    The activation is in the saturation to int8 wherever the output's zero point makes it so, which is the
    rule after calibration; a clamp step follows where it is not. Several vectors become the pixels of a
    convolution, which takes two at a time; so does one with a weight of −128, which only a convolution can read. What
    is multiplied by another activation is a matrix product.
    """
    operator = lowering.network.operators[index]
    target = lowering.tensor(operator.outputs[0])
    bias = operator.inputs[2] if len(operator.inputs) > 2 else -1
    source, weights = operator.inputs[:2]
    matrix = lowering.tensor(weights)
    if not matrix.constant:
        lower_batch_matmul(lowering, index)
        return
    activation = int(operator.options.get("fusedActivationFunction", 0))

    def refuse(seen: str, remedy: str) -> None:
        raise unsupported(operator, target, seen, remedy)

    if matrix.dtype != "int8" or len(matrix.shape) != 2 or matrix.quantization is None:
        refuse(
            f"has weights {matrix.name!r} of type {matrix.dtype} and shape {matrix.shape}",
            "Use constant int8 weights [rows, columns] (static int8 quantisation).",
        )
    assert matrix.quantization is not None
    if any(matrix.quantization.zero_points) or (
        len(matrix.quantization.scales) > 1 and matrix.quantization.axis != 0
    ):
        refuse(
            "has weights with a zero point or with scales along their columns",
            "Quantise weights symmetrically, by row.",
        )
    if activation not in ACTIVATION_RANGES:
        refuse(f"has fused activation {activation}", "Use RELU or RELU6, or an activation of its own.")
    if operator.options.get("weightsFormat", 0):
        refuse("has shuffled weights", "Convert without shuffled weights.")
    rows, columns = matrix.shape
    vectors = prod(lowering.tensor(source).shape) // columns
    whole = prod(lowering.tensor(source).shape) == columns * vectors and target.shape[-1:] == (rows,)
    if not whole or prod(target.shape) != rows * vectors:
        refuse(
            f"maps {lowering.tensor(source).shape} to {target.shape} with weights {matrix.shape}",
            "Convert the model again.",
        )
    if max(rows, columns, vectors) > LARGEST["an image"]:
        refuse(
            f"takes {vectors} vectors of {columns} to {rows}", f"Take at most {LARGEST['an image']} of each."
        )
    if bias != -1:
        vector = lowering.tensor(bias)
        if not vector.constant or vector.dtype != "int32" or prod(vector.shape) != rows:
            refuse(
                f"has bias {vector.name!r} of type {vector.dtype} and shape {vector.shape}",
                "Use a constant int32 bias [rows].",
            )

    layer = FullyConnected(source, weights, bias, operator.outputs[0])
    helium = taken(lowering, layer, rows)
    if vectors > 1 or not (helium or is_narrow(matrix)):
        image = Window(1, vectors, 1, vectors, 1, 1, 1, 1, 0, 0)
        part = Conv(source, weights, bias, operator.outputs[0], image, columns, single=True)
        add_conv(lowering, (index,), part, rows)
        return
    reads = lowering.buffer(source)
    writes = lowering.new_buffer(operator.outputs[0])
    label = lowering.label(weights)
    step = fully_connected_step(
        label, index, (reads, writes), rows, columns, layer, _scaled_up(lowering, index, rows)
    )
    lowering.add(for_helium(step) if helium else step)
    assert target.quantization is not None
    low, high = activation_range(activation, target.quantization)
    if (low, high) != (-128, 127):
        lowering.add(
            clamp_step(
                lowering.derived_label(operator.outputs[0], "/clamp"), (index,), writes, rows, low, high
            )
        )


def _scaled_up(lowering: Lowering, index: int, rows: int) -> int:
    """Blocks of four rows in which sums are shifted to the left, so far as known: none after calibration."""
    operator = lowering.network.operators[index]
    tensors = [lowering.tensor(tensor) for tensor in (*operator.inputs[:2], operator.outputs[0])]
    source, weights, target = (tensor.quantization for tensor in tensors)
    if tensors[1].data is None or source is None or weights is None or target is None:
        return 0
    shift = multipliers(source, weights, target, rows)[1][: rows - rows % 4]
    return int((shift.reshape(-1, 4) > 0).any(axis=1).sum())


def fully_connected_step(
    label: str,
    operator: int,
    buffers: tuple[int, int],
    rows: int,
    columns: int,
    payload: FullyConnected,
    scaled_up: int,
) -> Step:
    """The step, its size and its work.

    Rows go four at a time, the one to three that are left one by one; columns are padded with zero weights to
    a multiple of four, the bytes of one word. Per row: the bias (4), the weights, the multiplier (4), and the
    shift, a byte in a block of four and a word in a row of its own. Two words in front state the shape and
    the zero point.
    """
    blocks, singles = divmod(rows, 4)
    quads = (columns + 3) // 4
    return Step(
        label=label,
        kernel="fully_connected",
        operators=(operator,),
        reads=(buffers[0],),
        writes=(buffers[1],),
        rows=rows,
        columns=columns,
        macs=rows * columns,
        parameters=rows * (columns + (payload.bias != -1)),
        weights_bytes=8 + blocks * (36 + 16 * quads) + singles * (12 + 4 * quads),
        tables_bytes=0,
        work=(1, blocks, blocks * quads, singles, singles * quads, scaled_up),
        payload=payload,
    )


def for_helium(step: Step) -> Step:
    """The step with the kernel for Helium: two words in front, then the rows as ``pack_rows`` lays them out."""
    blocks, singles = divmod(step.rows, 4)
    _, chunks = cut(step.columns)
    shallow, deep = (0, blocks) if chunks else (blocks, 0)
    return replace(
        step,
        kernel="fully_connected_helium",
        weights_bytes=8 + rows_bytes(step.rows, step.columns),
        work=(1, shallow, deep, deep * chunks, singles, singles * -(-step.columns // CHUNK)),
    )
