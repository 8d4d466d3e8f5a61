"""A convolution's step with the kernel for Helium: its scratch, its size and its work."""

from collections import Counter
from dataclasses import replace
from functools import lru_cache

from secateur.operators.helium import CHUNK, cut, rows_bytes
from secateur.operators.program import Step
from secateur.operators.window import Window

TOGETHER = 4
"""Columns that ``conv_helium`` gathers at a time."""


def reads_source(window: Window, channels: int) -> bool:
    """True where the source is read as it is: pixels that follow each other, of a vector and more."""
    plain = (window.height, window.width, window.step_down, window.step_right) == (1, 1, 1, 1)
    size = (window.source_height, window.source_width)
    whole = (window.target_height, window.target_width) == size and not window.above and not window.left
    return plain and whole and channels >= CHUNK


def scratch_bytes(window: Window, channels: int) -> int:
    """Columns that are gathered, and a vector that the last may be read over by."""
    columns = window.height * window.width * channels
    return 0 if reads_source(window, channels) else TOGETHER * columns + CHUNK


def for_helium(step: Step, window: Window, channels: int) -> Step:
    """The step: seven words in front, then the rows as ``pack_rows`` lays them out."""
    columns, direct = window.height * window.width * channels, reads_source(window, channels)
    pixels = window.target_height * window.target_width
    groups = 1 if direct else -(-pixels // TOGETHER)
    blocks, single = divmod(step.rows, 4)
    _, chunks = cut(columns)
    shallow, deep = (0, blocks) if chunks else (blocks, 0)
    return replace(
        step,
        kernel="conv_helium",
        weights_bytes=28 + rows_bytes(step.rows, columns),
        work=(
            1,
            groups,
            *((0,) * 6 if direct else copy_work(window, channels)),
            groups * shallow,
            pixels * shallow,
            groups * deep,
            pixels * deep,
            pixels * deep * chunks,
            groups * single,
            pixels * single,
            pixels * single * -(-columns // CHUNK),
        ),
    )


@lru_cache(maxsize=4096)
def copy_work(window: Window, channels: int) -> tuple[int, ...]:
    """Over all pixels, as ``conv_helium`` gathers.

    Windows that are inside to their ends and their rows; others, their rows, and what of these is copied or filled at a
    time; vectors copied or filled.
    """
    down = Counter(window.inside(place, down=True) for place in range(window.target_height))
    right = Counter(window.inside(place, down=False) for place in range(window.target_width))
    row_vectors = -(-window.width * channels // CHUNK)
    whole = (0, window.height), (0, window.width)
    inside = down[whole[0]] * right[whole[1]]
    edge_runs = edge_vectors = 0
    for (top, bottom), rows_alike in down.items():
        for (first, last), columns_alike in right.items():
            if ((top, bottom), (first, last)) == whole:
                continue
            alike, rows = rows_alike * columns_alike, max(bottom - top, 0) if last > first else 0
            parts = [part for part in (first, last - first, window.width - last) if part > 0]
            vectors = sum(-(-part * channels // CHUNK) for part in parts)
            edge_runs += alike * (rows * len(parts) + window.height - rows)
            edge_vectors += alike * (rows * vectors + (window.height - rows) * row_vectors)
    edges = window.target_height * window.target_width - inside
    return (
        inside,
        inside * window.height,
        edges,
        edges * window.height,
        edge_runs,
        edge_vectors + inside * window.height * row_vectors,
    )
