"""A depthwise convolution's step with the kernel for Helium: its scratch, its size and its work."""

from dataclasses import dataclass, replace

from secateur.operators.helium import CHUNK
from secateur.operators.program import Step
from secateur.operators.window import Window

_CLOSE = (5, 10)
"""Bytes of a plane from pixel to pixel that this kernel is quickest for."""

_MOST_TAPS = 0x80
"""Of a window: which weight a byte meets is a byte, and its sign says none."""

_PLANES_BYTES = 1 << 16
"""Less is spread out: offsets of planes have 16 bits."""


@dataclass(frozen=True)
class Spread:
    """How the kernel for Helium spreads a channel out.

    Attributes:
        chunks: times that it takes 16 bytes of a window.
        together: rows of the target below each other whose windows are there at once.
        pitch: bytes of a column.
    """

    chunks: int
    together: int
    pitch: int


def spread_of(window: Window) -> Spread:
    """As the kernel's C finds it."""
    chunks = -(-window.height * window.width // CHUNK)
    together = 1
    if window.step_down <= window.height:
        together += (chunks * CHUNK // window.width - window.height) // window.step_down
    return Spread(chunks, together, window.height + (together - 1) * window.step_down)


def is_spread(window: Window, rows: int) -> bool:
    """True where the kernel for Helium can: planes lie within 16 bits, and taps are few enough."""
    taps = window.height * window.width
    return taps <= _MOST_TAPS and helium_scratch_bytes(window, rows) < _PLANES_BYTES


def helium_scratch_bytes(window: Window, rows: int) -> int:
    """Places of weights, weights of four channels, planes of 16 or of as many as there are, what is read behind."""
    spread, down = spread_of(window), (window.target_height - 1) * window.step_down
    plane = spread.pitch * (window.columns_below - 1) + down + window.height
    behind = spread.chunks * CHUNK - spread.pitch * (window.width - 1) - window.height
    wide = 4 * spread.chunks if spread.chunks > 1 else 0
    return (spread.chunks + wide) * CHUNK + min(rows, CHUNK) * plane + behind


def for_helium(step: Step, window: Window) -> Step:
    """The step: seven words in front; four channels take 36 bytes besides their weights.

    Work: calls, bytes of a window and taps, groups of 16 channels, their passes over rows of the target, their rows
    of the source, columns of these; blocks of four channels in a pass, rows of the target, pixels close together or
    apart; the same three of windows of more than 16 bytes, and times 16 bytes of these.
    """
    spread, blocks = spread_of(window), -(-step.rows // 4)
    taps = window.height * window.width
    groups, passes = -(-blocks // 4), -(-window.target_height // spread.together)
    fresh = groups * (window.height + (window.target_height - 1) * min(window.step_down, window.height))
    lines = blocks * window.target_height
    pixels, close = lines * window.target_width, spread.pitch * window.step_right in _CLOSE
    once = spread.chunks == 1
    return replace(
        step,
        kernel="depthwise_helium",
        weights_bytes=28 + blocks * (4 * taps + 36),
        work=(
            1,
            taps,
            groups,
            groups * passes,
            fresh,
            fresh * window.columns_below,
            *((blocks * passes, lines, pixels * close, pixels * (not close)) if once else (0, 0, 0, 0)),
            *((0, 0, 0, 0) if once else (blocks * passes, lines, pixels, pixels * spread.chunks)),
        ),
    )
