"""Where each buffer lies in the static arena. The planner that predicts is the one that emits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from secateur.operators.program import Buffer

ALIGNMENT = 4
"""Bytes. Kernels read activations by words, so buffers start on a word and are padded to whole words."""

_SEARCH_NODES = 4000

_Interval = tuple[int, int, int]


@dataclass(frozen=True)
class Arena:
    """Offsets of a program's buffers.

    Attributes:
        offsets: of each buffer, in the program's order, in bytes.
        size_bytes: of the arena.
        lower_bound_bytes: the largest set of buffers that live at once; no plan can be smaller.
    """

    offsets: tuple[int, ...]
    size_bytes: int
    lower_bound_bytes: int


def padded(size_bytes: int) -> int:
    """Rounded up to whole words."""
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def live_bytes(buffers: Sequence[Buffer], step: int) -> int:
    """Padded bytes of the buffers that live while a step runs."""
    return sum(padded(buffer.size_bytes) for buffer in buffers if buffer.first <= step <= buffer.last)


def plan(buffers: Sequence[Buffer]) -> Arena:
    """Offsets such that buffers that live at once do not overlap.

    A few orders of placement are tried first, then a bounded search; both stop at the lower bound.
    Deterministic.
    """
    return _plan(tuple((padded(buffer.size_bytes), buffer.first, buffer.last) for buffer in buffers))


@lru_cache(maxsize=4096)
def _plan(intervals: tuple[_Interval, ...]) -> Arena:
    if not intervals:
        return Arena((), 0, 0)
    bound = max(
        sum(size for size, first, last in intervals if first <= step <= last)
        for step in {first for _, first, _ in intervals}
    )
    conflicts = [
        [
            other
            for other, (_, first, last) in enumerate(intervals)
            if other != index and first <= end and start <= last
        ]
        for index, (_, start, end) in enumerate(intervals)
    ]
    best: list[int] = []
    best_size = 1 << 62
    for offsets in _greedy(intervals, conflicts, bound):
        size = max(offset + interval[0] for offset, interval in zip(offsets, intervals))
        if size < best_size:
            best, best_size = offsets, size
        if best_size == bound:
            break
    if best_size > bound:
        best, best_size = _search(intervals, conflicts, bound, best, best_size)
    return Arena(tuple(best), best_size, bound)


def _greedy(
    intervals: Sequence[_Interval], conflicts: Sequence[Sequence[int]], bound: int
) -> Iterator[list[int]]:
    """Plans by first fit in several orders; the first ones fill the arena from both ends in turn."""
    count = len(intervals)
    by_time = sorted(range(count), key=lambda index: (intervals[index][1], intervals[index][2], index))
    by_size = sorted(range(count), key=lambda index: (-intervals[index][0], index))
    by_area = sorted(
        range(count),
        key=lambda index: (-intervals[index][0] * (1 + intervals[index][2] - intervals[index][1]), index),
    )
    for ends in (True, False):
        for order in (by_time, by_size, by_area):
            offsets = [-1] * count
            for turn, index in enumerate(order):
                spots = _spots(index, intervals, conflicts, offsets, bound)
                offsets[index] = spots[-1] if ends and turn % 2 else spots[0]
            yield offsets


def _spots(
    index: int,
    intervals: Sequence[_Interval],
    conflicts: Sequence[Sequence[int]],
    offsets: Sequence[int],
    ceiling: int,
) -> list[int]:
    """Offsets, ascending, where a buffer fits against those placed: flush with one of them, or with an end.

    Those that end above ``ceiling`` are left out, except that there is always one.
    """
    size = intervals[index][0]
    taken = sorted(
        (offsets[other], offsets[other] + intervals[other][0])
        for other in conflicts[index]
        if offsets[other] >= 0
    )
    spots, position = [], 0
    for start, end in [*taken, (ceiling, ceiling)]:
        if start - position >= size:
            spots.append(position)
            if start - size != position:
                spots.append(start - size)
        position = max(position, end)
    top = max((end for _, end in taken), default=0)
    return spots or [top]


def _search(
    intervals: Sequence[_Interval],
    conflicts: Sequence[Sequence[int]],
    bound: int,
    best: list[int],
    best_size: int,
) -> tuple[list[int], int]:
    """Depth first, largest buffer first, over the spots of each; ends at the bound, or after many nodes."""
    order = sorted(range(len(intervals)), key=lambda index: (-intervals[index][0], index))
    offsets = [-1] * len(intervals)
    nodes = 0

    def descend(depth: int, top: int) -> bool:
        nonlocal best, best_size, nodes
        nodes += 1
        if depth == len(order):
            best, best_size = offsets.copy(), top
            return best_size == bound
        index = order[depth]
        size = intervals[index][0]
        for spot in _spots(index, intervals, conflicts, offsets, best_size - ALIGNMENT):
            reached = max(top, spot + size)
            if reached < best_size and nodes < _SEARCH_NODES:
                offsets[index] = spot
                if descend(depth + 1, reached):
                    return True
                offsets[index] = -1
        return False

    descend(0, 0)
    return best, best_size
