"""The component graph as a drawing: boxes in layers, from what comes in at the top to what goes out at the bottom.

A box is a component: its width grows with its parameters, and the bar at its foot is its share of them. What it makes
leaves by a port of its own for each flow, labelled with the flow's width; a line leads from there to every
component that uses it. Where the policy was pruned, every number is told before and after, and the bar's
dark end is what is left. Colours come from the page.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Any

from markupsafe import Markup

WIDTH, MARGIN, IN_A_ROW = 920.0, 10.0, 6
TALL, PILL_TALL, LABEL, GAP = 46.0, 24.0, 15.0, 44.0
NARROW, WIDE = 112.0, 146.0
LETTER = 7.8
"""Width of a letter at the drawing's size of text, generously."""


@dataclass
class _Box:
    """A component, or (``outside``) the name of something that comes in or goes out."""

    name: str
    parameters: int = 0
    after: int | None = None
    outside: bool = False
    ports: list[str] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = NARROW

    @property
    def tall(self) -> float:
        return PILL_TALL if self.outside else TALL

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    def port(self, label: str) -> tuple[float, float]:
        """Where a flow leaves."""
        place = (self.ports.index(label) + 1) / (len(self.ports) + 1)
        return self.x + self.width * place, self.y + self.tall


@dataclass(frozen=True)
class _Line:
    start: str
    end: str
    label: str
    shared: bool


def component_picture(described: Mapping[str, Any]) -> Markup:
    """The drawing of what ``report.structure.describe`` gives, as one SVG element."""
    parts = described["components"]
    most = max((part["parameters"] for part in parts), default=0) or 1
    lines = _lines(described)
    boxes = {f"<{f['input']}": _Box(f["input"], outside=True) for f in described["inputs"]}
    for part in parts:
        boxes[part["name"]] = _Box(part["name"], part["parameters"], part.get("parameters_after"))
    boxes |= {f">{f['output']}": _Box(f["output"], outside=True) for f in described["outputs"]}
    for box in boxes.values():
        narrow = NARROW if box.after is None else WIDE
        grown = narrow + (WIDE - narrow) * sqrt(box.parameters / most)
        box.width = min(WIDE, max(64.0, LETTER * len(box.name) + 16)) if box.outside else grown
    for line in lines:
        if line.label not in boxes[line.start].ports:
            boxes[line.start].ports.append(line.label)
    height = _place(boxes, lines)
    total = sum(part["parameters"] for part in parts) or 1
    shapes = [_drawn_line(boxes, line) for line in lines]
    shapes += [_drawn_box(box, total) for box in boxes.values()]
    shapes += [_drawn_labels(box, lines, key) for key, box in boxes.items()]
    title = f"{len(parts)} components and {len(described['flows'])} flows between them"
    head = Markup('<svg class="components" role="img" viewBox="0 0 {} {}"><title>{}</title>').format(
        f"{WIDTH:.0f}", f"{height:.0f}", title
    )
    return head + Markup("").join(shapes) + Markup("</svg>")


def _lines(described: Mapping[str, Any]) -> list[_Line]:
    coupling = {group["name"] for group in described["groups"] if group["coupling"]}
    found = [
        _Line(begin + flow[start], end + flow[stop], _label(flow), bool(coupling & set(flow["groups"])))
        for kind, start, stop, begin, end in (
            ("inputs", "input", "consumer", "<", ""),
            ("flows", "producer", "consumer", "", ""),
            ("outputs", "producer", "output", "", ">"),
        )
        for flow in described[kind]
    ]
    return list(dict.fromkeys(found))


def _label(flow: Mapping[str, Any]) -> str:
    """The width, as channels × places where there are both; before and after, where they differ."""
    before = _wide(flow["width"], flow["shape"])
    after = _wide(flow["width_after"], flow["shape_after"]) if "width_after" in flow else before
    return before if before == after else f"{before} → {after}"


def _wide(width: int, shape: Sequence[int]) -> str:
    places = prod(shape[1:]) // width if width else 1
    return f"{width:,}" + (f" × {places:,}" if places > 1 else "")


