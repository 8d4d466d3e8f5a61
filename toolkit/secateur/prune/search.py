"""Budget → widths by measurement: how much each component keeps decides far more than which of its channels.

Two levels. Between components and couplings: response curves, measured around the equal share that the budget leaves,
and a solver that spends the budget where it buys most. Within a component: one ranking by importance. Curves add up
what is lost part by part, which is not the whole truth, so the candidates that come out are tried, what their trials
say of the curves is fitted, and the solver is asked again. Around the best of them the same is done once more, with
every group a part of its own. The best of all go through a longer trial, which decides.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from secateur.graph.groups import ComponentGraph
from secateur.prune.allocate import Scores, before_trials, on_board
from secateur.prune.curves import (
    Curve,
    Part,
    component_parts,
    group_parts,
    knobs_of,
    measure,
    nearest,
    widths_at,
)
from secateur.prune.limits import Price, check_feasible
from secateur.prune.solve import Choice, Knob, Problem, equal, solve
from secateur.prune.trials import Trial, Trials, rank_correlation
from secateur.records import Budget, Widths

REACH = (-4, 0, 4)
"""Settings around the base where curves are measured: a half, the same, and twice its channels."""

NEAR = (-2, 0, 2)
"""The same around the best candidate, group by group."""

FINALISTS = 3

BLIND = 0.5
"""Where no short trial keeps this share of the return, errors alone say who is best, and they favour one family of
widths: the two starting points then go to the longer trial beside the best two."""

NOTHING = 0.01
"""A loss at which there is nothing left to choose."""

TILT, TILTED = 3.0, 3
"""How much more a part counts in a candidate that favours it, and how many of the parts that lose most are favoured."""

STIFFNESS = 0.3
"""How strongly corrections of curves are held at 1, beside what trials say."""


@dataclass(frozen=True)
class Search:
    """Widths with the evidence for them.

    Attributes:
        widths: the best finalist, by ``Trial.loss``.
        trial: what came of them.
        curves: of components and couplings, around the equal share; none where nothing is lost there.
        corrections: by part, how much more (or less) it loses in company than the other parts, by their curves.
        rank_correlation: Spearman's ρ between error and return lost, over all trials.
        trials: how many there were.
    """

    widths: dict[str, int]
    trial: Trial
    curves: tuple[Curve, ...]
    corrections: tuple[float, ...]
    rank_correlation: float | None
    trials: int

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        return {
            "trials": self.trials,
            "rank_correlation": self.rank_correlation,
            "chosen": {"error": self.trial.error, "kept": self.trial.kept},
            "curves": [
                {
                    "part": curve.part.name,
                    "coupling": curve.part.coupling,
                    "correction": factor,
                    "points": [
                        {
                            "share": point.share,
                            "parameters": point.parameters,
                            "error": point.trial.error,
                        }
                        for point in curve.points
                    ],
                }
                for curve, factor in zip(self.curves, self.corrections)
            ],
        }


def search(
    graph: ComponentGraph,
    scores: Scores,
    price: Price,
    budget: Budget,
    trials: Trials,
    frozen: Collection[str] = (),
) -> Search:
    """The widths within the budget that lose least, by trial.

    Args:
        graph: of the original.
        scores: which channels of a group stay.
        price: widths → predicted cost.
        budget: that is to be met.
        trials: that widths are tried with.
        frozen: groups that stay whole.

    Raises:
        BudgetInfeasible: not even the least settings fit.
    """
    groups = [group for group in on_board(graph, price) if group.name not in frozen]
    parts = component_parts(graph, scores, groups)
    plain = Problem(
        [Knob(p.name, p.widths, tuple(map(float, range(len(p.widths))))) for p in parts],
        graph.full,
        price,
        budget,
    )
    check_feasible(price, budget, plain.widths(plain.least))
    base = equal(plain)
    quick = before_trials(graph, scores, price, budget, frozen)
    tried = [trials(quick), trials(plain.widths(base))]
    first: _Asking | None = None
    factors: tuple[float, ...] = ()
    if min(trial.loss for trial in tried) > NOTHING:
        parameters = _parameters(graph)
        for turn, reach in enumerate((REACH, NEAR)):
            if turn:
                parts = group_parts(graph, scores, groups)
                base = nearest(parts, min(tried, key=lambda trial: trial.loss).widths)
            curves = measure(parts, base, graph.full, reach, _errors_of(trials), parameters)
            ask = _Asking(parts, curves, graph.full, price, budget, trials)
            tried_now, corrected = ask.candidates()
            tried += tried_now
            if first is None:
                first, factors = ask, corrected
        tried = [trials.final(trial.widths) for trial in _finalists(tried)]
    best = min(tried, key=lambda trial: trial.loss)
    return Search(
        dict(best.widths),
        best,
        tuple(first.curves) if first else (),
        factors,
        rank_correlation(trials.asked),
        len(trials.asked),
    )


def _finalists(tried: Sequence[Trial]) -> list[Trial]:
    """The best by loss; of blind trials (see ``BLIND``) also the first two: the ranking's widths, the equal share."""
    ranked = sorted({_key(t): t for t in tried}.values(), key=lambda trial: trial.loss)
    best = ranked[:FINALISTS]
    if max(trial.kept or 0.0 for trial in ranked) < BLIND:
        best = [*ranked[: FINALISTS - 1], *tried[:2]]
    return list({_key(trial): trial for trial in best}.values())


