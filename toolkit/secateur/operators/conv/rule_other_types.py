"""When CONV_2D and DEPTHWISE_CONV_2D of int16 or float32 activations can be carried out, and what they take."""

from dataclasses import dataclass
from math import prod

import numpy as np

from secateur.operators.conv.rule import check_weights, dilation_of
from secateur.operators.layer_16 import KINDS
from secateur.operators.lowering import Lowering
from secateur.operators.program import Step
from secateur.operators.stream import window_words
from secateur.operators.window import Window, fused_padding, slide

TERMS = ("call", "pixel", "value", "line", "product")
"""Of the work of a convolution in plain C."""


@dataclass(frozen=True)
class Windows:
    """What the kernels take.

    Attributes:
        tensors: of the network: source, weights, bias or −1, target.
        window: how the window slides, with what lies between its taps.
        channels: of the source.
        activation: fused, by the schema's number.
        dilation: down and right: places from one tap of the window to the next.
    """

    tensors: tuple[int, int, int, int]
    window: Window
    channels: int
    activation: int
    dilation: tuple[int, int] = (1, 1)

    @property
    def taps(self) -> tuple[int, int]:
        """Height and width of the weights."""
        window, (down, right) = self.window, self.dilation
        return (window.height - 1) // down + 1, (window.width - 1) // right + 1

    def inside(self, place: int, down: bool) -> int:
        """Taps of the window at a place that lie in the image: lines of them (``down``) or columns."""
        window = self.window
        step, pad, limit = (
            (window.step_down, window.above, window.source_height)
            if down
            else (window.step_right, window.left, window.source_width)
        )
        start, apart = place * step - pad, self.dilation[not down]
        first, end = -(start // apart), -((start - limit) // apart)
        return max(0, min(end, self.taps[not down]) - max(first, 0))


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
    down, right = dilation_of(lowering, index)
    dilation = (down if shape[1] > 1 else 1), (right if shape[2] > 1 else 1)
    height, width = ((size - 1) * factor + 1 for size, factor in zip(shape[1:3], dilation))
    window, refuse = slide(lowering, index, height, width, padding)
    channels = lowering.tensor(operator.inputs[0]).shape[3]
    rows = shape[3] if deep else shape[0]
    fits = rows % channels == 0 and shape[0] == 1 if deep else shape[3] == channels
    if not fits or lowering.tensor(operator.outputs[0]).shape[3] != rows:
        refuse(f"has weights {matrix.shape}", "Convert the model again.")
    multiplier = int(operator.options.get("depthMultiplier", rows // channels))
    if deep and multiplier != rows // channels:
        refuse(f"has weights {matrix.shape} and a multiplier of {multiplier}", "Convert the model again.")
    bias = check_weights(lowering, index, rows, 3 if deep else 0, refuse, kinds)
    activation = int(operator.options.get("fusedActivationFunction", 0))
    source = padding.source if padding else operator.inputs[0]
    tensors = source, operator.inputs[1], bias, operator.outputs[0]
    part = Windows(tensors, window, channels, activation, dilation)
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
    lines = sum(part.inside(place, down=True) for place in range(window.target_height))
    right = [part.inside(place, down=False) for place in range(window.target_width)]
    places = sum(right)
    runs = places if part.dilation[1] > 1 and not deep else sum(taps > 0 for taps in right)
    depth = 1 if deep else part.channels
    outputs = window.target_height * window.target_width * rows
    columns = prod(part.taps) * depth
    weights = rows * columns
    return Step(
        label=label,
        kernel=kernel,
        operators=operators,
        reads=(buffers[0],),
        writes=(buffers[1],),
        rows=rows,
        columns=columns,
        macs=outputs * columns,
        parameters=weights + rows * (part.tensors[2] != -1),
        weights_bytes=(40 if sizes[1] == 1 else 32) + rows * sizes[0] + -(-weights * sizes[1] // 4) * 4,
        tables_bytes=0,
        work=(1, outputs // rows, outputs, rows * lines * runs, rows * lines * places * depth),
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


def taps_words(part: Windows) -> np.ndarray:
    """``window_words``, but for its size, which is in taps; beside the channels, how far apart these are."""
    words = window_words(part.window, part.channels | part.dilation[1] << 16 | part.dilation[0] << 24)
    height, width = part.taps
    words[3] = words[3] & ~0xFFFF | height << 8 | width
    return words
