"""Drawings of the page, as SVG text that takes its colours from the page (light or dark).

Every drawing has a ``<title>``, which screen readers read; numbers in it are those of the page's tables.
"""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

WIDTH, LEFT, RIGHT = 640, 96, 12


def histogram(before: Sequence[float], after: Sequence[float], bins: int = 24) -> Markup:
    """Returns of the original (upwards) and of the artifact (downwards), on one axis.

    Args:
        before: per episode.
        after: per episode.
        bins: between the smallest and the largest of both.
    """
    both = np.array([*before, *after], dtype=np.float64)
    low, high = float(both.min()), float(both.max())
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    counts = [np.histogram(values, bins=bins, range=(low, high))[0] for values in (before, after)]
    tallest = max(int(c.max()) for c in counts)
    middle, reach = 92.0, 74.0
    step = (WIDTH - LEFT - RIGHT) / bins
    shapes = []
    for kind, heights, sign in (("before", counts[0], -1), ("after", counts[1], 1)):
        for index, number in enumerate(heights):
            tall = reach * int(number) / tallest
            x, y = LEFT + index * step + 1, middle - tall if sign < 0 else middle
            place = f'x="{x:.1f}" y="{y:.1f}" width="{step - 2:.1f}" height="{tall:.1f}"'
            shapes.append(f'<rect class="{kind}" {place}/>')
    for kind, values, end in (("before", before, middle - reach), ("after", after, middle + reach)):
        x = LEFT + (float(np.mean(values)) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        shapes.append(f'<line class="mean {kind}-line" x1="{x:.1f}" x2="{x:.1f}" y1="{middle}" y2="{end}"/>')
    shapes.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle}" y2="{middle}"/>')
    shapes.append(_text(LEFT - 6, middle - 30, "original", "end"))
    shapes.append(_text(LEFT - 6, middle + 38, "artifact", "end"))
    bottom = middle + reach + 18
    for value, anchor, x in ((low, "start", LEFT), (high, "end", WIDTH - RIGHT)):
        shapes.append(_text(x, bottom, f"{value:.4g}", anchor))
    shapes.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom, "return of an episode", "middle"))
    title = (
        f"Returns per episode: the original's from {min(before):.4g} to {max(before):.4g}, "
        f"the artifact's from {min(after):.4g} to {max(after):.4g}"
    )
    return _svg(bottom + 6, title, shapes)


def curve(steps: Sequence[int], values: Sequence[float | None], label: str, *, log: bool = False) -> Markup:
    """A learning curve; points without a finite value are left out.

    Args:
        steps: of the optimiser.
        values: at those steps.
        label: what the values are.
        log: logarithmic axis, where all values are positive.
    """
    known = [(s, v) for s, v in zip(steps, values) if v is not None and math.isfinite(v)]
    if len(known) < 2:
        return Markup("")
    log = log and all(v > 0 for _, v in known)
    points = [(s, math.log10(v) if log else v) for s, v in known]
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    low, high = min(v for _, v in points), max(v for _, v in points)
    room = (high - low) or 1.0
    top, bottom = 12.0, 150.0
    path = " ".join(
        f"{LEFT + (s - first) / (last - first) * (WIDTH - LEFT - RIGHT):.1f},"
        f"{bottom - (v - low) / room * (bottom - top):.1f}"
        for s, v in points
    )
    ends = [min(v for _, v in known), max(v for _, v in known)]
    shapes = [
        f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{top}" y2="{bottom}"/>',
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>',
        f'<polyline class="curve" points="{path}"/>',
        _text(LEFT - 6, bottom, f"{ends[0]:.3g}", "end"),
        _text(LEFT - 6, top + 8, f"{ends[1]:.3g}", "end"),
        _text(LEFT, bottom + 18, f"step {first:,}", "start"),
        _text(WIDTH - RIGHT, bottom + 18, f"step {known[-1][0]:,}", "end"),
        _text((LEFT + WIDTH - RIGHT) / 2, bottom + 18, label + (" (log scale)" if log else ""), "middle"),
    ]
    return _svg(bottom + 24, f"{label}: from {known[0][1]:.3g} to {known[-1][1]:.3g}", shapes)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
        f"{x:.1f}", f"{y:.1f}", anchor, text
    )


def _svg(height: float, title: str, shapes: Sequence[str]) -> Markup:
    head = Markup('<svg role="img" viewBox="0 0 {} {}"><title>{}</title>').format(
        WIDTH, f"{height:.0f}", title
    )
    return head + Markup("".join(shapes)) + Markup("</svg>")
