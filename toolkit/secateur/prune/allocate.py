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
from math import ceil, inf, log
from sys import float_info

import torch

from secateur.errors import BudgetInfeasible
from secateur.graph.groups import ComponentGraph, Group
from secateur.prune.coefficients import weighted
from secateur.records import Budget, Cost, Limits, Widths
from secateur.units import format_bytes, format_seconds, parse_seconds

Scores = Mapping[str, torch.Tensor]
Price = Callable[[Widths], Cost]

QUAD = 4
"""Kernels work on four rows at a time: a group's width is a whole number of quads, or all of it."""

INNER_FLOOR, COUPLING_FLOOR = 1 / 32, 1 / 4
"""Share of its channels that a group keeps at least under the component-aware strategy: a coupling group carries all
that passes between components, and a policy whose latent has collapsed is not brought back by recovery."""

LOST = 1e-4
"""Importance share below which a group counts as having nothing left."""


@dataclass(frozen=True)
class Resource:
    """One limit: what is limited, where (``""``: in total), how to read it off a Cost, and how to write it."""

    kind: str
    component: str
    limit: float
    read: Callable[[Cost], float]
    write: Callable[[float], str]

    def excess(self, cost: Cost) -> float:
        """How far above the limit, as a share of it; 0 within, and never 0 above."""
        value = self.read(cost)
        if value <= self.limit:
            return 0.0
        return max(float_info.epsilon, value / self.limit - 1.0) if self.limit > 0 else inf


def resources(budget: Budget) -> tuple[Resource, ...]:
    """Every limit of the budget, the totals first."""
    found: list[Resource] = []
    for component, limits in [("", budget.total), *budget.components.items()]:
        for kind, limit, write in (
            ("flash_bytes", limits.flash_bytes, lambda v: format_bytes(int(v))),
            ("ram_bytes", limits.ram_bytes, lambda v: format_bytes(int(v))),
            ("latency_s", limits.latency_s, format_seconds),
        ):
            if limit is not None:
                found.append(Resource(kind, component, limit, _reader(kind, component), write))
    return tuple(found)


def _reader(kind: str, component: str) -> Callable[[Cost], float]:
    def read(cost: Cost) -> float:
        if component and component not in cost.components:
            return 0  # it is not on the board
        part = cost.components[component] if component else cost
        value = getattr(part, kind)
        return value.high if kind == "latency_s" else value

    return read


def bare_floors(graph: ComponentGraph) -> dict[str, int]:
    """The least widths that could run at all: one quad of every group."""
    return {group.name: min(QUAD, group.width) for group in graph.groups}


def component_floors(graph: ComponentGraph) -> dict[str, int]:
    """The least widths that component-aware pruning goes down to: a share, in whole quads."""

    def least(group: Group) -> int:
        share = COUPLING_FLOOR if group.coupling else INNER_FLOOR
        return min(group.width, ceil(group.width * share / QUAD) * QUAD)

    return {group.name: least(group) for group in graph.groups}


def check_feasible(price: Price, budget: Budget, least: Widths) -> None:
    """Raises BudgetInfeasible when even the ``least`` widths are too dear.

    It names the resource that is furthest above its limit, the component that takes most of it, and the least that
    could be met.
    """
    cost = price(least)
    over = [resource for resource in resources(budget) if resource.excess(cost) > 0]
    if not over:
        return
    worst = max(over, key=lambda resource: resource.excess(cost))
    parts = {name: _reader(worst.kind, name)(cost) for name in cost.components}
    component = worst.component or max(parts, key=lambda name: parts[name], default=worst.component)
    needed = worst.read(cost)
    what = worst.kind.split("_")[0]
    exact = f"{int(needed)} B" if worst.kind.endswith("bytes") else _enough_seconds(needed)
    code = (
        f" ({cost.code_bytes} B of it shared code)"
        if worst.kind == "flash_bytes" and not worst.component
        else ""
    )
    raise BudgetInfeasible(
        f"{what} of {worst.component or 'the whole policy'} must be within {worst.write(worst.limit)}",
        f"at the least widths it takes {worst.write(needed)}{code}, most of it in component {component!r}",
        f"The smallest {what} that could be met is {exact}.",
    )


def _enough_seconds(seconds: float) -> str:
    """A time as the command line takes it, in whole nanoseconds, that is not below the one given."""
    nanoseconds = ceil(seconds * 1e9)
    while parse_seconds(f"{nanoseconds}ns") < seconds:
        nanoseconds += 1
    return f"{nanoseconds} ns"


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


def total_limits(limits: Limits, flash_bytes: int, ram_bytes: int) -> Limits:
    """The user's limits, and the board's own where there is none."""
    return Limits(
        limits.flash_bytes if limits.flash_bytes is not None else flash_bytes,
        limits.ram_bytes if limits.ram_bytes is not None else ram_bytes,
        limits.latency_s,
    )
