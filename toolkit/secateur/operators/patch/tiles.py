"""The steps that a patch can be carried out by: how each looks at a part of its image, and what it needs of it.

Any kernel that slides a window over an image, or maps its values one by one, is called on the part as on an image of
that size. Beyond the edges of the whole image lies what the kernel would have taken padding for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from secateur.network import Network
from secateur.operators.clamp.rule import clamp_step
from secateur.operators.conv.for_helium import for_helium
from secateur.operators.conv.for_helium import scratch_bytes as helium_scratch_bytes
from secateur.operators.conv.rule import Conv, conv_step, quads
from secateur.operators.depthwise import for_helium as spread
from secateur.operators.depthwise.rule import Depthwise, depthwise_step, scratch_bytes
from secateur.operators.lookup.rule import lookup_step
from secateur.operators.pool.rule import Pool, pool_step
from secateur.operators.program import Step
from secateur.operators.window import Window

Buffers = tuple[int, int, int]
"""Read, written, scratch."""


@dataclass(frozen=True)
class Slide:
    """What a step does to images.

    Attributes:
        window: that it slides; None where it maps every value alone.
        channels: of its source, and of its target; −1 where it maps any.
        value: what padding stands for; None where padding is left out of a mean, and no value does.
    """

    window: Window | None
    channels: tuple[int, int]
    value: int | None


def slide_of(step: Step, network: Network) -> Slide | None:
    """What a step does to images; None for one that is not carried out by patches."""
    payload = step.payload
    if step.kernel in ("clamp", "lookup"):
        return Slide(None, (-1, -1), None)
    if isinstance(payload, (Conv, Depthwise)) and step.kernel in TILED:
        quantization = network.tensors[payload.source].quantization
        assert quantization is not None
        channels = payload.channels if isinstance(payload, Conv) else step.rows
        return Slide(payload.window, (channels, step.rows), quantization.zero_points[0])
    if isinstance(payload, tuple) and step.kernel in TILED:
        pool, channels = payload
        return Slide(pool.window, (channels, channels), -128 if step.kernel.startswith("max_pool") else None)
    return None


def _conv(step: Step, buffers: Buffers, window: Window) -> tuple[Step, int]:
    part = replace(step.payload, window=window)
    tiled = conv_step(step.label, step.kernel, step.operators, buffers, step.rows, part)
    return tiled, 16 * quads(part, step.kernel)


def _conv_helium(step: Step, buffers: Buffers, window: Window) -> tuple[Step, int]:
    part = replace(step.payload, window=window)
    tiled = conv_step(step.label, "conv_wide", step.operators, buffers, step.rows, part)
    return for_helium(tiled, window, part.channels), helium_scratch_bytes(window, part.channels)


def _depthwise(step: Step, buffers: Buffers, window: Window) -> tuple[Step, int]:
    part = replace(step.payload, window=window)
    tiled = depthwise_step(step.label, step.kernel, step.operators, buffers, step.rows, part)
    return tiled, scratch_bytes(step.kernel, window, step.rows)


def _depthwise_helium(step: Step, buffers: Buffers, window: Window) -> tuple[Step, int]:
    part = replace(step.payload, window=window)
    tiled = depthwise_step(step.label, "depthwise", step.operators, buffers, step.rows, part)
    if not spread.is_spread(window, step.rows):
        return tiled, scratch_bytes("depthwise", window, step.rows)
    return spread.for_helium(tiled, window), spread.helium_scratch_bytes(window, step.rows)


def _pool(step: Step, buffers: Buffers, window: Window) -> tuple[Step, int]:
    channels = step.payload[1]
    ends = (buffers[0], buffers[1])
    return pool_step(step.label, step.operators[0], step.kernel, ends, channels, Pool(window)), 0


TILED: dict[str, Callable[[Step, Buffers, Window], tuple[Step, int]]] = {
    "average_pool": _pool,
    "average_pool_helium": _pool,
    "conv": _conv,
    "conv_helium": _conv_helium,
    "conv_wide": _conv,
    "depthwise": _depthwise,
    "depthwise_3x3": _depthwise,
    "depthwise_helium": _depthwise_helium,
    "depthwise_rows": _depthwise,
    "max_pool": _pool,
    "max_pool_helium": _pool,
}
"""Kernel that slides a window → step, its buffers, the window over a part → its step over that, bytes of scratch."""


def mapped(step: Step, buffer: int, elements: int) -> Step:
    """A step that maps values one by one, in place over ``elements`` of them."""
    if step.kernel == "lookup":
        return lookup_step(step.label, (buffer, buffer), elements, step.payload)
    return clamp_step(step.label, step.operators, buffer, elements, step.payload.low, step.payload.high)


def times(step: Step, rounds: int) -> Step:
    """The work of a step in all rounds of a loop."""
    return replace(step, macs=rounds * step.macs, work=tuple(rounds * count for count in step.work))
