"""The part of an image that a patch of a result needs: where it lies, and the steps that take it and place it."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from secateur.operators.program import Step


@dataclass(frozen=True)
class Axis:
    """The rows, or the columns, of an image that each patch needs: ``size`` from ``start · scale − offset`` on.

    Attributes:
        image: of the whole image.
        size: of the part.
        starts: of the patches, in the result.
        scale, offset: from places of the result to those of the image.
    """

    image: int
    size: int
    starts: tuple[int, ...]
    scale: int = 1
    offset: int = 0

    def before(self, step: int, window: int, padding: int, image: int) -> "Axis":
        """The axis of the image that a window slides over to give this one."""
        return Axis(
            image,
            (self.size - 1) * step + window,
            self.starts,
            self.scale * step,
            self.offset * step + padding,
        )

    @property
    def places(self) -> list[int]:
        """Where the part of each patch starts."""
        return [start * self.scale - self.offset for start in self.starts]

    @property
    def inside(self) -> bool:
        """True if no part reaches beyond the image."""
        return min(self.places) >= 0 and max(self.places) + self.size <= self.image

    def cut(self, place: int) -> tuple[int, int]:
        """First and last + 1 of the part at a place that lie in the image."""
        first = min(max(0, -place), self.size)
        return first, max(first, min(self.size, self.image - place))


def starts(result: int, patch: int) -> tuple[int, ...]:
    """Where patches of a result start; the last one ends with it."""
    return tuple(min(start, result - patch) for start in range(0, result, patch))


@dataclass(frozen=True)
class Part:
    """What stands in the image's stead for a patch.

    Attributes:
        down, right: its rows and columns.
        channels: of the image.
        value: what the operator that reads it takes places beyond the edges for.
    """

    down: Axis
    right: Axis
    channels: int
    value: int = 0

    @property
    def size_bytes(self) -> int:
        """Of the part."""
        return self.down.size * self.right.size * self.channels

    @property
    def inside(self) -> bool:
        """True if it never reaches beyond the image."""
        return self.down.inside and self.right.inside

    @property
    def patches(self) -> int:
        """How often it is taken."""
        return len(self.down.starts) * len(self.right.starts)


def read_step(label: str, operator: int, source: tuple[int, ...], buffer: int, part: Part) -> Step:
    """The part, from an image in ``source`` or where it is already, with its places beyond the edges."""
    rows, runs, filled = _runs(part)
    work = (part.patches, rows, *((0,) * 4 if not source else runs), filled)
    return _step(label, "patch_read", operator, (source, (buffer,)), part, 28, work)


def write_step(label: str, operator: int, buffers: tuple[int, int], part: Part) -> Step:
    """The patch to its place."""
    rows, (_, *runs), _ = _runs(part)
    work = (part.patches, rows, *runs)
    return _step(label, "patch_write", operator, ((buffers[0],), (buffers[1],)), part, 16, work)


def _step(
    label: str,
    kernel: str,
    operator: int,
    ends: tuple[tuple[int, ...], tuple[int, ...]],
    part: Part,
    weights_bytes: int,
    work: tuple[int, ...],
) -> Step:
    return Step(
        label=label,
        kernel=kernel,
        operators=(operator,),
        reads=ends[0],
        writes=ends[1],
        rows=1,
        columns=part.size_bytes,
        macs=0,
        parameters=0,
        weights_bytes=weights_bytes,
        tables_bytes=0,
        work=work,
        payload=part,
    )


@lru_cache(maxsize=1024)
def _runs(part: Part) -> tuple[int, tuple[int, int, int, int], int]:
    """Over all patches: rows; runs of bytes that lie in the image; bytes that lie beyond.

    Of the runs: how many, words of those that start on words, words of the others, bytes behind the words.
    """
    channels, line = part.channels, part.right.size * part.channels
    rows: Counter[tuple[int, int]] = Counter()
    beyond = 0
    for place in part.down.places:
        first, last = part.down.cut(place)
        beyond += part.down.size - last + first
        rows.update(
            ((place + row) * part.right.image * channels % 4, row * line % 4) for row in range(first, last)
        )
    inside = sum(rows.values())
    runs = words = words_apart = bytes_apart = 0
    filled = beyond * line * len(part.right.starts)
    for place in part.right.places:
        first, last = part.right.cut(place)
        count = (last - first) * channels
        filled += inside * (line - count)
        for (source, target), times in rows.items():
            apart = (source + (place + first) * channels) % 4 or (target + first * channels) % 4
            runs += times * (count > 0)
            words += times * (count // 4) * (not apart)
            words_apart += times * (count // 4) * bool(apart)
            bytes_apart += times * (count % 4)
    return part.patches * part.down.size, (runs, words, words_apart, bytes_apart), filled
