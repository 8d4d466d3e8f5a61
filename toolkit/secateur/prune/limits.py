"""The limits of a budget: what each reads off a predicted cost, and what it says when it cannot be met."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import ceil, inf
from sys import float_info

from secateur.errors import BudgetInfeasible
from secateur.records import Budget, Cost, Limits, Widths
from secateur.units import format_bytes, format_seconds, parse_seconds

Price = Callable[[Widths], Cost]
"""Widths → predicted cost on the target."""


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
            ("utilisation", limits.utilisation, _percent),
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
    among: Collection[str] = cost.components
    if worst.kind == "latency_s" and cost.parts:  # the whole is then the parts at the control rate
        quickest = min(part.period_s for part in cost.parts)
        among = [name for part in cost.parts if part.period_s == quickest for name in part.components]
    parts = {name: _reader(worst.kind, name)(cost) for name in among}
    component = worst.component or max(parts, key=lambda name: parts[name], default=worst.component)
    needed = worst.read(cost)
    what = worst.kind.split("_")[0]
    exact = _EXACT[worst.kind](needed)
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


_EXACT: dict[str, Callable[[float], str]] = {
    "flash_bytes": lambda value: f"{int(value)} B",
    "ram_bytes": lambda value: f"{int(value)} B",
    "latency_s": _enough_seconds,
    "utilisation": lambda value: f"{ceil(1e4 * value) / 100:g} %",
}
"""How the least that could be met is written: so that it can be typed in, and is enough."""


def total_limits(limits: Limits, flash_bytes: int, ram_bytes: int) -> Limits:
    """The user's limits, and the board's own where there is none."""
    return Limits(
        limits.flash_bytes if limits.flash_bytes is not None else flash_bytes,
        limits.ram_bytes if limits.ram_bytes is not None else ram_bytes,
        limits.latency_s,
        limits.utilisation,
    )
