"""When a DEPTHWISE_CONV_2D can be carried out, and when it is better seen as a convolution."""

from dataclasses import dataclass
from functools import lru_cache

from secateur.operators.conv.rule import (
    Conv,
    add_clamp,
    add_conv,
    check_weights,
    dilation_of,
    is_scaled_up,
)
from secateur.operators.depthwise.for_helium import for_helium, helium_scratch_bytes, is_spread
from secateur.operators.helium import taken
from secateur.operators.lowering import Lowering
from secateur.operators.program import Step
from secateur.operators.window import Window, fused_padding, slide

_SPREAD_CHANNELS = 8
"""Most channels of a source whose convolution with several rows for each channel is spread out."""


@dataclass(frozen=True)
class Depthwise:
    """Network tensors of the step (bias −1 if absent), how its window slides, and its dilation, see ``Conv``."""

    source: int
    weights: int
    bias: int
    target: int
    window: Window
    dilation: tuple[int, int] = (1, 1)

    @property
    def taps(self) -> int:
        """Weights of a channel."""
        window, (down, right) = self.window, self.dilation
        return ((window.height - 1) // down + 1) * ((window.width - 1) // right + 1)


def lower_depthwise(lowering: Lowering, index: int) -> None:
    """``target[y, x, c] = activation(window of source[.., .., c / m] at (y, x) · weights[.., .., c] + bias[c])``.

    Weights are [1, height, width, rows], rows = m × channels. A PAD before it is taken in; a dilated window is seen
    as a larger one with zeros in it. With fewer than four channels, or with several rows for each channel (m > 1), it
    becomes a convolution. Rows of the image are spread out to int16 for all pixels together where no sum is scaled up
    and the window is 3 × 3, which takes the least flash too, or speed is asked for.
    """
    operator = lowering.network.operators[index]
    matrix = lowering.tensor(operator.inputs[1])
    padding = fused_padding(lowering, operator.inputs[0])
    shape = matrix.shape if len(matrix.shape) == 4 else (1, 1, 1, 1)
    dilation = dilation_of(lowering, index)
    height, width = ((size - 1) * factor + 1 for size, factor in zip(shape[1:3], dilation))
    window, refuse = slide(lowering, index, height, width, padding)
    rows, channels = shape[3], lowering.tensor(operator.inputs[0]).shape[3]
    if (
        matrix.shape != (1, *shape[1:])
        or rows % channels
        or lowering.tensor(operator.outputs[0]).shape[3] != rows
        or operator.options.get("depthMultiplier", rows // channels) != rows // channels
    ):
        refuse(f"has weights {matrix.shape}", "Use [1, height, width, rows], rows a multiple of channels.")
    bias = check_weights(lowering, index, rows, 3, refuse)
    source = padding.source if padding else operator.inputs[0]
    operators = (index, padding.operator) if padding else (index,)
    if channels < 4 or rows != channels:
        if channels > _SPREAD_CHANNELS:
            refuse(
                f"has {rows // channels} rows for each of {channels} channels",
                f"Use a multiplier of 1, or at most {_SPREAD_CHANNELS} channels.",
            )
        tensors = source, operator.inputs[1], bias, operator.outputs[0]
        part = Conv(*tensors, window, channels, spread=True, dilation=dilation)
        add_conv(lowering, operators, part, rows)
        return
    reads, writes = lowering.buffer(source), lowering.new_buffer(operator.outputs[0])
    label = lowering.label(operator.inputs[1])
    deep = Depthwise(source, operator.inputs[1], bias, operator.outputs[0], window, dilation)
    if is_spread(window, rows) and taken(lowering, deep, rows, single=False):
        scratch = lowering.new_scratch(label, helium_scratch_bytes(window, rows))
        step = depthwise_step(label, "depthwise", operators, (reads, writes, scratch), rows, deep)
        lowering.add(for_helium(step, window))
        add_clamp(lowering, index, deep.target, int(operator.options.get("fusedActivationFunction", 0)))
        return
    kernel = "depthwise"
    if window.left < window.width and not is_scaled_up(lowering, deep, rows, False):
        if (window.height, window.width) == (3, 3):
            kernel = "depthwise_3x3"
        elif lowering.choice.optimise == "speed":
            kernel = "depthwise_rows"
    scratch = lowering.new_scratch(label, scratch_bytes(kernel, window, rows))
    lowering.add(depthwise_step(label, kernel, operators, (reads, writes, scratch), rows, deep))
    add_clamp(lowering, index, deep.target, int(operator.options.get("fusedActivationFunction", 0)))


def scratch_bytes(kernel: str, window: Window, rows: int) -> int:
    """Constants of four channels and the columns of a row; or offsets of the taps and a pixel of padding."""
    if kernel == "depthwise_3x3":
        return 124 + 24 * window.columns_below
    if kernel == "depthwise_rows":
        return 100 + 64 * fours(window) + 16 * row_pairs(window) * window.columns_below
    return 4 * window.height * window.width + (rows if window.padded else 0)


def row_pairs(window: Window) -> int:
    """Pairs of rows of the window, with nothing for the second of the last one where rows are odd."""
    return (window.height + 1) // 2


def fours(window: Window) -> int:
    """Times that the pairs of rows of all columns are multiplied, four at a time."""
    return -(-window.width * row_pairs(window) // 4)


def depthwise_step(
    label: str,
    kernel: str,
    operators: tuple[int, ...],
    buffers: tuple[int, int, int],
    rows: int,
    part: Depthwise,
) -> Step:
    """The step, its size and its work.

    Seven words in front state the layer; four channels take their biases (16), their weights, their multipliers
    (16) and shifts (8, those to the right alone 4). Weights are eight bytes for every two taps and four for an
    odd last one; for a window of 3 × 3, twelve for every column; by rows, eight for every two rows of a column.
    """
    window, taps, blocks = part.window, part.taps, -(-rows // 4)
    whole = window.height * window.width
    block_bytes = {
        "depthwise_3x3": 72,
        "depthwise_rows": 36 + 8 * row_pairs(window) * window.width,
        "depthwise": 40 + 4 * whole,
    }
    work = {"depthwise_3x3": work_3x3, "depthwise_rows": work_by_rows, "depthwise": work_by_pixels}
    return Step(
        label=label,
        kernel=kernel,
        operators=operators,
        reads=(buffers[0],),
        writes=buffers[1:],
        rows=rows,
        columns=taps,
        macs=window.target_height * window.target_width * rows * taps,
        parameters=rows * (taps + (part.bias != -1)),
        weights_bytes=28 + blocks * block_bytes[kernel],
        tables_bytes=0,
        work=work[kernel](window, rows),
        payload=part,
    )


def work_3x3(window: Window, channels: int) -> tuple[int, ...]:
    """Calls, columns of padding, blocks, rows, columns spread out quickly and with padding, pixels."""
    needed, blocks = window.columns_below, -(-channels // 4)
    inside = min(needed - window.left, window.source_width)
    whole = sum(window.inside(place, down=True) == (0, 3) for place in range(window.target_height))
    rows = window.target_height
    return (
        1,
        needed - inside,
        blocks,
        blocks * rows,
        blocks * whole * inside,
        blocks * (rows - whole) * inside,
        blocks * rows * window.target_width,
    )


def work_by_rows(window: Window, channels: int) -> tuple[int, ...]:
    """Calls, words of padding, blocks, their pairs of taps, rows, row pairs, columns of these, pixels, fours, taps."""
    needed, blocks, pairs = window.columns_below, -(-channels // 4), row_pairs(window)
    inside = min(needed - window.left, window.source_width)
    rows = blocks * window.target_height
    pixels = rows * window.target_width
    return (
        1,
        4 * pairs * (needed - inside),
        blocks,
        blocks * pairs * window.width,
        rows,
        rows * pairs,
        rows * pairs * inside,
        pixels,
        pixels * fours(window),
        pixels * window.height * window.width,
    )


def work_by_pixels(window: Window, channels: int) -> tuple[int, ...]:
    """Calls, channels of padding, pixels, lists of offsets, taps in them, blocks, pairs of taps, odd taps."""
    pixels = window.target_height * window.target_width
    taps, blocks = window.height * window.width, -(-channels // 4)
    return (
        1,
        channels if window.padded else 0,
        pixels,
        lists(window),
        lists(window) * taps,
        pixels * blocks,
        pixels * blocks * (taps // 2),
        pixels * blocks * (taps % 2),
    )


@lru_cache(maxsize=4096)
def lists(window: Window) -> int:
    """How often the list of offsets is made: at edges, and after them."""
    down = [window.inside(place, down=True) == (0, window.height) for place in range(window.target_height)]
    right = [window.inside(place, down=False) == (0, window.width) for place in range(window.target_width)]
    before = [False, *right][:-1]
    inner = sum(not (now and last) for now, last in list(zip(right, before))[1:])
    count, last = 0, False
    for row in down:
        count += inner + (not (right[0] and last)) if row else len(right)
        last = row and right[-1]
    return count
