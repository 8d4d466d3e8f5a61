"""When a DEPTHWISE_CONV_2D can be carried out, and when it is better seen as a convolution."""

from dataclasses import dataclass, replace
from functools import lru_cache

from secateur.operators.conv.rule import Conv, add_clamp, add_conv, check_weights, is_narrow, is_scaled_up
from secateur.operators.helium import CHUNK, taken
from secateur.operators.lowering import Lowering
from secateur.operators.program import Step
from secateur.operators.window import Window, fused_padding, slide

_SPREAD_CHANNELS = 8
"""Most channels of a source whose convolution with several rows for each channel is spread out."""

LEAST_CHANNELS = 8
"""For which the kernel for Helium is taken: half a vector."""


@dataclass(frozen=True)
class Depthwise:
    """Network tensors of the step (bias −1 if absent), and how its window slides."""

    source: int
    weights: int
    bias: int
    target: int
    window: Window


def lower_depthwise(lowering: Lowering, index: int) -> None:
    """``target[y, x, c] = activation(window of source[.., .., c / m] at (y, x) · weights[.., .., c] + bias[c])``.

    Weights are [1, height, width, rows], rows = m × channels. A PAD before it is taken in. With fewer than
    four channels, or with several rows for each channel (m > 1), it becomes a convolution.
    """
    operator = lowering.network.operators[index]
    matrix = lowering.tensor(operator.inputs[1])
    padding = fused_padding(lowering, operator.inputs[0])
    shape = matrix.shape if len(matrix.shape) == 4 else (1, 1, 1, 1)
    window, refuse = slide(lowering, index, shape[1], shape[2], padding)
    rows, channels = shape[3], lowering.tensor(operator.inputs[0]).shape[3]
    if (
        matrix.shape != (1, *shape[1:])
        or rows % channels
        or lowering.tensor(operator.outputs[0]).shape[3] != rows
        or operator.options.get("depthMultiplier", rows // channels) != rows // channels
    ):
        refuse(f"has weights {matrix.shape}", "Use [1, height, width, rows], rows a multiple of channels.")
    bias = check_weights(lowering, index, rows, 3, refuse)
    if any(int(operator.options.get(f"dilation{side}Factor", 1)) != 1 for side in "HW"):
        refuse("is dilated", "Use a dilation of 1, or one group.")
    source = padding.source if padding else operator.inputs[0]
    operators = (index, padding.operator) if padding else (index,)
    if channels < 4 or rows != channels:
        if channels > _SPREAD_CHANNELS:
            refuse(
                f"has {rows // channels} rows for each of {channels} channels",
                f"Use a multiplier of 1, or at most {_SPREAD_CHANNELS} channels.",
            )
        part = Conv(source, operator.inputs[1], bias, operator.outputs[0], window, channels, spread=True)
        add_conv(lowering, operators, part, rows)
        return
    reads, writes = lowering.buffer(source), lowering.new_buffer(operator.outputs[0])
    label = lowering.label(operator.inputs[1])
    deep = Depthwise(source, operator.inputs[1], bias, operator.outputs[0], window)
    if rows >= LEAST_CHANNELS and is_narrow(matrix) and taken(lowering, deep, rows, single=False):
        scratch = lowering.new_scratch(label, 4 * window.height * window.width + rows)
        lowering.add(depthwise_helium_step(label, operators, (reads, writes, scratch), rows, deep))
        add_clamp(lowering, index, deep.target, int(operator.options.get("fusedActivationFunction", 0)))
        return
    by_rows = (window.height, window.width) == (3, 3) and window.left < 3
    kernel = "depthwise_3x3" if by_rows and not is_scaled_up(lowering, deep, rows, False) else "depthwise"
    scratch = lowering.new_scratch(label, scratch_bytes(kernel, window, rows))
    lowering.add(depthwise_step(label, kernel, operators, (reads, writes, scratch), rows, deep))
    add_clamp(lowering, index, deep.target, int(operator.options.get("fusedActivationFunction", 0)))


def scratch_bytes(kernel: str, window: Window, rows: int) -> int:
    """Constants of four channels and the columns of a row; or offsets of the taps and a pixel of padding."""
    if kernel == "depthwise_3x3":
        return 124 + 24 * columns_of_row(window)
    return 4 * window.height * window.width + (rows if window.padded else 0)


def columns_of_row(window: Window) -> int:
    """Columns of the source, those of its padding included, below a row of the target."""
    return (window.target_width - 1) * window.step_right + window.width


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
    odd last one; for a window of 3 × 3, twelve for every column.
    """
    window = part.window
    taps, blocks = window.height * window.width, -(-rows // 4)
    by_rows = kernel == "depthwise_3x3"
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
        weights_bytes=28 + blocks * (72 if by_rows else 40 + 4 * taps),
        tables_bytes=0,
        work=work_by_rows(window, blocks) if by_rows else work_by_pixels(window, rows),
        payload=part,
    )


def work_by_rows(window: Window, blocks: int) -> tuple[int, ...]:
    """Calls, columns of padding, blocks, rows, columns spread out quickly and with padding, pixels."""
    needed = columns_of_row(window)
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


def work_by_pixels(window: Window, rows: int) -> tuple[int, ...]:
    """Calls, channels of padding, pixels, lists of offsets, taps in them, blocks, pairs of taps, odd taps."""
    pixels = window.target_height * window.target_width
    taps, blocks = window.height * window.width, -(-rows // 4)
    return (
        1,
        rows if window.padded else 0,
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


def depthwise_helium_step(
    label: str, operators: tuple[int, ...], buffers: tuple[int, int, int], rows: int, part: Depthwise
) -> Step:
    """The step for Helium: seven words in front; 16 channels take 144 bytes besides their weights, a rest as well."""
    window = part.window
    pixels, taps = window.target_height * window.target_width, window.height * window.width
    blocks, rest = divmod(rows, CHUNK)
    return replace(
        depthwise_step(label, "depthwise", operators, buffers, rows, part),
        kernel="depthwise_helium",
        weights_bytes=28 + (blocks + (rest > 0)) * 144 + taps * (CHUNK * blocks + -(-rest // 4) * 4),
        work=(
            1,
            rows,
            (many := runs(window)),
            lists(window),
            lists(window) * taps,
            many * (blocks + (rest > 0)),
            pixels * blocks,
            pixels * blocks * (taps // 2),
            pixels * blocks * (taps % 2),
            pixels * (rest > 0),
            pixels * (rest > 0) * (taps // 2),
            pixels * (rest > 0) * (taps % 2),
        ),
    )


@lru_cache(maxsize=4096)
def runs(window: Window) -> int:
    """Pixels whose windows reach beyond an edge, each alone, and the others of each row together."""
    down = [window.inside(place, down=True) == (0, window.height) for place in range(window.target_height)]
    right = [window.inside(place, down=False) == (0, window.width) for place in range(window.target_width)]
    return sum(right.count(False) + any(right) if row else len(right) for row in down)
