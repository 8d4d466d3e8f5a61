"""Budget → widths. Predicted cost decides what fits, importance decides what goes.

Each strategy answers the same question: which widths fit the budget? They are listed in STRATEGIES.

*component-aware* spends the budget where it buys most. What a group still has is the share q of its importance;
the sum of −log q over groups is kept small, so that no group is bled dry while another keeps its padding, and
channels that were dead from the start go first and for free. A coupling group, whose channels are all alike in what
they carry, shrinks softly by this measure, and has a floor. Components that are not on the board keep their inner
widths: cutting them would buy nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import ceil, log

import torch

from secateur.errors import BudgetInfeasible
from secateur.graph.groups import ComponentGraph, Group
from secateur.prune.coefficients import weighted
from secateur.prune.limits import Price, Resource, check_feasible, resources
from secateur.records import Budget, Cost, Widths

Scores = Mapping[str, torch.Tensor]

QUAD = 4
"""Kernels work on four rows at a time: a group's width is a whole number of quads, or all of it."""

INNER_FLOOR, COUPLING_FLOOR = 1 / 32, 1 / 4
"""Share of its channels that a group keeps at least under the component-aware strategy: a coupling group carries all
that passes between components, and a policy whose latent has collapsed is not brought back by recovery."""

LOST = 1e-4
"""Importance share below which a group counts as having nothing left."""


def bare_floors(graph: ComponentGraph) -> dict[str, int]:
    """The least widths that could run at all: one quad of every group."""
    return {group.name: min(QUAD, group.width) for group in graph.groups}


def component_floors(graph: ComponentGraph) -> dict[str, int]:
    """The least widths that component-aware pruning goes down to: a share, in whole quads."""

    def least(group: Group) -> int:
        share = COUPLING_FLOOR if group.coupling else INNER_FLOOR
        return min(group.width, ceil(group.width * share / QUAD) * QUAD)

    return {group.name: least(group) for group in graph.groups}


def component_aware(graph: ComponentGraph, scores: Scores, price: Price, budget: Budget) -> dict[str, int]:
    """Greedy by importance lost per budget freed, within the floors of components and couplings."""
    limits = resources(budget)
    kept = {name: _kept_share(score) for name, score in scores.items()}
    least = component_floors(graph)
    widths = graph.full
    on_board = _on_board(graph, price)
    cost = price(widths)
    check_feasible(price, budget, least)

    def loss(name: str, before: int, after: int) -> float:
        return log(max(kept[name][before], LOST)) - log(max(kept[name][after], LOST))

    def steps(name: str) -> Iterator[int]:
        width = widths[name]
        while (lower := max(least[name], _step_down(width))) != width:
            yield (width := lower)

    def best_step(patient: bool) -> tuple[float, str, int] | None:
        """The step that loses least for what it frees; a patient one goes down until something is freed."""
        best: tuple[float, str, int] | None = None
        for group in on_board:
            for after in steps(group.name):
                new = price({**widths, group.name: after})
                freed = sum(
                    max(0.0, r.read(cost) - r.read(new)) / r.limit for r in limits if r.excess(cost) > 0
                )
                if freed > 0:
                    rate = loss(group.name, widths[group.name], after) / freed
                    if best is None or rate < best[0]:
                        best = (rate, group.name, after)
                if freed > 0 or not patient:
                    break
        return best

    def least_step() -> tuple[float, str, int] | None:
        """The single step that loses least: two groups may hold a peak so that neither alone frees anything."""
        firsts = [(group.name, after) for group in on_board for after in islice(steps(group.name), 1)]
        losses = [(loss(name, widths[name], after), name, after) for name, after in firsts]
        return min(losses, key=lambda step: step[0], default=None)

    while any(resource.excess(cost) > 0 for resource in limits):
        step = best_step(False) or best_step(True) or least_step()
        if step is None:
            raise BudgetInfeasible(
                "the budget can be met", "no group is left to cut", "Raise the tightest limit."
            )
        widths[step[1]] = step[2]
        cost = price(widths)
    return _fill(on_board, widths, price, limits, loss, graph.full)


