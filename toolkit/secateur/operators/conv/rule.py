"""When a CONV_2D can be carried out, what it takes, and which other operators are convolutions too."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NoReturn

from secateur.network import Tensor
from secateur.operators.clamp.rule import clamp_step
from secateur.operators.conv.for_helium import for_helium, scratch_bytes
from secateur.operators.helium import taken
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Step, Weighted
from secateur.operators.requantise import ACTIVATION_RANGES, activation_range, multipliers
from secateur.operators.window import Window, fused_padding, slide

MOST_PAIRED = 512
"""Values of a window for which two sums in one number stay apart: 512 · 127 · 128 < 2²³."""


@dataclass(frozen=True)
class Conv:
    """Network tensors of the step (bias −1 if absent) and its geometry.

    Attributes:
        source, weights, bias, target: tensors.
        window: how the window slides.
        channels: of the source.
        single: multipliers as of a FULLY_CONNECTED.
        dilation: down and right: places of the window from one weight to the next; between them it has zeros.
        spread: the weights are those of a depthwise convolution, [1, height, width, rows], to be spread out
            over channels that do not meet.
    """

    source: int
    weights: int
    bias: int
    target: int
    window: Window
    channels: int
    single: bool = False
    spread: bool = False
    dilation: tuple[int, int] = (1, 1)


def lower_conv(lowering: Lowering, index: int) -> None:
    """``target[y, x, row] = activation(window of source at (y, x) · weights[row] + bias[row])``.

    Weights are [rows, height, width, channels]. A PAD before it is taken in. A dilated window is seen as a
    larger one with zeros in it.
    """
    operator = lowering.network.operators[index]
    matrix = lowering.tensor(operator.inputs[1])
    padding = fused_padding(lowering, operator.inputs[0])
    shape = matrix.shape if len(matrix.shape) == 4 else (1, 1, 1, 1)
    dilation = dilation_of(lowering, index)
    height, width = ((size - 1) * factor + 1 for size, factor in zip(shape[1:3], dilation))
    window, refuse = slide(lowering, index, height, width, padding)
    rows, _, _, channels = shape
    target = lowering.tensor(operator.outputs[0])
    if (
        shape != matrix.shape
        or lowering.tensor(operator.inputs[0]).shape[3] != channels
        or target.shape[3] != rows
    ):
        refuse(f"has weights {matrix.shape}", "Use one group: [rows, height, width, channels].")
    bias = check_weights(lowering, index, rows, 0, refuse)
    source = padding.source if padding else operator.inputs[0]
    tensors = source, operator.inputs[1], bias, operator.outputs[0]
    part = Conv(*tensors, window, channels, dilation=dilation)
    add_conv(lowering, (index, padding.operator) if padding else (index,), part, rows)


def dilation_of(lowering: Lowering, index: int) -> tuple[int, int]:
    """Places down and right from one weight of a window to the next."""
    operator = lowering.network.operators[index]
    down, right = (int(operator.options.get(f"dilation{side}Factor", 1)) for side in "HW")
    if min(down, right) < 1:
        raise unsupported(
            operator, lowering.tensor(operator.outputs[0]), "is dilated by 0", "Convert it again."
        )
    return down, right


def check_weights(
    lowering: Lowering,
    index: int,
    rows: int,
    axis: int,
    refuse: Callable[[str, str], NoReturn],
    kinds: tuple[str, ...] = ("int8", "int32"),
) -> int:
    """Refuse weights and biases of other types than ``kinds``, weights first; the bias, −1 if absent."""
    operator = lowering.network.operators[index]
    matrix = lowering.tensor(operator.inputs[1])
    real = kinds[0] == "float32"
    if not matrix.constant or matrix.dtype != kinds[0] or (matrix.quantization is None and not real):
        refuse(
            f"has weights {matrix.name!r} of type {matrix.dtype}",
            f"Use constant {kinds[0]} weights{'' if real else ' (static int8 quantisation)'}.",
        )
    if matrix.quantization is not None and (
        any(matrix.quantization.zero_points)
        or (len(matrix.quantization.scales) > 1 and matrix.quantization.axis != axis)
    ):
        refuse("has weights with a zero point or with scales along another axis", "Quantise by row.")
    if int(operator.options.get("fusedActivationFunction", 0)) not in ACTIVATION_RANGES:
        refuse("has a fused activation of another kind", "Use RELU or RELU6, or an activation of its own.")
    bias = operator.inputs[2] if len(operator.inputs) > 2 else -1
    if bias != -1:
        vector: Tensor = lowering.tensor(bias)
        if not vector.constant or vector.dtype not in kinds[1:] or prod(vector.shape) != rows:
            refuse(
                f"has bias {vector.name!r} of type {vector.dtype} and shape {vector.shape}",
                f"Use a constant {' or '.join(kinds[1:])} bias [rows].",
            )
    return bias


def add_conv(lowering: Lowering, operators: tuple[int, ...], part: Conv, rows: int) -> None:
    """The step, and a clamp after it where the saturation to int8 is not the activation.

    Where size is asked for, the one kernel that takes any convolution serves all of them.
    """
    operator = lowering.network.operators[operators[0]]
    reads, writes = lowering.buffer(part.source), lowering.new_buffer(part.target)
    label = lowering.label(part.weights)
    activation = int(operator.options.get("fusedActivationFunction", 0))
    if taken(lowering, part, rows, part.single):
        scratch = lowering.new_scratch(label, scratch_bytes(part.window, part.channels))
        step = conv_step(label, "conv_wide", operators, (reads, writes, scratch), rows, part)
        lowering.add(for_helium(step, part.window, part.channels))
        add_clamp(lowering, operators[0], part.target, activation)
        return
    usual = (
        lowering.choice.optimise == "speed"
        and part.window.height * part.window.width * part.channels <= MOST_PAIRED
        and rows > 1
        and is_narrow(lowering.tensor(part.weights))
        and not is_scaled_up(lowering, part, rows, part.single)
    )
    kernel = "conv" if usual else "conv_wide"
    scratch = lowering.new_scratch(label, 16 * quads(part, kernel))
    lowering.add(conv_step(label, kernel, operators, (reads, writes, scratch), rows, part))
    add_clamp(lowering, operators[0], part.target, activation)


def is_scaled_up(lowering: Lowering, part: Weighted, rows: int, single: bool) -> bool:
    """True if, so far as known, a sum is multiplied by one and more, which calibration does not lead to."""
    source, weights, target = (lowering.tensor(index) for index in (part.source, part.weights, part.target))
    if weights.data is None:
        return False
    assert source.quantization is not None
    assert weights.quantization is not None
    assert target.quantization is not None
    quantizations = source.quantization, weights.quantization, target.quantization
    return bool(multipliers(*quantizations, rows, single)[1].max() > 0)


def is_narrow(weights: Tensor) -> bool:
    """True for weights without −128, as the specification of int8 quantisation has them, so far as known."""
    return weights.data is None or not bool((weights.data == -128).any())


def add_clamp(lowering: Lowering, operator: int, tensor: int, activation: int) -> None:
    """Cut off in place what a fused activation cuts off inside the range of int8."""
    target = lowering.tensor(tensor)
    assert target.quantization is not None
    low, high = activation_range(activation, target.quantization)
    if (low, high) != (-128, 127):
        label = lowering.derived_label(tensor, "/clamp")
        lowering.add(clamp_step(label, (operator,), lowering.buffer(tensor), prod(target.shape), low, high))


def quads(part: Conv, kernel: str) -> int:
    """Words of weights of a row: every row of the window is padded to whole words, for ``conv`` to an even number."""
    words = part.window.height * (-(-part.window.width * part.channels // 4))
    return words + words % 2 if kernel == "conv" else words


def conv_step(
    label: str, kernel: str, operators: tuple[int, ...], buffers: tuple[int, int, int], rows: int, part: Conv
) -> Step:
    """The step, its size and its work.

    Seven words in front state the layer. A pair of rows takes its biases (8), its weights, its multipliers
    (8) and its shifts (4); a row of its own 12 besides its weights.
    """
    window = part.window
    pixels = window.target_height * window.target_width
    pairs, blocks, single = -(-pixels // 2), rows // 2, rows % 2
    words = quads(part, kernel)
    points = kernel == "conv" and is_pointwise(part)
    gathered = (0,) * 6 if points else gather_work(window, part.channels)
    down, right = ((side - 1) // by + 1 for side, by in zip((window.height, window.width), part.dilation))
    columns = part.channels * down * right
    parameters = rows * (columns // (part.channels if part.spread else 1) + (part.bias != -1))
    return Step(
        label=label,
        kernel=kernel,
        operators=operators,
        reads=(buffers[0],),
        writes=buffers[1:],
        rows=rows,
        columns=columns,
        macs=pixels * rows * columns // (part.channels if part.spread else 1),
        parameters=parameters,
        weights_bytes=28 + blocks * (20 + 8 * words) + single * (12 + 4 * words),
        tables_bytes=0,
        work=(
            1,
            pairs,
            *gathered,
            *((pairs * words * points,) if kernel == "conv" else ()),
            pairs * blocks,
            pairs * blocks * words,
            pairs * single,
            pairs * single * words,
        ),
        payload=part,
    )


def is_pointwise(part: Conv) -> bool:
    """A window of one pixel by steps of one, whose columns need no gathering: their values follow each other."""
    window, size = part.window, (part.window.source_height, part.window.source_width)
    plain = (window.height, window.width, window.step_down, window.step_right) == (1, 1, 1, 1)
    return (
        plain
        and not window.above
        and not window.left
        and (window.target_height, window.target_width) == size
        and part.channels % 8 == 0
    )


@lru_cache(maxsize=4096)
def gather_work(window: Window, channels: int) -> tuple[int, ...]:
    """Over all pixels: windows, their rows, runs of words copied, words copied, filled, put together by bytes.

    A row of the window that lies in the image to its end is copied in whole words, with what follows in the
    source; but for the last bytes of the source, which nothing follows.
    """
    end = -(-window.width * channels // 4)
    pixels = window.target_height * window.target_width
    counts = [0, 0, 0, 0]
    reached = [window.inside(place, down=True) for place in range(window.target_height)]
    tops = [place * window.step_down - window.above for place in range(window.target_height)]
    inside = sum(max(last - first, 0) for first, last in reached)
    at_bottom = sum(
        first <= window.source_height - 1 - top < last for (first, last), top in zip(reached, tops)
    )
    for place in range(window.target_width):
        first, last = window.inside(place, down=False)
        left = place * window.step_right - window.left
        whole = last == window.width
        behind = (
            window.source_width - left
        ) * channels < 4 * end  # the last row of the image ends before that
        for times, reach in (
            (inside - at_bottom, 4 * end if whole else last * channels),
            (at_bottom, 4 * end if whole and not behind else last * channels),
        ):
            for kind, count in enumerate(_row(first * channels, reach, end)):
                counts[kind] += times * count
    runs, copied, filled, mixed = counts
    filled += (window.target_height * window.height - inside) * window.target_width * end
    return pixels, pixels * window.height, runs, copied, filled, mixed


def _row(first: int, last: int, end: int) -> tuple[int, int, int, int]:
    """Runs of words of a row of a window; words copied, filled, mixed; bytes first to last are in the image."""
    runs = copied = filled = mixed = place = 0
    while place < end:
        if 4 * place >= first and 4 * place + 4 <= last:
            words = (last - 4 * place) // 4
            runs, copied, place = runs + 1, copied + words, place + words
            continue
        if 4 * place + 4 > first and 4 * place < last:
            mixed += 1
        else:
            filled += 1
        place += 1
    return runs, copied, filled, mixed
