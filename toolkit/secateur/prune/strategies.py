"""How widths are chosen. Every strategy answers the same question: which widths fit the budget?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from secateur.graph.groups import ComponentGraph
from secateur.prune.allocate import (
    Scores,
    bare_floors,
    before_trials,
    by_importance,
    component_floors,
    global_ranking,
    measured_floors,
    per_component,
    uniform,
)
from secateur.prune.limits import Price
from secateur.records import Budget


@dataclass(frozen=True)
class Strategy:
    """(graph, scores, price, budget) → widths, and the least that a budget must leave room for.

    Attributes:
        choose: the widths.
        least: widths at which a budget must be met, or it is refused.
        measures: tries candidates out before it chooses (``prune.search``), starting from what ``choose`` gives.
        weighed: ``choose`` with coefficients of groups, where channels of several groups are in one ranking.
        comprehensive: sees the policy as torch-pruning does, as one graph, and cuts only what that finds.
    """

    choose: Callable[[ComponentGraph, Scores, Price, Budget], dict[str, int]]
    least: Callable[[ComponentGraph], dict[str, int]]
    measures: bool = False
    weighed: Callable[[ComponentGraph, Scores, Price, Budget, Mapping[str, float]], dict[str, int]] | None = (
        None
    )
    comprehensive: bool = False


STRATEGIES = {
    "component-aware": Strategy(before_trials, measured_floors, measures=True),
    "by-importance": Strategy(by_importance, component_floors),
    "per-component": Strategy(per_component, bare_floors, weighed=per_component),
    "global": Strategy(global_ranking, bare_floors, weighed=global_ranking, comprehensive=True),
    "uniform": Strategy(uniform, bare_floors),
}
