"""The arena planner: nothing overlaps that lives at once, and little is wasted."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.operators.program import Buffer
from secateur.target.arena import ALIGNMENT, padded, plan

buffers = st.lists(
    st.tuples(st.integers(1, 600), st.integers(0, 12), st.integers(0, 4)).map(
        lambda drawn: Buffer("b", drawn[0], drawn[1], drawn[1] + drawn[2])
    ),
    min_size=1,
    max_size=14,
)


@given(buffers)
@settings(deadline=None)
def test_nothing_overlaps_that_lives_at_once(drawn):
    arena = plan(drawn)
    placed = list(zip(arena.offsets, drawn))
    for (one, first), (other, second) in itertools.combinations(placed, 2):
        if first.first <= second.last and second.first <= first.last:
            assert one + first.size_bytes <= other or other + second.size_bytes <= one
    assert all(offset >= 0 and offset % ALIGNMENT == 0 for offset in arena.offsets)
    assert arena.size_bytes == max(offset + padded(buffer.size_bytes) for offset, buffer in placed)
    live = [
        sum(padded(buffer.size_bytes) for buffer in drawn if buffer.first <= step <= buffer.last)
        for step in range(1 + max(buffer.last for buffer in drawn))
    ]
    assert list(arena.live_bytes) == live
    assert arena.lower_bound_bytes == max(live)
    assert arena.lower_bound_bytes <= arena.size_bytes <= 1.25 * arena.lower_bound_bytes


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12))
@settings(deadline=None)
def test_chains_reach_the_lower_bound(widths):
    """Each buffer lives with the one before and the one after: two neighbours at a time."""
    chain = [Buffer("b", width, max(step - 1, 0), step) for step, width in enumerate(widths)]
    arena = plan(chain)
    assert arena.size_bytes == arena.lower_bound_bytes


@given(buffers)
@settings(deadline=None, max_examples=20)
def test_plans_are_the_same_every_time(drawn):
    assert plan(drawn) == plan(list(drawn))


def test_no_buffers():
    assert plan([]).size_bytes == 0
