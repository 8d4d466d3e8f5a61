"""When CONV_2D and DEPTHWISE_CONV_2D of int16 or float32 activations can be carried out, and what they take."""

from dataclasses import dataclass

from secateur.operators.conv.rule import check_weights
from secateur.operators.layer_16 import KINDS
from secateur.operators.lowering import Lowering
from secateur.operators.program import Step
from secateur.operators.window import Window, fused_padding, slide

TERMS = ("call", "pixel", "value", "line", "product")
"""Of the work of a convolution in plain C."""


@dataclass(frozen=True)
class Windows:
    """Network tensors of the step (source, weights, bias or −1, target), its geometry and fused activation."""

    tensors: tuple[int, int, int, int]
    window: Window
    channels: int
    activation: int


def lower_conv_16(lowering: Lowering, index: int) -> None:
    """``target[y, x, row] = activation(window of source at (y, x) · weights[row] + bias[row])``, int16."""
    lower_windows(lowering, index, "conv_16", KINDS, 16)


def lower_depthwise_16(lowering: Lowering, index: int) -> None:
    """The same for each channel alone. The reference reads a bias of 64 bits here, whatever there is."""
    lower_windows(lowering, index, "depthwise_16", ("int8", "int64"), 16)


def lower_conv_float(lowering: Lowering, index: int) -> None:
    """The same of float32."""
    lower_windows(lowering, index, "conv_float", ("float32", "float32"), 4)


def lower_depthwise_float(lowering: Lowering, index: int) -> None:
    """The same of float32, for each channel alone."""
    lower_windows(lowering, index, "depthwise_float", ("float32", "float32"), 4)


def lower_windows(
    lowering: Lowering, index: int, kernel: str, kinds: tuple[str, ...], row_bytes: int
) -> None:
    """A convolution, of all channels or of each alone; a PAD before it is taken in.

    Args:
        lowering: the network.
        index: of the operator.
        kernel: that carries it out.
        kinds: types of weights and of biases.
        row_bytes: of the constants of a row.
    """
    operator = lowering.network.operators[index]
    deep = operator.kind == "DEPTHWISE_CONV_2D"
    matrix = lowering.tensor(operator.inputs[1])
    padding = fused_padding(lowering, operator.inputs[0])
    shape = matrix.shape if len(matrix.shape) == 4 else (0, 0, 0, 0)
    window, refuse = slide(lowering, index, shape[1], shape[2], padding)
    dilation = [int(operator.options.get(f"dilation{side}Factor", 1)) for side in "HW"]
    if dilation != [1, 1]:
        refuse(f"is dilated by {dilation}", "Use a window without dilation, or int8.")
    channels = lowering.tensor(operator.inputs[0]).shape[3]
    rows = shape[3] if deep else shape[0]
    fits = rows % channels == 0 and shape[0] == 1 if deep else shape[3] == channels
    if not fits or lowering.tensor(operator.outputs[0]).shape[3] != rows:
        refuse(f"has weights {matrix.shape}", "Convert the model again.")
    multiplier = int(operator.options.get("depthMultiplier", 0))
    if deep and multiplier not in (0, rows // channels):
        refuse(f"has weights {matrix.shape} and a multiplier of {multiplier}", "Convert the model again.")
    bias = check_weights(lowering, index, rows, 3 if deep else 0, refuse, kinds)
    activation = int(operator.options.get("fusedActivationFunction", 0))
    source = padding.source if padding else operator.inputs[0]
    part = Windows((source, operator.inputs[1], bias, operator.outputs[0]), window, channels, activation)
    operators = (index, padding.operator) if padding else (index,)
    reads, writes = lowering.buffer(source), lowering.new_buffer(operator.outputs[0])
    label = lowering.label(operator.inputs[1])
    item = 1 if kinds[0] == "int8" else 4
    lowering.add(windows_step(label, kernel, operators, (reads, writes), (part, rows), (row_bytes, item)))


def windows_step(
    label: str,
    kernel: str,
    operators: tuple[int, ...],
    buffers: tuple[int, int],
    layer: tuple[Windows, int],
    sizes: tuple[int, int],
) -> Step:
    """The step, its size and its work; ``sizes`` in bytes: of a row's constants, and of a weight."""
    (part, rows), window = layer, layer[0].window
    deep = kernel.startswith("depthwise")
    down = [window.inside(place, down=True) for place in range(window.target_height)]
    right = [window.inside(place, down=False) for place in range(window.target_width)]
    lines = sum(max(last - first, 0) for first, last in down)
    places = sum(max(last - first, 0) for first, last in right)
    reached = sum(last > first for first, last in right)
    depth = 1 if deep else part.channels
    outputs = window.target_height * window.target_width * rows
    weights = rows * window.height * window.width * depth
    return Step(
        label=label,
        kernel=kernel,
        operators=operators,
        reads=(buffers[0],),
        writes=(buffers[1],),
        rows=rows,
        columns=window.height * window.width * depth,
        macs=outputs * window.height * window.width * depth,
        parameters=weights + rows * (part.tensors[2] != -1),
        weights_bytes=(40 if sizes[1] == 1 else 32) + rows * sizes[0] + -(-weights * sizes[1] // 4) * 4,
        tables_bytes=0,
        work=(1, outputs // rows, outputs, rows * lines * reached, rows * lines * places * depth),
        payload=part,
    )


def describe(step: Step) -> str:
    """What a convolution does, for the reader of the C."""
    window = step.payload.window
    return (
        f"{step.kernel} {window.height} x {window.width}, "
        f"{window.source_height} x {window.source_width} x {step.payload.channels} to "
        f"{window.target_height} x {window.target_width} x {step.rows}"
    )
