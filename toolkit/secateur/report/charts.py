"""Drawings of the page, as SVG text that takes its colours from the page (light or dark).

Every drawing has a ``<title>``, which screen readers read; numbers in it are those of the page's tables.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from secateur.report.svg import LEFT, RIGHT, WIDTH, Scale, axes, line, polyline, rect
from secateur.report.svg import svg as _svg
from secateur.report.svg import text as _text

DASHES = ("none", "7 4", "2 3", "10 3 2 3", "1 5", "14 6", "5 2 1 2 1 2")
"""Lines are told apart by these, which also serves those who cannot tell colours apart."""


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
    shapes.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 20, "return of an episode", "middle"))
    title = (
        f"Returns per episode: the original's from {min(before):.4g} to {max(before):.4g}, "
        f"the artifact's from {min(after):.4g} to {max(after):.4g}"
    )
    return _svg(bottom + 28, title, shapes)


def paired(before: Sequence[float], after: Sequence[float]) -> Markup:
    """Artifact less original on each seed, from the largest loss to the largest gain.

    Args:
        before: returns per episode.
        after: of the same seeds, in the same order.
    """
    changes = sorted(float(b - a) for a, b in zip(before, after, strict=True))
    if not changes:
        return Markup("")
    top, bottom = 12.0, 150.0
    height = Scale([*changes, 0.0], bottom, top)
    step = (WIDTH - LEFT - RIGHT) / len(changes)
    shapes = []
    for index, change in enumerate(changes):
        x, (low, high) = LEFT + step * index, sorted((height(change), height(0.0)))
        shapes.append(rect("lost" if change < 0 else "after", x + 0.5, low, max(step - 1, 0.5), high - low))
    mean = float(np.mean(changes))
    shapes += [
        line("axis", LEFT, height(0.0), WIDTH - RIGHT, height(0.0)),
        line("mean after-line", LEFT, height(mean), WIDTH - RIGHT, height(mean)),
        *_ends(height, _signed(changes[0]), _signed(changes[-1]), changes),
        _text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, "episodes, by what changed", "middle"),
    ]
    worse = sum(change < 0 for change in changes)
    words = f"{worse} of {len(changes)} seeds lost, the mean change is {mean:+.3g}"
    return _svg(bottom + 46, "Change of the return on each seed", shapes, words)


def _signed(change: float) -> str:
    return f"{change:+.3g}" if change else "0"


def _ends(height: Scale, low: str, high: str, values: Sequence[float]) -> list[Markup]:
    """The two ends of a vertical axis, and zero between them where there is room."""
    ends = [(height(values[0]), low), (height(values[-1]), high)]
    shown = [_text(LEFT - 6, y + 4, words, "end") for y, words in ends]
    if all(abs(height(0.0) - y) > 24 for y, _ in ends):
        shown.append(_text(LEFT - 6, height(0.0) + 4, "0", "end"))
    return shown


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
    places = [
        (
            LEFT + (s - first) / (last - first) * (WIDTH - LEFT - RIGHT),
            bottom - (v - low) / room * (bottom - top),
        )
        for s, v in points
    ]
    ends = [min(v for _, v in known), max(v for _, v in known)]
    shapes = [
        *axes(top, bottom),
        polyline("curve", places),
        _text(LEFT - 6, bottom, f"{ends[0]:.3g}", "end"),
        _text(LEFT - 6, top + 8, f"{ends[1]:.3g}", "end"),
        _text(LEFT, bottom + 18, f"step {first:,}", "start"),
        _text(WIDTH - RIGHT, bottom + 18, f"step {known[-1][0]:,}", "end"),
        _text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, label + (" (log scale)" if log else ""), "middle"),
    ]
    return _svg(bottom + 46, f"{label}: from {known[0][1]:.3g} to {known[-1][1]:.3g}", shapes)


def responses(curves: Sequence[Mapping[str, Any]]) -> Markup:
    """Response curves: the error of a short trial against the share of its channels that a part keeps, both in logs.

    Args:
        curves: as ``prune.search.Search.plain`` has them.
    """
    shown = [c for c in curves if len(c["points"]) > 1 and all(p["error"] > 0 for p in c["points"])]
    if not shown:
        return Markup("")
    points = [(math.log2(p["share"]), math.log10(p["error"])) for c in shown for p in c["points"]]
    (left, right), (low, high) = ((min(v), max(v)) for v in zip(*points))
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    top, bottom, end = 12.0, 190.0, WIDTH - RIGHT - 190

    def place(point: Mapping[str, float]) -> tuple[float, float]:
        x = LEFT + (math.log2(point["share"]) - left) / wide * (end - LEFT)
        return x, bottom - (math.log10(point["error"]) - low) / tall * (bottom - top)

    shapes = axes(top, bottom, end)
    for index, one in enumerate(shown):
        name = one["part"] if len(one["part"]) <= 14 else one["part"][:13] + "…"
        shapes += _named(index, list(map(place, one["points"])), name, end, top + 10 + 22 * index)
    shapes += [
        _text(LEFT - 6, bottom, f"{10**low:.2g}", "end"),
        _text(LEFT - 6, top + 8, f"{10**high:.2g}", "end"),
        _text(LEFT, bottom + 18, f"{2**left:.3g}", "start"),
        _text(end, bottom + 18, f"{2**right:.3g}", "end"),
        _text((LEFT + end) / 2, bottom + 38, "share of its channels that the part keeps", "middle"),
    ]
    return _svg(max(bottom, top + 22 * len(shown)) + 46, "Error of a short trial by part", shapes)


def _named(
    index: int, places: Sequence[tuple[float, float]], name: str, end: float, y: float
) -> list[Markup]:
    """A curve in dashes of its own, and beside the drawing, at height ``y``, what they mean."""
    dashes = DASHES[index % len(DASHES)]
    return [
        polyline("curve", places, dashes),
        polyline("curve", [(end + 14, y - 4), (end + 44, y - 4)], dashes),
        _text(end + 50, y, name, "start"),
    ]


def _point(place: tuple[float, float]) -> Markup:
    return Markup('<circle class="point" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(*place)


def front(points: Sequence[tuple[float, float]], cost: str, value: str) -> Markup:
    """A front: what is kept against what it costs, costs on a logarithmic axis.

    Args:
        points: (cost, value), any order.
        cost: what the costs are.
        value: what the values are.
    """
    ordered = sorted((c, v) for c, v in points if c > 0)
    if len(ordered) < 2:
        return Markup("")
    left, right = math.log10(ordered[0][0]), math.log10(ordered[-1][0])
    low, high = min(0.0, *(v for _, v in ordered)), max(1.0, *(v for _, v in ordered))
    top, bottom = 12.0, 190.0
    places = [
        (
            LEFT + (math.log10(c) - left) / ((right - left) or 1.0) * (WIDTH - LEFT - RIGHT - 10),
            bottom - (v - low) / (high - low) * (bottom - top),
        )
        for c, v in ordered
    ]
    shapes = [
        *axes(top, bottom),
        polyline("curve", places),
        *map(_point, places),
        _text(LEFT - 6, bottom, f"{low:.3g}", "end"),
        _text(LEFT - 6, top + 8, f"{high:.3g}", "end"),
        _text(LEFT, bottom + 18, f"{ordered[0][0]:,.4g}", "start"),
        _text(WIDTH - RIGHT, bottom + 18, f"{ordered[-1][0]:,.4g}", "end"),
        _text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, f"{cost} (log scale)", "middle"),
    ]
    return _svg(bottom + 46, f"{value} against {cost}", shapes)


def fronts(lines: Mapping[str, Sequence[tuple[float, float]]], cost: str, value: str) -> Markup:
    """Several fronts on the same axes, told apart by their dashes; costs on a logarithmic axis.

    Args:
        lines: name → (cost, value), in the order of costs.
        cost: what the costs are.
        value: what the values are.
    """
    lines = {name: known for name, points in lines.items() if (known := [(c, v) for c, v in points if c > 0])}
    points = [point for line in lines.values() for point in line]
    if len({c for c, _ in points}) < 2:
        return Markup("")
    left, right = (math.log10(f(c for c, _ in points)) for f in (min, max))
    low, high = min(0.0, *(v for _, v in points)), max(1.0, *(v for _, v in points))
    top, bottom, end = 12.0, 190.0, WIDTH - RIGHT - 150

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + (math.log10(point[0]) - left) / (right - left) * (end - LEFT)
        return x, bottom - (point[1] - low) / (high - low) * (bottom - top)

    shapes = axes(top, bottom, end)
    for index, (name, points_of) in enumerate(lines.items()):
        places = [place(point) for point in points_of]
        shapes += _named(index, places, name, end, top + 10 + 18 * index)
        shapes += map(_point, places)
    shapes += [
        _text(LEFT - 6, bottom, f"{low:.3g}", "end"),
        _text(LEFT - 6, top + 8, f"{high:.3g}", "end"),
        _text(LEFT, bottom + 18, f"{10**left:,.4g}", "start"),
        _text(end, bottom + 18, f"{10**right:,.4g}", "end"),
        _text((LEFT + end) / 2, bottom + 18, f"{cost} (log scale)", "middle"),
    ]
    return _svg(max(bottom, top + 18 * len(lines)) + 24, f"{value} against {cost}, by target", shapes)
