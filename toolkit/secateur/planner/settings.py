"""How much to plan: the least that keeps the return with the original's own networks, tried from the cheapest up.

Planning costs horizon × samples × iterations, widths cost what they cost in each of those calls; so what is not
planned is left to the widths. Each setting of a small grid is tried in closed loop, without a delay: what networks of
these widths would take on the target says nothing yet. The original's own setting stands at the end of the grid.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import ceil
from typing import Any

from secateur.pipeline import Share
from secateur.policy.planning import PlannerSettings
from secateur.policy.policy import Policy
from secateur.prune.limits import check_feasible, resources
from secateur.records import Budget, Widths
from secateur.target.planning import PlanPrice

HORIZONS = (0.4, 0.6, 1.0)
SAMPLES = (0.25, 0.5, 1.0)
ITERATIONS = (0.5, 1.0)
"""Shares of the original's own settings that are tried, in all combinations."""

EPISODES = 16
SPENT = 0.5
"""Share of the largest acceptable loss of return that settings may use up; the rest is for widths and dtype."""


@dataclass(frozen=True)
class Tried:
    """A setting, what it costs at full width, and the share of the return that it keeps."""

    settings: PlannerSettings
    macs: int
    kept: float

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        return {"settings": asdict(self.settings), "macs": self.macs, "kept": self.kept}


def grid(own: PlannerSettings) -> tuple[PlannerSettings, ...]:
    """Settings at and below the original's; elites and the policy's plans keep their share of the samples."""
    found = []
    for horizon, samples, iterations in product(HORIZONS, SAMPLES, ITERATIONS):
        found.append(
            replace(
                own,
                horizon=ceil(horizon * own.horizon),
                samples=ceil(samples * own.samples),
                policy_samples=ceil(samples * own.policy_samples),
                elites=ceil(samples * own.elites),
                iterations=ceil(iterations * own.iterations),
            )
        )
    return tuple(dict.fromkeys(found))


def choose(
    policy: Policy,
    judge: Callable[[Policy], float],
    price: PlanPrice,
    budget: Budget,
    least: Widths,
    share: Share,
) -> tuple[PlannerSettings, tuple[Tried, ...]]:
    """The cheapest setting that keeps the return, and all that was tried, from the cheapest up.

    Args:
        policy: the original, whose planner moves the robot.
        judge: its mean return in closed loop, planning as it is told to.
        price: of its planner.
        budget: settings that exceed it at the ``least`` widths are not tried.
        least: widths that pruning does not go below.
        share: told of progress.

    Raises:
        BudgetInfeasible: not even the cheapest fits.
    """
    own = price.planning.settings
    ordered = sorted(grid(own), key=lambda s: (price({}, s).macs, price({}, s).latency_s.high))
    limits = resources(budget)
    fitting = [s for s in ordered if all(r.excess(price(least, s)) == 0 for r in limits)]
    if not fitting:
        check_feasible(_at(price, ordered[0]), budget, least)
    share(0.0, "the original's own settings")
    wanted = judge(policy)
    least_kept = 1.0 - SPENT * budget.max_return_drop
    tried: list[Tried] = []
    for number, settings in enumerate(fitting):
        kept = 1.0
        if settings != own:
            reached = judge(with_settings(policy, settings))
            kept = 1.0 - (wanted - reached) / max(abs(wanted), 1e-9)
        tried.append(Tried(settings, price({}, settings).macs, kept))
        share(
            (number + 1) / len(fitting),
            f"horizon {settings.horizon}, {settings.samples} samples × {settings.iterations}: {kept:.1%}",
        )
        if kept >= least_kept:
            return settings, tuple(tried)
    best = max(tried, key=lambda one: one.kept)
    return best.settings, tuple(tried)


def with_settings(policy: Policy, settings: PlannerSettings) -> Policy:
    """The policy with another amount of planning."""
    assert policy.planning is not None
    return replace(policy, planning=replace(policy.planning, settings=settings))


def _at(price: PlanPrice, settings: PlannerSettings) -> Callable[[Widths], Any]:
    return lambda widths: price(widths, settings)
