"""Knobs and a budget → the settings that lose least within it.

A knob is one decision: how far down a component, a coupling group, or a single group goes. Its settings run from whole
to least, each with the widths it means and what it is expected to lose. Losses add up over knobs, costs do not
(a weight matrix belongs to two groups), so this is no knapsack with a closed form. The search goes down from the
whole by what is lost per budget freed, gives back what still fits, and then exchanges: one knob down, others up,
as long as the loss falls. It starts from several places and keeps the best. `bench/allocation.py` holds it
against exhaustive search.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from secateur.errors import BudgetInfeasible
from secateur.prune.limits import Price, Resource, check_feasible, resources
from secateur.records import Budget, Cost, Widths

EXCHANGE_STEPS = 4
"""Settings that a knob goes at most in one exchange."""

Choice = tuple[int, ...]
"""The setting of each knob."""


@dataclass(frozen=True)
class Knob:
    """One decision.

    Attributes:
        name: of the component or group.
        widths: by setting, from whole to least: group → width.
        losses: by setting, not falling.
    """

    name: str
    widths: tuple[Mapping[str, int], ...]
    losses: tuple[float, ...]


class Problem:
    """Knobs, what stays as it is beside them, a price and a budget."""

    def __init__(self, knobs: Sequence[Knob], beside: Widths, price: Price, budget: Budget) -> None:
        """``beside``: widths of the groups that no knob turns."""
        self.knobs, self.beside, self.price = tuple(knobs), dict(beside), price
        self.limits = resources(budget)
        self.budget = budget
        self._costs: dict[Choice, Cost] = {}

    def widths(self, choice: Choice) -> dict[str, int]:
        """The widths that a choice means."""
        widths = dict(self.beside)
        for knob, setting in zip(self.knobs, choice):
            widths.update(knob.widths[setting])
        return widths

    def cost(self, choice: Choice) -> Cost:
        """The predicted cost of a choice."""
        if choice not in self._costs:
            self._costs[choice] = self.price(self.widths(choice))
        return self._costs[choice]

    def fits(self, choice: Choice) -> bool:
        """True where every limit is met."""
        cost = self.cost(choice)
        return not any(limit.excess(cost) > 0 for limit in self.limits)

    def loss(self, choice: Choice) -> float:
        """The sum of the knobs' losses."""
        return sum(knob.losses[setting] for knob, setting in zip(self.knobs, choice))

    @property
    def least(self) -> Choice:
        """Every knob all the way down."""
        return tuple(len(knob.widths) - 1 for knob in self.knobs)


def solve(problem: Problem) -> Choice:
    """The best choice found that fits.

    Raises:
        BudgetInfeasible: not even the least settings fit; names resource, component and the least that could be met.
    """
    check_feasible(problem.price, problem.budget, problem.widths(problem.least))
    found = []
    for start in (_downhill(problem), equal(problem)):
        choice = _refilled(problem, start, but=-1)
        while (better := _exchange(problem, choice)) is not None:
            choice = _refilled(problem, better, but=-1)
        found.append(choice)
    return min(found, key=problem.loss)


def _downhill(problem: Problem) -> Choice:
    """From the whole, always the step that loses least for what it frees."""
    choice = _lowered(problem, tuple(0 for _ in problem.knobs))
    if choice is None:
        raise BudgetInfeasible(
            "the budget can be met", "no group is left to cut", "Raise the tightest limit."
        )
    return choice


def _lowered(problem: Problem, choice: Choice, but: int = -1) -> Choice | None:
    """Knobs other than ``but`` taken down until it fits, always by the step that loses least for what it frees."""
    while not problem.fits(choice):
        step = (
            _best_step(problem, choice, False, but)
            or _best_step(problem, choice, True, but)
            or _least_step(problem, choice, but)
        )
        if step is None:
            return None
        choice = _with(choice, *step)
    return choice


def _best_step(problem: Problem, choice: Choice, patient: bool, but: int) -> tuple[int, int] | None:
    """The knob and setting that lose least for what they free; a patient step goes down until something is freed."""
    cost = problem.cost(choice)
    exceeded = [limit for limit in problem.limits if limit.excess(cost) > 0]
    best: tuple[float, int, int] | None = None
    for index, knob in enumerate(problem.knobs):
        for setting in range(choice[index] + 1, len(knob.widths)) if index != but else ():
            freed = _freed(exceeded, cost, problem.cost(_with(choice, index, setting)))
            if freed > 0:
                rate = (knob.losses[setting] - knob.losses[choice[index]]) / freed
                if best is None or rate < best[0]:
                    best = (rate, index, setting)
            if freed > 0 or not patient:
                break
    return best[1:] if best else None


def _freed(limits: Sequence[Resource], before: Cost, after: Cost) -> float:
    return sum(max(0.0, limit.read(before) - limit.read(after)) / limit.limit for limit in limits)


def _least_step(problem: Problem, choice: Choice, but: int) -> tuple[int, int] | None:
    """The single step that loses least: two groups may hold a peak so that neither alone frees anything."""
    steps = [
        (knob.losses[setting + 1] - knob.losses[setting], index, setting + 1)
        for index, (knob, setting) in enumerate(zip(problem.knobs, choice))
        if index != but and setting + 1 < len(knob.widths)
    ]
    return min(steps)[1:] if steps else None


def equal(problem: Problem) -> Choice:
    """All knobs at about the same share of their way down: the highest that fits."""
    least = problem.least
    for share in range(101):
        choice = tuple(-(-share * last // 100) for last in least)
        if problem.fits(choice):
            return choice
    return least


def _raised(problem: Problem, choice: Choice, but: int) -> Iterator[tuple[int, int]]:
    """Every knob that can go up by one setting, with that setting."""
    for index, setting in enumerate(choice):
        if index != but and setting > 0 and problem.fits(_with(choice, index, setting - 1)):
            yield index, setting - 1


def _exchange(problem: Problem, choice: Choice) -> Choice | None:
    """One knob down so that others can go up, or up with others down for it; None where the sum does not fall."""
    now = problem.loss(choice)
    for index, knob in enumerate(problem.knobs):
        lower = range(choice[index] + 1, min(len(knob.widths), choice[index] + 1 + EXCHANGE_STEPS))
        higher = range(choice[index] - 1, max(-1, choice[index] - 1 - EXCHANGE_STEPS), -1)
        for setting in (*lower, *higher):
            moved = _with(choice, index, setting)
            other = _lowered(problem, moved, index) if setting < choice[index] else moved
            if other is None:
                continue
            other = _refilled(problem, other, index)
            if problem.loss(other) < now - 1e-12 and problem.fits(other):
                return other
    return None


def _refilled(problem: Problem, choice: Choice, but: int) -> Choice:
    """Other knobs taken up as far as fits, always by what gains most."""
    while True:
        gains = [
            (problem.knobs[up].losses[choice[up]] - problem.knobs[up].losses[higher], up, higher)
            for up, higher in _raised(problem, choice, but)
        ]
        if not gains:
            return choice
        _, up, higher = max(gains)
        choice = _with(choice, up, higher)


def _with(choice: Choice, index: int, setting: int) -> Choice:
    return (*choice[:index], setting, *choice[index + 1 :])
