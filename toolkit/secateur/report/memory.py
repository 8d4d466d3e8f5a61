"""The arena over time: where every buffer lies, and while which steps its content matters."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from secateur.operators.program import Program
from secateur.report.svg import LEFT, RIGHT, WIDTH, line, rect, svg, text
from secateur.report.wording import count, size
from secateur.target.arena import padded, plan


def memory_map(program: Program) -> dict[str, Any]:
    """The arena's plan as plain data, the one that generated C is laid out by.

    Returns:
        ``size_bytes`` of the arena, ``lower_bound_bytes`` that no plan can be below, ``steps`` (labels, in order),
        ``live_bytes`` of each step, and ``buffers``: ``name`` (an input's, or of the step that makes it),
        ``size_bytes``, ``padded_bytes``, ``offset``, and the ``first`` and ``last`` step that need it.
    """
    arena = plan(program.buffers)
    names = {buffer: name for name, buffer in program.inputs.items()}
    for step in program.steps:
        for buffer in step.writes:
            names.setdefault(buffer, step.label)
    return {
        "size_bytes": arena.size_bytes,
        "lower_bound_bytes": arena.lower_bound_bytes,
        "steps": [step.label for step in program.steps],
        "live_bytes": list(arena.live_bytes),
        "buffers": [
            {
                "name": names.get(index, buffer.name),
                "size_bytes": buffer.size_bytes,
                "padded_bytes": padded(buffer.size_bytes),
                "offset": offset,
                "first": buffer.first,
                "last": buffer.last,
            }
            for index, (buffer, offset) in enumerate(zip(program.buffers, arena.offsets))
        ],
    }


def memory_drawing(arena: Mapping[str, Any]) -> Markup:
    """Steps from left to right, addresses from the bottom up; a box is a buffer while it matters."""
    buffers = [b for b in arena["buffers"] if b["last"] >= b["first"]]
    if not buffers or not arena["size_bytes"]:
        return Markup("")
    steps = max(b["last"] for b in buffers) + 1
    top, bottom = 14.0, 214.0
    wide, tall = (WIDTH - LEFT - RIGHT) / steps, (bottom - top) / arena["size_bytes"]
    shapes = []
    for buffer in buffers:
        x, width = LEFT + wide * buffer["first"], wide * (buffer["last"] - buffer["first"] + 1)
        height = tall * buffer["padded_bytes"]
        y = bottom - tall * buffer["offset"] - height
        shapes.append(rect("buffer", x + 0.5, y, width - 1, height, _buffer_words(arena, buffer)))
        if height > 15 and width > 58:
            name = _shortened(buffer["name"], int(width / 7.5))
            shapes.append(text(x + width / 2, y + height / 2 + 4, name, "middle", "inside"))
    shapes += [
        line("axis", LEFT, top, LEFT, bottom),
        line("axis", LEFT, bottom, WIDTH - RIGHT, bottom),
        text(LEFT - 6, bottom, "0 B", "end"),
        text(LEFT - 6, top + 8, size(arena["size_bytes"]), "end"),
        text(LEFT, bottom + 18, "step 1", "start"),
        text(WIDTH - RIGHT, bottom + 18, f"step {steps}", "end"),
        text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, "kernel calls in order", "middle"),
    ]
    words = (
        f"{len(buffers)} buffers in an arena of {count(arena['size_bytes'])} bytes over {steps} steps; the most that "
        f"lives at once is {count(arena['lower_bound_bytes'])} bytes"
    )
    return svg(bottom + 46, "Memory of the arena over time", shapes, words)


def _buffer_words(arena: Mapping[str, Any], buffer: Mapping[str, Any]) -> str:
    return (
        f"{buffer['name']}: {count(buffer['size_bytes'])} bytes from offset {count(buffer['offset'])}, "
        f"while {during(arena, buffer)}"
    )


def during(arena: Mapping[str, Any], buffer: Mapping[str, Any]) -> str:
    """The steps that a buffer lives in, by name."""
    steps = arena["steps"]
    first, last = (min(buffer[end], len(steps) - 1) for end in ("first", "last"))
    return steps[first] if first == last else f"{steps[first]} to {steps[last]}"


def _shortened(name: str, room: int) -> str:
    return name if len(name) <= room else name[: max(room - 1, 1)] + "…"
