"""Where each buffer lies in the static arena. The planner that predicts is the one that emits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import add

from secateur.operators.program import Buffer

ALIGNMENT = 4
"""Bytes. Kernels read activations by words, so buffers start on a word and are padded to whole words."""

_SEARCH_NODES = 4000

Lifetimes = tuple[tuple[int, int], ...]
"""First and last step of each buffer. Plans of one structure at many sizes share what follows from them alone."""


@dataclass(frozen=True)
class Arena:
    """Offsets of a program's buffers.

    Attributes:
        offsets: of each buffer, in the program's order, in bytes.
        size_bytes: of the arena.
        live_bytes: of each step, the padded bytes of the buffers that live while it runs.
    """

    offsets: tuple[int, ...]
    size_bytes: int
    live_bytes: tuple[int, ...]

    @property
    def lower_bound_bytes(self) -> int:
        """The largest set of buffers that live at once; no plan can be smaller."""
        return max(self.live_bytes, default=0)


def padded(size_bytes: int) -> int:
    """Rounded up to whole words."""
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def plan(buffers: Sequence[Buffer]) -> Arena:
    """Offsets such that buffers that live at once do not overlap.

    A few orders of placement are tried first, then a bounded search; both stop at the lower bound.
    Deterministic.
    """
    lifetimes = tuple((buffer.first, buffer.last) for buffer in buffers)
    return place(lifetimes, tuple(buffer.size_bytes for buffer in buffers))


@lru_cache(maxsize=4096)
def place(lifetimes: Lifetimes, sizes_bytes: tuple[int, ...]) -> Arena:
    """``plan`` of buffers with these lifetimes and sizes."""
    if not lifetimes:
        return Arena((), 0, ())
    sizes = list(map(padded, sizes_bytes))
    live = _live_bytes(lifetimes, sizes)
    bound = max(live, default=0)
    conflicts = _conflicts(lifetimes)
    best: list[int] = []
    best_size = 1 << 62
    for offsets in _greedy(lifetimes, sizes, conflicts, bound):
        top = max(map(add, offsets, sizes))
        if top < best_size:
            best, best_size = offsets, top
        if best_size == bound:
            break
    if best_size > bound:
        best, best_size = _search(sizes, conflicts, bound, best, best_size)
    return Arena(tuple(best), best_size, live)


def _live_bytes(lifetimes: Lifetimes, sizes: Sequence[int]) -> tuple[int, ...]:
    """Of each step, up to the last in which any buffer lives; sizes are padded."""
    change = [0] * (max([last for _, last in lifetimes]) + 2)
    for (first, last), size in zip(lifetimes, sizes):
        if first <= last:
            change[first] += size
            change[last + 1] -= size
    return tuple(accumulate(change[:-1]))


@lru_cache(maxsize=64)
def _conflicts(lifetimes: Lifetimes) -> list[list[int]]:
    """Of each buffer, the others that live while it does."""
    return [
        [
            other
            for other, (first, last) in enumerate(lifetimes)
            if other != index and first <= end and start <= last
        ]
        for index, (start, end) in enumerate(lifetimes)
    ]


def _greedy(
    lifetimes: Lifetimes, sizes: Sequence[int], conflicts: Sequence[Sequence[int]], bound: int
) -> Iterator[list[int]]:
    """Plans by first fit in several orders; the first ones fill the arena from both ends in turn."""
    count = len(sizes)
    orders: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda index: (*lifetimes[index], index),
        lambda index: (-sizes[index], index),
        lambda index: (-sizes[index] * (1 + lifetimes[index][1] - lifetimes[index][0]), index),
    )
    for ends in (True, False):
        for order in orders:
            offsets = [-1] * count
            for turn, index in enumerate(sorted(range(count), key=order)):
                spots = _spots(index, sizes, conflicts, offsets, bound)
                offsets[index] = spots[-1] if ends and turn % 2 else spots[0]
            yield offsets


def _spots(
    index: int,
    sizes: Sequence[int],
    conflicts: Sequence[Sequence[int]],
    offsets: Sequence[int],
    ceiling: int,
) -> list[int]:
    """Offsets, ascending, where a buffer fits against those placed: flush with one of them, or with an end.

    Those that end above ``ceiling`` are left out, except that there is always one.
    """
    size = sizes[index]
    taken = [(offset, offset + sizes[other]) for other in conflicts[index] if (offset := offsets[other]) >= 0]
    taken.sort()
    spots, position, top = [], 0, 0
    for start, end in [*taken, (ceiling, ceiling)]:
        if start - position >= size:
            spots.append(position)
            if start - size != position:
                spots.append(start - size)
        top = position
        if end > position:
            position = end
    return spots or [top]


def _search(
    sizes: Sequence[int],
    conflicts: Sequence[Sequence[int]],
    bound: int,
    best: list[int],
    best_size: int,
) -> tuple[list[int], int]:
    """Depth first, largest buffer first, over the spots of each; ends at the bound, or after many nodes."""
    order = sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))
    offsets = [-1] * len(sizes)
    nodes = 0

    def descend(depth: int, top: int) -> bool:
        nonlocal best, best_size, nodes
        nodes += 1
        if depth == len(order):
            best, best_size = offsets.copy(), top
            return best_size == bound
        index = order[depth]
        size = sizes[index]
        for spot in _spots(index, sizes, conflicts, offsets, best_size - ALIGNMENT):
            reached = max(top, spot + size)
            if reached < best_size and nodes < _SEARCH_NODES:
                offsets[index] = spot
                if descend(depth + 1, reached):
                    return True
                offsets[index] = -1
        return False

    descend(0, 0)
    return best, best_size
