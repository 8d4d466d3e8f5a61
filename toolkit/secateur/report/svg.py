"""Pieces that drawings are made of: SVG text that takes its colours from the page (light or dark).

Every drawing has a ``<title>``, which screen readers read; what cannot be said in a line is in its ``<desc>`` and in a
table beside it.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup

WIDTH, LEFT, RIGHT = 640, 96, 12


def svg(height: float, title: str, shapes: Sequence[str], desc: str = "", width: float = WIDTH) -> Markup:
    """A drawing of some height, with what it shows in words; ``shapes`` are finished SVG."""
    head = Markup('<svg role="img" viewBox="0 0 {} {}"><title>{}</title>').format(
        f"{width:.0f}", f"{height:.0f}", title
    )
    if desc:
        head += Markup("<desc>{}</desc>").format(desc)
    return head + Markup("".join(shapes)) + Markup("</svg>")


def text(x: float, y: float, words: str, anchor: str, kind: str = "") -> Markup:
    """A line of text; ``anchor`` is ``start``, ``middle`` or ``end``."""
    named = Markup(' class="{}"').format(kind) if kind else Markup("")
    return Markup('<text{} x="{}" y="{}" text-anchor="{}">{}</text>').format(
        named, f"{x:.1f}", f"{y:.1f}", anchor, words
    )


def rect(kind: str, x: float, y: float, width: float, height: float, title: str = "") -> Markup:
    """A rectangle of a class, with its own title where one is given."""
    place = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"').format(
        kind, *(f"{n:.1f}" for n in (x, y, max(width, 0.0), max(height, 0.0)))
    )
    if not title:
        return place + Markup("/>")
    return place + Markup("><title>{}</title></rect>").format(title)


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A straight line of a class."""
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        kind, *(f"{n:.1f}" for n in (x1, x2, y1, y2))
    )


def dot(kind: str, x: float, y: float, title: str = "", radius: float = 3.5) -> Markup:
    """A point of a class, with its own title where one is given."""
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>').format(
        kind, f"{x:.1f}", f"{y:.1f}", radius, title
    )


def polyline(kind: str, points: Sequence[tuple[float, float]], dashes: str = "none") -> Markup:
    """A broken line of a class."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline class="{}" stroke-dasharray="{}" points="{}"/>').format(kind, dashes, path)


class Scale:
    """Values → places between ``start`` and ``end`` of a drawing, equally spaced or by their logarithms.

    A range without extent is widened, so that its one value lies in the middle.
    """

    def __init__(self, values: Sequence[float], start: float, end: float, *, log: bool = False) -> None:
        self.log = log and all(value > 0 for value in values)
        known = [self._of(value) for value in values]
        self.low, self.high = min(known), max(known)
        if self.high - self.low < 1e-12 * max(1.0, abs(self.high)):
            self.low, self.high = self.low - 0.5, self.high + 0.5
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.start + (self._of(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def _of(self, value: float) -> float:
        return math.log10(value) if self.log else float(value)


def axes(top: float, bottom: float, end: float = WIDTH - RIGHT) -> list[Markup]:
    """The two axes of a drawing."""
    return [line("axis", LEFT, top, LEFT, bottom), line("axis", LEFT, bottom, end, bottom)]
