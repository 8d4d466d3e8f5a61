"""Coefficients for one ranking over several groups, sought for the budget at hand; see ``prune.coefficients``.

Only strategies that put channels of different groups into one ranking have a use for them. The component-aware search
does not: it measures what each group is worth, which is what coefficients stand for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy, Tensors
from secateur.prune.coefficients import Coefficients, Scores, gradient_coefficients, grid_coefficients
from secateur.prune.trials import Trials

STATES = 256
"""That outputs are compared on in the search by gradient."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """What coefficients are sought for.

    Attributes:
        policy: that is pruned.
        graph: of it.
        scores: of the groups that are ranked.
        visited: states on the original's way, name → ``[states, ...]``.
        widths: coefficients → the widths within the budget that the ranking gives.
        trials: that widths are tried with.
    """

    policy: Policy
    graph: ComponentGraph
    scores: Scores
    visited: Tensors
    widths: Callable[[Mapping[str, float]], dict[str, int]]
    trials: Trials


def _none(ranking: Ranking) -> Coefficients:
    """Every group counts for the same."""
    return {}


def _grid(ranking: Ranking) -> Coefficients:
    """Group by group, by short recoveries: the error that is left of the widths that coefficients lead to."""
    return grid_coefficients(
        ranking.scores, lambda tried: -ranking.trials(ranking.widths(tried), closed_loop=False).error
    )


def _gradient(ranking: Ranking) -> Coefficients:
    """All at once, at the share of parameters that the ranking without coefficients keeps."""
    graph = ranking.graph
    kept, whole = (sum(graph.parameter_counts(at).values()) for at in (ranking.widths({}), graph.full))
    if kept == whole:
        return {}
    some = {name: rows[:: -(-len(rows) // STATES)] for name, rows in ranking.visited.items()}
    return gradient_coefficients(ranking.policy, graph, ranking.scores, some, kept / whole)


COEFFICIENTS: dict[str, Callable[[Ranking], Coefficients]] = {
    "none": _none,
    "grid": _grid,
    "gradient": _gradient,
}