def _place(boxes: dict[str, _Box], lines: Sequence[_Line]) -> float:
    """Gives every box its place; returns the height of the drawing."""
    y = MARGIN
    for layer in _layers(list(boxes), lines):
        ordered = sorted(layer, key=lambda key: _pull(key, boxes, lines))
        rows = -(-len(ordered) // IN_A_ROW)
        each = -(-len(ordered) // rows)
        for start in range(0, len(ordered), each):
            row = [boxes[key] for key in ordered[start : start + each]]
            free = WIDTH - 2 * MARGIN - sum(box.width for box in row)
            x = MARGIN + free / (2 * len(row))
            for box in row:
                box.x, box.y = x, y
                x += box.width + free / len(row)
            labels = max((len(box.ports) for box in row), default=0)
            last = start + each >= len(ordered)
            y += max(box.tall for box in row) + LABEL * bool(labels) + (GAP if last else GAP / 2)
    return y - GAP + MARGIN + LABEL


def _pull(key: str, boxes: Mapping[str, _Box], lines: Sequence[_Line]) -> float:
    """Where a box would like to be: below the middle of what it reads, if that is placed already."""
    above = [boxes[line.start].middle for line in lines if line.end == key and boxes[line.start].y > 0]
    return sum(above) / len(above) if above else 0.0


def _layers(keys: Sequence[str], lines: Iterable[_Line]) -> list[list[str]]:
    """Each box below everything that it reads; a flow that closes a circle is left out of account."""
    after: dict[str, list[str]] = {key: [] for key in keys}
    for line in lines:
        if line.start != line.end and line.end not in after[line.start]:
            after[line.start].append(line.end)
    state: dict[str, int] = {}
    order: list[str] = []
    forward: dict[str, list[str]] = {key: [] for key in keys}
    for root in keys:
        stack = [(root, iter(after[root]))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            key, rest = stack[-1]
            for reader in rest:
                if state.get(reader) == 1:  # it is being visited: this flow leads back
                    continue
                forward[key].append(reader)
                if reader not in state:
                    state[reader] = 1
                    stack.append((reader, iter(after[reader])))
                    break
            else:
                state[key] = 2
                order.append(key)
                stack.pop()
    depth = dict.fromkeys(keys, 0)
    for key in reversed(order):
        for reader in forward[key]:
            depth[reader] = max(depth[reader], depth[key] + 1)
    for key in keys:  # what comes in stands right above the first to read it
        if key.startswith("<") and forward[key]:
            depth[key] = min(depth[reader] for reader in forward[key]) - 1
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for key in keys:
        layers[depth[key]].append(key)
    return [layer for layer in layers if layer]


def _drawn_line(boxes: Mapping[str, _Box], line: _Line) -> Markup:
    (x1, y1), end = boxes[line.start].port(line.label), boxes[line.end]
    x2, y2 = end.middle + (x1 - end.middle) * 0.3 * min(1.0, end.width / WIDTH * 2), end.y
    x2 = min(max(x2, end.x + 8), end.x + end.width - 8)
    bend = max(26.0, min(70.0, abs(y2 - y1) / 2))
    back = y2 <= y1
    kind = ("shared" if line.shared else "plain") + (" back" if back else "")
    return Markup(
        '<path class="{}" d="M{} {}C{} {} {} {} {} {}M{} {}L{} {}L{} {}"><title>{} → {}: {}</title></path>'
    ).format(
        kind,
        *(f"{n:.1f}" for n in (x1, y1, x1, y1 + bend, x2, y2 - bend, x2, y2)),
        *(f"{n:.1f}" for n in (x2 - 3.5, y2 - 6, x2, y2, x2 + 3.5, y2 - 6)),
        line.start.lstrip("<"),
        line.end.lstrip(">"),
        line.label,
    )


def _drawn_box(box: _Box, total: int) -> Markup:
    place = Markup('x="{}" y="{}" width="{}" height="{}"')
    outline = place.format(*(f"{n:.1f}" for n in (box.x, box.y, box.width, box.tall)))
    name = Markup('<text class="name" x="{}" y="{}" text-anchor="middle">{}</text>').format(
        f"{box.middle:.1f}", f"{box.y + 16.5:.1f}", _fitted(box.name, box.width)
    )
    if box.outside:
        return Markup('<g><title>{}</title><rect class="outside" rx="12" {}/>{}</g>').format(
            box.name, outline, name
        )
    left = box.parameters if box.after is None else box.after

    def bar(kind: str, parameters: int) -> Markup:
        shape = (box.x, box.y + box.tall - 5, box.width * parameters / total, 5.0)
        return Markup('<rect class="{}" {}/>').format(kind, place.format(*(f"{n:.1f}" for n in shape)))

    bars = bar("share", left) if left == box.parameters else bar("lost", box.parameters) + bar("share", left)
    counts = f"{box.parameters:,}" + (f" → {left:,}" if left != box.parameters else "")
    parameters = Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
        f"{box.middle:.1f}", f"{box.y + 33:.1f}", counts
    )
    words = f"{box.name}: {counts} parameters, {box.parameters / total:.1%} of the policy"
    return Markup('<g><title>{}</title><rect class="box" {}/>{}{}{}</g>').format(
        words, outline, bars, name, parameters
    )


def _drawn_labels(box: _Box, lines: Sequence[_Line], key: str) -> Markup:
    """The width of each flow under its port."""
    shared = {line.label for line in lines if line.start == key and line.shared}
    drawn = []
    for label in box.ports:
        x, y = box.port(label)
        kind = "width shared-width" if label in shared else "width"
        drawn.append(
            Markup('<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                kind, f"{x:.1f}", f"{y + 13:.1f}", label
            )
        )
    return Markup("").join(drawn)


def _fitted(name: str, width: float) -> str:
    """The name, or both its ends."""
    room = int((width - 10) / LETTER)
    if len(name) <= room:
        return name
    head = (room - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (room - 1 - head) :]}"
