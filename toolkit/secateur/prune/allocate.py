"""Budget → widths by importance alone: predicted cost decides what fits, scores decide what goes.

*by_importance* knows the components. What a group still has is the share q of its importance; the sum of −log q over
groups is kept small, so that no group is bled dry while another keeps its padding, and channels that were dead from
the start go first and for free. A coupling group, whose channels are all alike in what they carry, shrinks softly by
this measure, and has a floor. Components that are not on the board keep their inner widths: cutting them would
buy nothing. *uniform*, *per_component* and *global_ranking* are what it is compared with.
"""

from collections.abc import Callable, Collection, Mapping
from math import ceil, gcd, log

import torch

from secateur.errors import BudgetInfeasible
from secateur.graph.groups import ComponentGraph, Group
from secateur.prune.coefficients import weighted
from secateur.prune.limits import Price, check_feasible, resources
from secateur.prune.solve import Knob, Problem, solve
from secateur.records import Budget, Cost, Widths

Scores = Mapping[str, torch.Tensor]

QUAD = 4
"""Kernels work on four rows at a time: what is left of a weight is whole quads, or all of it."""

FEWEST = 2
"""Channels of a group at least: of an axis of one, converters make other networks."""

INNER_FLOOR, COUPLING_FLOOR = 1 / 32, 1 / 4
"""Share of its channels that a group keeps at least under the component-aware strategy: a coupling group carries all
that passes between components, and a policy whose latent has collapsed is not brought back by recovery."""

LOST = 1e-4
"""Importance share below which a group counts as having nothing left."""


def step_of(group: Group) -> int:
    """Channels by which a group grows and shrinks: as few as are whole quads wherever they stand.

    Four where each is a row or a column, one where it is a head or a simplex of four.
    """
    return QUAD // gcd(QUAD, *(member.stride * member.repeats for member in group.members))


def _least(group: Group) -> int:
    return min(group.width, max(FEWEST, step_of(group)))


def bare_floors(graph: ComponentGraph) -> dict[str, int]:
    """The least widths that could run at all: one step of every group."""
    return {group.name: _least(group) for group in graph.groups}


def component_floors(graph: ComponentGraph) -> dict[str, int]:
    """The least widths that component-aware pruning goes down to: a share, in whole steps."""

    def floor(group: Group) -> int:
        share, step = COUPLING_FLOOR if group.coupling else INNER_FLOOR, step_of(group)
        return min(group.width, max(_least(group), ceil(group.width * share / step) * step))

    return {group.name: floor(group) for group in graph.groups}


