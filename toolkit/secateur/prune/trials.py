"""What widths are worth, by trying: cut, recover briefly, measure.

Two numbers come out of a trial. The *error* is the teacher's distance on states that no training saw, in units of the
outputs' variance; it is smooth, and small differences show. The *share of the return kept*, over a few episodes, is
what counts, but is blind while nothing is lost yet, and takes longer to measure. Curves are made of errors; candidates
are judged by their loss, which is the error plus what is lost of the return. How well the error alone foretells the
return is reported as a rank correlation.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
import torch
from scipy import stats

from secateur.policy.policy import Policy, Task
from secateur.prune.allocate import Scores, keep_best
from secateur.prune.lessons import Lesson, Teacher
from secateur.prune.recover import Recovery, RecoveryPlan, mean_return, reached_return, recover
from secateur.prune.surgery import cut
from secateur.records import Widths

HOPELESS = 1e3
"""The error, and the loss of return, of a policy that diverges."""


@dataclass(frozen=True)
class TrialPlan:
    """How much a trial takes.

    Attributes:
        steps: gradient steps of recovery.
        episodes: that the return is judged on.
        final_rounds: of the same number of steps, each after a rollout, that a finalist gets.
        states: that recovery draws from, and as many again that the error is measured on.
    """

    steps: int = 300
    episodes: int = 16
    final_rounds: int = 4
    states: int = 2048


@dataclass(frozen=True)
class Trial:
    """What came of some widths.

    Attributes:
        widths: group → width.
        error: distance to the original on states held out, in units of the outputs' variance.
        kept: share of the original's return; None where no episode was run.
        rounds: of recovery; one, or more for a finalist.
    """

    widths: Widths
    error: float
    kept: float | None
    rounds: int = 1

    @property
    def loss(self) -> float:
        """What allocation makes small."""
        return self.error + (max(0.0, 1.0 - self.kept) if self.kept is not None else 0.0)


def judged_short(trials: Iterable[Trial]) -> list[Trial]:
    """Those of one round whose return is known."""
    return [trial for trial in trials if trial.kept is not None and trial.rounds == 1]


def rank_correlation(trials: Iterable[Trial]) -> float | None:
    """Spearman's ρ between error and return lost, over judged short trials; None where either is constant."""
    judged = judged_short(trials)
    errors, lost = [t.error for t in judged], [-t.kept for t in judged if t.kept is not None]
    if len(set(errors)) < 3 or len(set(lost)) < 3:
        return None
    return float(stats.spearmanr(errors, lost).statistic)


class Trials:
    """Tries widths out, each only once.

    Args:
        teacher: of the original.
        lesson: the original's answers on its own way, of which trials learn from some and are measured on others.
        scores: which channels of a group stay.
        task: what the policy does.
        seed: of everything random; the same for all trials.
        plan: how much each takes.
        known: records of earlier trials of the same kind, from ``records``.
        progress: told of every new trial.
    """

    def __init__(
        self,
        teacher: Teacher,
        lesson: Lesson,
        scores: Scores,
        task: Task,
        seed: int,
        plan: TrialPlan,
        known: Mapping[str, Any] | None = None,
        progress: Callable[[Trial], None] = lambda _: None,
    ) -> None:
        self.teacher, self.scores, self.task, self.seed, self.plan = teacher, scores, task, seed, plan
        self.progress = progress
        self._lesson = lesson
        self._episodes = [int(s) for s in np.random.SeedSequence([seed, 0x7A1]).generate_state(plan.episodes)]
        self.original_return: float | None = None
        self._done: dict[tuple[int, ...], Trial] = {}
        self._asked: dict[tuple[int, ...], bool] = {}
        self.learn(known or {})

    def learn(self, known: Mapping[str, Any]) -> None:
        """Adds records of trials of the same kind to what is remembered; what is known already stays."""
        if self.original_return is None:
            self.original_return = known.get("original_return")
        for record in known.get("trials", ()):
            trial = Trial(**record)
            own = self._done.get(self._key(trial.widths, trial.rounds))
            if own is None or own.kept is None:
                self._remember(trial)

    def __call__(self, widths: Widths, closed_loop: bool = True) -> Trial:
        """Tries the widths out, or remembers what came of them; without the closed loop only the error is measured."""
        return self._trial(widths, closed_loop, 1)

    def final(self, widths: Widths) -> Trial:
        """A longer trial, with states that the student itself meets."""
        return self._trial(widths, True, self.plan.final_rounds)

    def _trial(self, widths: Widths, closed_loop: bool, rounds: int) -> Trial:
        complete = {**self.teacher.graph.full, **widths}
        key = self._key(complete, rounds)
        known = self._done.get(key)
        if known is None or (closed_loop and known.kept is None):
            known = self._try(complete, closed_loop, rounds)
            self._remember(known)
            self._asked[key] = closed_loop or self._asked.get(key, False)
            self.progress(known)
        self._asked[key] = closed_loop or self._asked.get(key, False)
        return self._as_asked(key)

    def _as_asked(self, key: tuple[int, ...]) -> Trial:
        """As if nothing had been remembered from earlier runs, which may have asked for more."""
        known = self._done[key]
        return known if self._asked[key] else replace(known, kept=None)

    @property
    def asked(self) -> tuple[Trial, ...]:
        """Every trial that was asked for, in order, whether it was made now or is remembered."""
        return tuple(self._as_asked(key) for key in self._asked)

    @property
    def records(self) -> dict[str, Any]:
        """All of it as plain data."""
        trials = [asdict(trial) for trial in self._done.values()]
        return {"original_return": self.original_return, "trials": trials}

    def _key(self, widths: Widths, rounds: int) -> tuple[int, ...]:
        return (rounds, *(widths[name] for name in self.teacher.graph.full))

    def _remember(self, trial: Trial) -> None:
        self._done[self._key(trial.widths, trial.rounds)] = trial

    def _try(self, widths: Widths, closed_loop: bool, rounds: int) -> Trial:
        train, held_out = self._parts
        keep = keep_best(self.scores, {name: n for name, n in widths.items() if name in self.scores})
        pruned = cut(self.teacher.original, self.teacher.graph, keep)
        met = self.plan.episodes // 2 if rounds > 1 else 0
        plan = RecoveryPlan(rounds=rounds, steps=self.plan.steps, episodes=met, judged_episodes=0)
        student, _ = recover(Recovery(self.teacher, train, self.task, self.seed, plan), pruned, keep)
        error = self.teacher.error(student, keep, held_out)
        return Trial(
            dict(widths),
            error if isfinite(error) else HOPELESS,
            self._kept(student) if closed_loop else None,
            rounds,
        )

    @cached_property
    def _parts(self) -> tuple[Lesson, Lesson]:
        """What trials learn from, and what their error is measured on."""
        order = torch.from_numpy(np.random.default_rng(self.seed).permutation(self._lesson.count))
        each = min(self.plan.states, self._lesson.count // 2)
        return self._lesson.rows(order[:each]), self._lesson.rows(order[each : 2 * each])

    def _kept(self, student: Policy) -> float:
        if self.original_return is None:
            self.original_return = mean_return(self.teacher.original, self.task, self._episodes)
        reached = reached_return(student, self.task, self._episodes)
        kept = 1.0 - (self.original_return - reached) / max(abs(self.original_return), 1e-9)
        return max(kept, 1.0 - HOPELESS)