def _step_down(width: int) -> int:
    """The next width below that is a whole number of quads, in steps that shrink with the width."""
    step = QUAD * max(1, width // (16 * QUAD))
    return (width - 1) // step * step if width > QUAD else width


def _fill(
    groups: list[Group],
    widths: dict[str, int],
    price: Price,
    limits: tuple[Resource, ...],
    loss: Callable[[str, int, int], float],
    full: Widths,
) -> dict[str, int]:
    """Gives back what still fits, the best first: the last step down may have freed more than was asked."""
    while True:
        best: tuple[float, str, int] | None = None
        for group in groups:
            wider = min(full[group.name], (widths[group.name] // QUAD + 1) * QUAD)
            if wider == widths[group.name]:
                continue
            cost = price({**widths, group.name: wider})
            if any(resource.excess(cost) > 0 for resource in limits):
                continue
            gain = loss(group.name, wider, widths[group.name])
            if best is None or gain > best[0]:
                best = (gain, group.name, wider)
        if best is None:
            return widths
        widths = {**widths, best[1]: best[2]}


def _kept_share(score: torch.Tensor) -> list[float]:
    """Width → share of the group's importance that its best channels hold; index 0 is no channel."""
    ranked = torch.sort(score.double(), descending=True).values
    total = float(ranked.sum())
    if total <= 0:
        return [n / len(score) for n in range(len(score) + 1)]
    return [0.0, *(torch.cumsum(ranked, 0) / total).tolist()]


def _on_board(graph: ComponentGraph, price: Price) -> list[Group]:
    """The groups whose width the deployed network's cost depends on."""

    def footprint(cost: Cost) -> tuple[float, ...]:
        """All of it but the parameters, which count what is beside the deployed entry too."""
        sizes = (
            cost.weights_bytes,
            cost.tables_bytes,
            cost.code_bytes,
            cost.static_ram_bytes,
            cost.stack_bytes,
        )
        return (*sizes, cost.macs, cost.instructions, cost.latency_s.high)

    full = footprint(price(graph.full))
    least = bare_floors(graph)
    return [g for g in graph.groups if footprint(price({**graph.full, g.name: least[g.name]})) != full]


def uniform(graph: ComponentGraph, scores: Scores, price: Price, budget: Budget) -> dict[str, int]:
    """The same share of every group of the policy, coupling or not: the largest that fits."""

    def at(share: float) -> dict[str, int]:
        return {g.name: _round(share * g.width, g.width) for g in graph.groups}

    return _largest(at, price, budget)


def global_ranking(
    graph: ComponentGraph,
    scores: Scores,
    price: Price,
    budget: Budget,
    coefficients: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """Comprehensive dependency-graph pruning: all channels of all groups in one ranking.

    Each group's scores are divided by their mean (torch-pruning's ``normalizer="mean"``), the lowest are cut until the
    budget is met. Groups without scores, because torch-pruning does not find them, stay whole. Coefficients, where
    there are any, weigh groups against each other after that division; see ``prune.coefficients``.
    """
    normal = weighted(scores, coefficients or {})
    order = torch.argsort(torch.cat(list(normal.values())), descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    ranks = dict(zip(normal, place.split([len(score) for score in normal.values()])))

    def at(share: float) -> dict[str, int]:
        count = round(share * len(order))
        kept = {name: _round(float((rank < count).sum()), len(rank)) for name, rank in ranks.items()}
        return {**graph.full, **kept}

    return _largest(at, price, budget)


def _round(width: float, full: int) -> int:
    """To a whole number of quads, down, between the floor and the full width."""
    return full if width >= full else max(min(QUAD, full), int(width) // QUAD * QUAD)


def _largest(at: Callable[[float], dict[str, int]], price: Price, budget: Budget) -> dict[str, int]:
    """The widths at the largest share in [0, 1] that fit, by bisection over thousandths."""
    limits = resources(budget)

    def fits(share: float) -> bool:
        return not any(resource.excess(price(at(share))) > 0 for resource in limits)

    if fits(1.0):
        return at(1.0)
    check_feasible(price, budget, at(0.0))
    low, high = 0, 4096
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle / 4096) else (low, middle)
    return at(low / 4096)


@dataclass(frozen=True)
class Strategy:
    """How widths are chosen: (graph, scores, price, budget) → widths, and the least that it would choose."""

    choose: Callable[[ComponentGraph, Scores, Price, Budget], dict[str, int]]
    least: Callable[[ComponentGraph], dict[str, int]]


STRATEGIES = {
    "component-aware": Strategy(component_aware, component_floors),
    "global": Strategy(global_ranking, bare_floors),
    "uniform": Strategy(uniform, bare_floors),
}


def keep_best(scores: Scores, widths: Widths) -> dict[str, torch.Tensor]:
    """The indices of the highest scores of each group, ascending: group → int64 ``[width]``. Ties: lower index."""
    return {
        name: torch.sort(torch.sort(scores[name], descending=True, stable=True).indices[:width]).values
        for name, width in widths.items()
    }
