"""The solver against exhaustive search, on problems small enough for it."""

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.errors import BudgetInfeasible
from secateur.prune.solve import Knob, Problem, solve
from secateur.records import Budget, ComponentCost, Cost, Limits, Range


def problem_of(losses, limit, ram=None):
    """A chain of layers: the weights of neighbours multiply, so no cost belongs to one knob alone."""
    settings_ = [2 ** (len(own) - 1 - n) for own in losses[:1] for n in range(len(own))]
    knobs = [
        Knob(f"g{i}", tuple({f"g{i}": 4 * width} for width in settings_[: len(own)]), tuple(own))
        for i, own in enumerate(losses)
    ]

    def price(widths):
        chain = [3, *(widths[f"g{i}"] for i in range(len(losses))), 1]
        weights = sum(a * b for a, b in pairwise(chain))
        part = ComponentCost(weights, weights, weights, max(chain), weights, Range(0, 0))
        return Cost(weights, weights, weights, 0, 0, max(chain), 0, weights, Range(0, 0), {"all": part})

    return Problem(knobs, {}, price, Budget(Limits(flash_bytes=limit, ram_bytes=ram)))


rising = st.lists(st.floats(0, 1), min_size=5, max_size=5).map(
    lambda steps: [sum(steps[:n]) for n in range(6)]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rising, min_size=2, max_size=4), st.floats(0, 1), st.booleans())
def test_it_is_within_a_few_percent_of_the_best_there_is(losses, tightness, peak):
    free = problem_of(losses, 10**9)
    dearest, least = (
        free.cost(tuple(0 for _ in losses)).flash_bytes,
        free.cost(free.least).flash_bytes,
    )
    limit = int(least + tightness * (dearest - least))
    problem = problem_of(losses, limit, 64 if peak else None)
    found = solve(problem)
    assert problem.fits(found)
    every = product(range(6), repeat=len(losses))
    best = min(problem.loss(choice) for choice in every if problem.fits(choice))
    spread = max(problem.loss(problem.least), 1e-9)
    assert problem.loss(found) <= best + 0.08 * spread


def test_nothing_is_given_up_where_everything_fits():
    problem = problem_of([[0, 1, 2, 3, 4, 5]] * 3, 10**9)
    assert solve(problem) == (0, 0, 0)


def test_it_says_what_could_be_met_at_least():
    problem = problem_of([[0, 1, 2, 3, 4, 5]] * 3, 10)
    with pytest.raises(BudgetInfeasible, match="48 B"):
        solve(problem)
