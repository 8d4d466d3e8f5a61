"""A program whose chains of images become loops over patches of the last ones.

Every image of the chain but the first and the last exists as the part that one patch needs, one size for all patches:

    for each patch of the result:
        part of the first image ← the image, places beyond its edges the value of padding
        for each step: next part ← the step over the part, without padding of its own; its places beyond the edges of
            the whole image are then overwritten by what the step after it takes padding for
        the result's patch → its place

So a value is padding at the true edges alone, and computed again wherever parts overlap. Along an axis that is not
divided, parts are whole and steps pad as they did.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from secateur.errors import SecateurError
from secateur.operators.patch.part import Axis, Part, read_step, starts, write_step
from secateur.operators.patch.tiles import TILED, Slide, mapped, slide_of, times
from secateur.operators.program import Buffer, Loop, Patches, Program, Step, lifetimes
from secateur.operators.window import LARGEST, Window


@dataclass(frozen=True)
class Link:
    """A step of a chain of images: its index, what it does, and the buffer of its target."""

    index: int
    slide: Slide
    target: int


def chain(program: Program, start: int) -> list[Link]:
    """The longest chain from a step on whose images between are read by the next step alone.

    It starts with a window that slides; empty where the step is not one.
    """
    readers: dict[int, set[int]] = {}
    for index, step in enumerate(program.steps):
        for buffer in (*step.reads, *step.writes):
            readers.setdefault(buffer, set()).add(index)
    kept = {*program.inputs.values(), *program.outputs.values()}
    links: list[Link] = []
    first = start
    for index in range(start, len(program.steps)):
        step = program.steps[index]
        slide = slide_of(step, program.network)
        if slide is None or len(step.reads) != 1 or (not links and slide.window is None):
            break
        if links:
            before = links[-1]
            if step.reads[0] != before.target:
                break
            if step.writes[0] != before.target:
                if before.target in kept or max(readers[before.target]) > index:
                    break
                if min(readers[before.target]) < first or not _follows(slide, links):
                    break
            elif slide.window is not None:
                break
        if slide.window is None and step.writes[0] != step.reads[0]:
            break
        links.append(Link(index, slide, step.writes[0]))
    return links


def _follows(slide: Slide, links: list[Link]) -> bool:
    """True if a window slides over the image that the last window of the chain gave, and not over another view."""
    before = next(link.slide for link in reversed(links) if link.slide.window is not None)
    assert before.window is not None
    if slide.window is None:
        return True
    given = before.window.target_height, before.window.target_width, before.channels[1]
    return given == (slide.window.source_height, slide.window.source_width, slide.channels[0])


@dataclass(frozen=True)
class Tiling:
    """Patches of a chain of a program: what each of its steps needs of its image, and last the patch of the result."""

    links: tuple[Link, ...]
    parts: tuple[Part, ...]

    @property
    def patches(self) -> int:
        """How many there are."""
        return self.parts[0].patches


def patched(program: Program, patches: Sequence[Patches]) -> Program:
    """The program with chains of its steps carried out by patches.

    Raises:
        SecateurError: its steps are no such chains, or overlap, or patches cannot be of these sizes.
    """
    labels = {step.label: index for index, step in enumerate(program.steps)}
    tilings: list[Tiling] = []
    for each in patches:
        links = chain(program, labels[each.first]) if each.first in labels else []
        ends = [place for place, link in enumerate(links) if program.steps[link.index].label == each.last]
        if not ends:
            raise SecateurError(
                "patches are of steps that follow each other from image to image",
                f"{each.first} to {each.last} are not in {', '.join(labels)}",
                "Take other steps.",
            )
        made = tiling(links[: ends[0] + 1], each.height, each.width)
        if made is None:
            raise SecateurError(
                "patches lie inside the result, parts inside their images, and a mean takes no padding in",
                f"{each.first} to {each.last} by {each.height} × {each.width}",
                "Take other steps or another size.",
            )
        tilings.append(made)
    tilings.sort(key=lambda one: one.links[0].index)
    for one, two in pairwise(tilings):
        if one.links[-1].index >= two.links[0].index:
            raise SecateurError(
                "a step is carried out by patches of one chain",
                f"two share {program.steps[two.links[0].index].label}",
                "Take other steps.",
            )
    return tiled(program, tilings)


def result_window(links: Sequence[Link]) -> Window:
    """The last window of a chain; its places are the result's."""
    found = next(link.slide.window for link in reversed(links) if link.slide.window is not None)
    assert found is not None
    return found


