"""From the cost of one call to that of a control step: calls per step, rows per call, components at their own rates."""

from collections.abc import Callable
from dataclasses import replace

from secateur.policy.policy import Policy
from secateur.records import ComponentCost, Cost, Range, Widths


def calls_per_step(policy: Policy) -> int:
    """How often one row of the deployed entry is computed in a control step."""
    entry = policy.entry()
    return entry.calls_per_step * entry.batch


def per_step(price: Callable[[Widths], Cost], policy: Policy, control_hz: float) -> Callable[[Widths], Cost]:
    """The same price, of a whole control step.

    Work and latency are those of all calls and rows of a step in which every component runs. Utilisation is the share
    of time that the core is busy, each component at its own rate: Σ worst latency × rate.

    Args:
        price: widths → cost of one call of the deployed entry, one row.
        policy: whose deployed entry says how often, and whose components say at what rates.
        control_hz: the rate of components without one of their own.
    """
    times = calls_per_step(policy)
    rates = {part.name: part.rate_hz or control_hz for part in policy.components}

    def priced(widths: Widths) -> Cost:
        cost = price(widths)
        parts = {name: _part(part, times, rates[name]) for name, part in cost.components.items()}
        beside = cost.latency_s.high - sum(part.latency_s.high for part in cost.components.values())
        busy = sum(part.utilisation for part in parts.values()) + max(0.0, beside) * times * control_hz
        return replace(
            cost,
            macs=times * cost.macs,
            instructions=None if cost.instructions is None else times * cost.instructions,
            latency_s=scaled(cost.latency_s, times),
            utilisation=busy,
            components=parts,
        )

    return priced


def _part(part: ComponentCost, times: int, rate_hz: float) -> ComponentCost:
    latency = scaled(part.latency_s, times)
    return replace(
        part,
        macs=times * part.macs,
        instructions=None if part.instructions is None else times * part.instructions,
        latency_s=latency,
        utilisation=latency.high * rate_hz,
    )


def scaled(latency: Range, times: int) -> Range:
    """So many times as long."""
    return Range(times * latency.low, times * latency.high)
