"""When a pool can be carried out, and what it takes."""

from collections import Counter
from dataclasses import dataclass

from secateur.operators.conv.rule import add_clamp
from secateur.operators.helium import CHUNK
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import bounds_words
from secateur.operators.program import Step
from secateur.operators.requantise import ACTIVATION_RANGES
from secateur.operators.window import Window, slide

KERNELS_OF_KINDS = {"AVERAGE_POOL_2D": "average_pool", "MAX_POOL_2D": "max_pool"}
"""Operator kind → kernel."""

_MOST_SUMMED = 255


@dataclass(frozen=True)
class Pool:
    """How the window slides."""

    window: Window


def lower_pool(lowering: Lowering, index: int) -> None:
    """``target[y, x, c]`` = mean or largest of the window of source[.., .., c] at (y, x), without padding."""
    operator = lowering.network.operators[index]
    height, width = (int(operator.options.get(f"filter{side}", 0)) for side in ("Height", "Width"))
    window, refuse = slide(lowering, index, height, width, None)
    channels = lowering.tensor(operator.inputs[0]).shape[3]
    activation = int(operator.options.get("fusedActivationFunction", 0))
    if lowering.tensor(operator.outputs[0]).shape[3] != channels or activation not in ACTIVATION_RANGES:
        refuse("changes its channels, or has an activation of another kind", "Convert the model again.")
    reads, writes = lowering.buffer(operator.inputs[0]), lowering.new_buffer(operator.outputs[0])
    label = lowering.derived_label(operator.inputs[0], "/" + KERNELS_OF_KINDS[operator.kind])
    kernel = KERNELS_OF_KINDS[operator.kind] + ("_helium" if lowering.choice.helium else "")
    lowering.add(pool_step(label, index, kernel, (reads, writes), channels, Pool(window)))
    add_clamp(lowering, index, operator.outputs[0], activation)


def pool_step(
    label: str, operator: int, kernel: str, buffers: tuple[int, int], channels: int, part: Pool
) -> Step:
    """The step: five words that state the layer, and work in windows, their rows and taps.

    These count for every four channels, the last of which overlap, and for every channel where that cannot be. With
    Helium for every 16, for those that are left, and for a mean of more values than 16 bits can sum; channels of the
    latter are divided one by one, and a mean of one value is copied.
    """
    window = part.window
    pixels = window.target_height * window.target_width
    down, right = (
        Counter(last - first for first, last in (window.inside(place, vertical) for place in range(places)))
        for vertical, places in ((True, window.target_height), (False, window.target_width))
    )
    helium, largest = kernel.endswith("_helium"), kernel.startswith("max_pool")
    whole, left = divmod(channels, CHUNK) if helium else (-(-channels // 4), 0)
    together, rest, alone = [0, 0, 0], [0, 0, 0], [0, 0, 0]
    divided = copied = means = 0
    for rows, times_down in down.items():
        for columns, times_right in right.items():
            fast = (helium or channels >= 4) and (largest or rows * columns <= _MOST_SUMMED)
            if helium and not largest and rows * columns == 1:
                copied += times_down * times_right * (whole + (left > 0))
                continue
            for place, each in enumerate((1, rows, rows * columns)):
                each *= times_down * times_right
                together[place] += fast * whole * each
                rest[place] += fast * (left > 0) * each
                alone[place] += (not fast) * (whole + (left > 0) if helium else channels) * each
            divided += fast * times_down * times_right
            means += (not fast) * channels * times_down * times_right
    work = (*together, *alone)
    if helium:
        work = (*together, *rest) if largest else (*together, *rest, divided, copied, means, *alone)
    return Step(
        label=label,
        kernel=kernel,
        operators=(operator,),
        reads=(buffers[0],),
        writes=(buffers[1],),
        rows=1,
        columns=pixels * channels,
        macs=0,
        parameters=0,
        weights_bytes=20,
        tables_bytes=0,
        work=(1, pixels, *work),
        payload=(part, channels),
    )


@dataclass(frozen=True)
class Pooled:
    """How the window slides over so many channels, and the fused activation, of int16 or float32."""

    window: Window
    channels: int
    largest: bool
    bounds: tuple[int, int]


def lower_pool_16(lowering: Lowering, index: int) -> None:
    """The same of int16."""
    _lower_plain(lowering, index, "pool_16")


def lower_pool_float(lowering: Lowering, index: int) -> None:
    """The same of float32."""
    _lower_plain(lowering, index, "pool_float")


def _lower_plain(lowering: Lowering, index: int, kernel: str) -> None:
    operator = lowering.network.operators[index]
    height, width = (int(operator.options.get(f"filter{side}", 0)) for side in ("Height", "Width"))
    window, refuse = slide(lowering, index, height, width, None)
    source, target = (lowering.tensor(tensor) for tensor in (operator.inputs[0], operator.outputs[0]))
    channels, activation = source.shape[3], int(operator.options.get("fusedActivationFunction", 0))
    if target.shape[3] != channels or activation not in ACTIVATION_RANGES:
        refuse("changes its channels, or has an activation of another kind", "Convert the model again.")
    reads, writes = lowering.buffer(operator.inputs[0]), lowering.new_buffer(operator.outputs[0])
    down, right = (
        sum(
            max(last - first, 0)
            for first, last in (window.inside(place, vertical) for place in range(places))
        )
        for vertical, places in ((True, window.target_height), (False, window.target_width))
    )
    part = Pooled(window, channels, operator.kind == "MAX_POOL_2D", bounds_words(activation, target))
    pixels = window.target_height * window.target_width
    lowering.add(
        Step(
            label=lowering.derived_label(operator.inputs[0], "/" + KERNELS_OF_KINDS[operator.kind]),
            kernel=kernel,
            operators=(index,),
            reads=(reads,),
            writes=(writes,),
            rows=1,
            columns=pixels * channels,
            macs=0,
            parameters=0,
            weights_bytes=32,
            tables_bytes=0,
            work=(
                1,
                pixels,
                pixels * channels,
                channels * down * window.target_width,
                channels * down * right,
            ),
            payload=part,
        )
    )