def measured_floors(graph: ComponentGraph) -> dict[str, int]:
    """The least widths of a search by trial: half of a coupling group's floor, whose cost is known there."""
    floors = component_floors(graph)
    for group in graph.groups:
        if group.coupling:
            step = step_of(group)
            floors[group.name] = max(_least(group), floors[group.name] // 2 // step * step)
    return floors


def by_importance(
    graph: ComponentGraph,
    scores: Scores,
    price: Price,
    budget: Budget,
    frozen: Collection[str] = (),
    floors: Callable[[ComponentGraph], dict[str, int]] = component_floors,
) -> dict[str, int]:
    """Keeps the sum of −log(importance kept) small over the groups on the board; measures nothing.

    Groups named in ``frozen`` stay whole; the others keep at least their ``floors``.
    """
    least = floors(graph)
    knobs = []
    for group in on_board(graph, price):
        if group.name in frozen:
            continue
        kept = _kept_share(scores[group.name])
        widths, step = [group.width], step_of(group)
        while (lower := max(least[group.name], _step_down(widths[-1], step))) != widths[-1]:
            widths.append(lower)
        knobs.append(
            Knob(
                group.name,
                tuple({group.name: width} for width in widths),
                tuple(-log(max(kept[width], LOST)) for width in widths),
            )
        )
    problem = Problem(knobs, graph.full, price, budget)
    return problem.widths(solve(problem))


def before_trials(
    graph: ComponentGraph, scores: Scores, price: Price, budget: Budget, frozen: Collection[str] = ()
) -> dict[str, int]:
    """``by_importance``, with the floors of a search by trial where the budget leaves no room for its own."""
    try:
        return by_importance(graph, scores, price, budget, frozen)
    except BudgetInfeasible:
        return by_importance(graph, scores, price, budget, frozen, measured_floors)


def _step_down(width: int, least: int) -> int:
    """The next width below that is a whole number of ``least``, in steps that shrink with the width."""
    step = least * max(1, width // (16 * least))
    return (width - 1) // step * step if width > least else width


def _kept_share(score: torch.Tensor) -> list[float]:
    """Width → share of the group's importance that its best channels hold; index 0 is no channel."""
    ranked = torch.sort(score.double(), descending=True).values
    total = float(ranked.sum())
    if total <= 0:
        return [n / len(score) for n in range(len(score) + 1)]
    return [0.0, *(torch.cumsum(ranked, 0) / total).tolist()]


def on_board(graph: ComponentGraph, price: Price) -> list[Group]:
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
        return (*sizes, cost.macs, cost.instructions or 0, cost.latency_s.high)

    full = footprint(price(graph.full))
    least = bare_floors(graph)
    return [g for g in graph.groups if footprint(price({**graph.full, g.name: least[g.name]})) != full]


def uniform(graph: ComponentGraph, scores: Scores, price: Price, budget: Budget) -> dict[str, int]:
    """The same share of every group of the policy, coupling or not: the largest that fits."""

    def at(share: float) -> dict[str, int]:
        return {g.name: _round(share * g.width, g) for g in graph.groups}

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
    ranks = _ranks(weighted(scores, coefficients or {}))
    total = sum(len(rank) for rank in ranks.values())

    def at(share: float) -> dict[str, int]:
        return {**graph.full, **_within(graph, ranks, round(share * total))}

    return _largest(at, price, budget)


def per_component(
    graph: ComponentGraph,
    scores: Scores,
    price: Price,
    budget: Budget,
    coefficients: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """The same share of every component, by one ranking of normalised scores in each.

    A coupling group counts as a part of the component that makes its channels. What torch-pruning does when each
    component is given the same pruning ratio. Coefficients as in ``global_ranking``.
    """
    members: dict[str, list[str]] = {}
    for name in scores:
        members.setdefault(home(graph, graph.by_name[name]), []).append(name)
    ranks = {
        part: _ranks(weighted({n: scores[n] for n in names}, coefficients or {}))
        for part, names in members.items()
    }

    def at(share: float) -> dict[str, int]:
        widths = dict(graph.full)
        for inside in ranks.values():
            widths |= _within(graph, inside, round(share * sum(len(rank) for rank in inside.values())))
        return widths

    return _largest(at, price, budget)


def home(graph: ComponentGraph, group: Group) -> str:
    """The component that makes a group's channels."""
    maker = next((m for m in group.members if m.axis == 0 and m.parameter in graph.component_of), None)
    return graph.component_of[maker.parameter] if maker else group.components[0]


def _ranks(scores: Scores) -> dict[str, torch.Tensor]:
    """Each channel's place, from 0 for the best, in one ranking over several groups."""
    order = torch.argsort(torch.cat(list(scores.values())), descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return dict(zip(scores, place.split([len(score) for score in scores.values()])))


def _within(graph: ComponentGraph, ranks: Mapping[str, torch.Tensor], count: int) -> dict[str, int]:
    """Widths of groups whose best ``count`` channels are kept, in whole steps."""
    return {name: _round(float((rank < count).sum()), graph.by_name[name]) for name, rank in ranks.items()}


def ranked_widths(graph: ComponentGraph, scores: Scores, groups: list[str], share: float) -> dict[str, int]:
    """Widths of some groups when the best ``share`` of their channels is kept, by one ranking."""
    ranks = _ranks(weighted({name: scores[name] for name in groups}, {}))
    return _within(graph, ranks, round(share * sum(len(rank) for rank in ranks.values())))


def _round(width: float, group: Group) -> int:
    """To a whole number of steps, down, between the floor and the full width."""
    step = step_of(group)
    return group.width if width >= group.width else max(_least(group), int(width) // step * step)


def _largest(at: Callable[[float], dict[str, int]], price: Price, budget: Budget) -> dict[str, int]:
    """The widths at the largest share in [0, 1] that fit, by bisection over 4096ths."""
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


def keep_best(scores: Scores, widths: Widths) -> dict[str, torch.Tensor]:
    """The indices of the highest scores of each group, ascending: group → int64 ``[width]``. Ties: lower index."""
    return {
        name: torch.sort(torch.sort(scores[name], descending=True, stable=True).indices[:width]).values
        for name, width in widths.items()
    }