def tiling(links: Sequence[Link], height: int, width: int) -> Tiling | None:
    """A chain by patches of this size; None where there are no such patches."""
    window = result_window(links)
    sizes = (window.target_height, height), (window.target_width, width)
    if not all(1 <= patch <= result for result, patch in sizes):
        return None
    down, right = (Axis(result, patch, starts(result, patch)) for result, patch in sizes)
    channels = next(link.slide.channels[1] for link in reversed(links) if link.slide.window is not None)
    parts = [Part(down, right, channels)]
    for link in reversed(links):
        own = link.slide.window
        if own is None:
            parts.append(replace(parts[-1], value=0))
            continue
        if down.size > own.target_height or right.size > own.target_width:
            return None  # with what surrounds it, a part would be larger than its image
        down = _before(down, own.step_down, own.height, own.above, own.source_height)
        right = _before(right, own.step_right, own.width, own.left, own.source_width)
        part = Part(down, right, link.slide.channels[0], link.slide.value or 0)
        if link.slide.value is None and not part.inside:
            return None
        if (
            max(down.scale, right.scale, down.offset, right.offset, down.size, right.size)
            > LARGEST["an image"]
        ):
            return None
        parts.append(part)
    return Tiling(tuple(links), tuple(parts[::-1]))


def _before(axis: Axis, step: int, window: int, padding: int, image: int) -> Axis:
    """The axis before a window; whole where it is not divided."""
    return axis.before(step, window, padding, image) if len(axis.starts) > 1 else Axis(image, image, (0,))


def over(window: Window, source: Part, target: Part) -> Window:
    """The window over a part: as it is along an axis that is whole, without padding along one that is divided."""
    down, right = len(source.down.starts) > 1, len(source.right.starts) > 1
    return replace(
        window,
        source_height=source.down.size,
        source_width=source.right.size,
        target_height=target.down.size,
        target_width=target.right.size,
        above=0 if down else window.above,
        left=0 if right else window.left,
    )


def tiled(program: Program, tilings: Sequence[Tiling]) -> Program:
    """The program with chains carried out by patches, in the order of its steps."""
    buffers = [(buffer.name, buffer.size_bytes) for buffer in program.buffers]
    steps: list[Step] = []
    loops: list[Loop] = []
    done = 0
    for each in tilings:
        first, last = each.links[0].index, each.links[-1].index
        steps += program.steps[done:first]
        made = rounds_of(program, each, buffers)
        result = each.parts[-1]
        loops.append(
            Loop(
                first=len(steps),
                last=len(steps) + len(made) - 1,
                height=result.down.size,
                width=result.right.size,
                result_height=result.down.image,
                result_width=result.right.image,
                source=made[0].reads[0],
                target=made[-1].writes[0],
            )
        )
        steps += made
        done = last + 1
    return _finished(program, [*steps, *program.steps[done:]], buffers, loops)


def rounds_of(program: Program, tiling: Tiling, buffers: list[tuple[str, int]]) -> list[Step]:
    """The steps that are called for each patch, with their work in all rounds; adds their buffers, (name, bytes)."""

    def new(name: str, size_bytes: int) -> int:
        buffers.append((name, size_bytes))
        return len(buffers) - 1

    links, parts = tiling.links, tiling.parts
    before, behind = program.steps[links[0].index], program.steps[links[-1].index]
    current = new(f"{before.label}/part", parts[0].size_bytes)
    made = [read_step(f"{before.label}/part", before.operators[0], before.reads, current, parts[0])]
    for link, source, target in zip(links, parts, parts[1:]):
        step, own = program.steps[link.index], link.slide.window
        if own is None:
            made.append(times(mapped(step, current, source.size_bytes), tiling.patches))
            continue
        if link is not links[0] and not source.inside:
            made.append(read_step(f"{step.label}/edge", step.operators[0], (), current, source))
        following = new(f"{step.label}/patch", target.size_bytes)
        scratch = len(buffers)
        one, scratch_bytes = TILED[step.kernel](
            step, (current, following, scratch), over(own, source, target)
        )
        new(f"{step.label}/scratch", scratch_bytes)
        made.append(times(one, tiling.patches))
        current = following
    ends = current, links[-1].target
    return [*made, write_step(f"{behind.label}/place", behind.operators[0], ends, parts[-1])]


def _finished(
    program: Program, steps: Sequence[Step], sizes: Sequence[tuple[str, int]], loops: Sequence[Loop]
) -> Program:
    """The program of these steps, with the buffers that they still use."""
    ends = (*program.inputs.values(), *program.outputs.values())
    used = sorted({*ends, *(buffer for step in steps for buffer in (*step.reads, *step.writes))})
    number = {buffer: place for place, buffer in enumerate(used)}

    def renumbered(buffers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(number[buffer] for buffer in buffers)

    steps = tuple(
        replace(step, reads=renumbered(step.reads), writes=renumbered(step.writes)) for step in steps
    )
    loops = tuple(replace(loop, source=number[loop.source], target=number[loop.target]) for loop in loops)
    inputs = {name: number[buffer] for name, buffer in program.inputs.items()}
    outputs = {name: number[buffer] for name, buffer in program.outputs.items()}
    spans = lifetimes(program.network, steps, inputs, outputs, loops, len(used))
    buffers = tuple(Buffer(*sizes[buffer], *span) for buffer, span in zip(used, spans))
    return Program(program.network, steps, buffers, inputs, outputs, loops)