def _key(trial: Trial) -> tuple[int, ...]:
    return tuple(trial.widths.values())


class _Asking:
    """The solver over one set of curves."""

    def __init__(
        self,
        parts: Sequence[Part],
        curves: Sequence[Curve],
        beside: Widths,
        price: Price,
        budget: Budget,
        trials: Trials,
    ) -> None:
        self.parts, self.curves, self.beside = parts, curves, beside
        self.price, self.budget, self.trials = price, budget, trials
        self.losses = [curve.losses() for curve in curves]

    def candidates(self) -> tuple[list[Trial], tuple[float, ...]]:
        """Trials of what the solver makes of the curves: as they are, tilted, and corrected; and the corrections."""
        factors: tuple[float, ...] = tuple(1.0 for _ in self.parts)
        choices = [self.solve(factors)]
        choices += [self.solve(_tilted(factors, index)) for index in self.steepest(TILTED)]
        corrected = self.corrections(choices)
        choices.append(self.solve(corrected))
        return [self.trial(choice) for choice in dict.fromkeys(choices)], corrected

    def solve(self, factors: Sequence[float]) -> Choice:
        """The best settings, with the parts' losses weighed by ``factors``."""
        return solve(Problem(knobs_of(self.curves, factors), self.beside, self.price, self.budget))

    def steepest(self, count: int) -> list[int]:
        """The parts whose curves rise most over the settings that were measured."""
        rises = [
            curve.points[-1].trial.error / max(curve.points[0].trial.error, 1e-9) for curve in self.curves
        ]
        return sorted(range(len(rises)), key=lambda index: -rises[index])[:count]

    def trial(self, choice: Choice) -> Trial:
        """What comes of some settings."""
        return self.trials(widths_at(self.parts, choice, self.beside))

    def corrections(self, choices: Sequence[Choice]) -> tuple[float, ...]:
        """Factors of the curves that explain the trials of ``choices`` best, held near 1."""
        rows = np.array([[loss[n] for loss, n in zip(self.losses, choice)] for choice in choices])
        wanted = np.array([self.trial(choice).error for choice in choices])
        scale = max(float(rows.mean()), 1e-9)
        stiff = STIFFNESS * scale * np.sqrt(len(choices)) * np.eye(len(self.parts))
        common = float(wanted.mean() / max(rows.sum(axis=1).mean(), 1e-9))
        factors, _ = nnls(np.vstack([rows * common, stiff]), np.concatenate([wanted, stiff.sum(axis=1)]))
        return tuple(float(factor) for factor in factors)


def _tilted(factors: Sequence[float], index: int) -> tuple[float, ...]:
    return tuple(factor * (TILT if at == index else 1.0) for at, factor in enumerate(factors))


def _parameters(graph: ComponentGraph) -> Callable[[Widths], int]:
    return lambda widths: sum(graph.parameter_counts(widths).values())


def _errors_of(trials: Trials) -> Callable[[Widths], Trial]:
    return lambda widths: trials(widths, closed_loop=False)
