"""Recovery: on-policy distillation from the original.

The pruned policy acts, the original labels what it met (DAgger, Ross et al. 2011, arXiv 1011.0686), and the student is
trained on all that was labelled so far. What is kept is the best by closed-loop return on episodes held out for
that, the unrecovered policy among the candidates: a recovery that makes things worse is not taken.

With fake quantisation the first half learns in float and the second with int8 in the loop, from the best of the first:
rounding from the start holds back what is still far off (docs/adr/0066). From there on students act and are judged as
int8, since int8 is what will be on the board.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from math import inf, nan

import numpy as np
import torch

from secateur.errors import Diverged
from secateur.policy.policy import Policy, Task
from secateur.prune.fake_quantise import Hold, fake_quantised
from secateur.prune.lessons import Lesson, Teacher, Training
from secateur.prune.states import lengths_of, visited_inputs
from secateur.prune.surgery import Keep
from secateur.simulate.planner import policy_controller
from secateur.simulate.rollout import rollouts

GLANCE = 512
"""States on which it is seen how far a student is, before it learns."""


@dataclass(frozen=True)
class RecoveryPlan:
    """How much recovery there is.

    Attributes:
        rounds: times the pruned policy is rolled out and then trained.
        steps: gradient steps per round.
        episodes: episodes collected per round.
        judged_episodes: episodes that each candidate is judged on; with none, the last one is taken.
        fake_quantise: train with int8 weights and activations in the loop from half of the rounds (or minutes) on, or
            once it would end without.
        enough: return at which it ends, because there is nothing left to recover; None for no such end.
        minutes: wall time after which no new round begins, but for one in float and one in int8; None for no such end.
            With it, the same seed gives the same weights only where the same number of rounds was reached.
    """

    rounds: int = 8
    steps: int = 750
    episodes: int = 8
    judged_episodes: int = 24
    fake_quantise: bool = False
    enough: float | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Round:
    """One point of the learning curve: gradient steps so far, mean loss since the last, return when judged.

    The return of a student that diverges is minus infinity.
    """

    steps: int
    loss: float
    return_mean: float


def _silent(point: Round) -> None:
    """Tells nobody."""


def _in_float(still: bool = True) -> None:
    """There are no ranges to hold."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """What recovery needs beside the policy that was cut.

    Attributes:
        teacher: of the original.
        lesson: its answers at the original's own states, to start from.
        task: where both act.
        seed: of everything random here.
        plan: how much of it.
        progress: called after each round.
    """

    teacher: Teacher
    lesson: Lesson
    task: Task
    seed: int
    plan: RecoveryPlan
    progress: Callable[[Round], None] = _silent


def recover(recovery: Recovery, pruned: Policy, keep: Keep) -> tuple[Policy, tuple[Round, ...]]:
    """Trains a copy of ``pruned`` and gives the best of it, with the learning curve.

    Args:
        recovery: by whom, on what, how long.
        pruned: what surgery made; unchanged.
        keep: what surgery kept; outputs that were cut are matched on what is left of them.
    """
    learner, plan = _Learner(recovery, pruned, keep), recovery.plan
    minutes = inf if plan.minutes is None else plan.minutes
    with ExitStack() as rounding:
        if plan.fake_quantise:
            learner.learn(plan.rounds // 2, minutes / 2)
            rounding.enter_context(learner.in_int8())
        learner.learn(plan.rounds, minutes)
    return learner.best, tuple(learner.curve)


class _Learner:
    """A student with what it learns from, round after round, and the best that it was.

    Attributes:
        curve: how well it did, so far.
    """

    def __init__(self, recovery: Recovery, pruned: Policy, keep: Keep) -> None:
        self._started = time.monotonic()
        self._recovery, self._keep = recovery, keep
        torch.manual_seed(recovery.seed)
        self._judged, self._met = _seeds(recovery.seed, recovery.plan)
        self._student = replace(pruned, module=deepcopy(pruned.module))
        self._lesson = recovery.lesson
        self._generator = torch.Generator().manual_seed(recovery.seed)
        rate = _rate(recovery.teacher, self._student, keep, recovery.lesson)
        self._optimizer = torch.optim.Adam(self._student.module.parameters(), lr=rate)
        steps = recovery.plan.rounds * recovery.plan.steps
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, max(1, steps))
        self._distance = recovery.teacher.loss(self._student, keep)
        self._hold: Hold = _in_float
        self._number = 0
        self._best: Round
        self.curve: list[Round] = []
        self._judge(nan, anew=True)

    @property
    def best(self) -> Policy:
        """The student as it was best."""
        self._student.module.load_state_dict(self._best_weights)
        return self._student

    def learn(self, until: int, minutes: float) -> None:
        """Rounds up to ``until`` of all, as long as there is something to recover; the first, whatever the minutes."""
        plan = self._recovery.plan
        while self._number < until:
            if plan.enough is not None and self._best.return_mean >= plan.enough:
                return
            self._number += 1
            self._meet(list(islice(self._met, plan.episodes)))
            self._judge(self._train())
            if (time.monotonic() - self._started) / 60 > minutes:
                return

    @contextmanager
    def in_int8(self) -> Iterator[None]:
        """Within it the student acts, learns and is judged as int8, from its best so far, which is judged anew."""
        student = self.best
        with fake_quantised(student.module) as self._hold:
            with torch.no_grad():
                self._distance(_some(self._lesson), 0)  # shows it the ranges
            self._judge(nan, anew=True)
            yield

    def _meet(self, seeds: Sequence[int]) -> None:
        """Has what the student meets labelled; nothing where it diverges: on its way there is nothing to learn."""
        student, task, teacher = self._student, self._recovery.task, self._recovery.teacher
        try:
            met = rollouts(task, policy_controller(student, task), seeds) if seeds else ()
        except Diverged:
            return
        if met:
            seen = visited_inputs(task, met, student)
            self._lesson = self._lesson.joined(teacher.lesson(seen, lengths_of(met), (student, self._keep)))

    def _train(self) -> float:
        """One round of gradient steps; their mean loss."""
        module, losses, count = self._student.module, [], self._lesson.count
        training, own = self._recovery.teacher.training, self._recovery.lesson.count
        self._hold(False)
        module.train()
        for step in range(self._recovery.plan.steps):
            batch = self._lesson.rows(_drawn(training, own, count, self._generator))
            loss = self._distance(batch, step)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 10.0)
            self._optimizer.step()
            self._schedule.step()
            losses.append(float(loss.detach()))
        module.eval()
        return float(np.mean(losses))

    def _judge(self, loss: float, anew: bool = False) -> None:
        """Adds a point to the curve; the student is the best if it is no worse than that, or ``anew``."""
        self._hold()
        reached = reached_return(self._student, self._recovery.task, self._judged)
        point = Round(self._number * self._recovery.plan.steps, loss, reached)
        self.curve.append(point)
        self._recovery.progress(point)
        if anew or not self._judged or reached >= self._best.return_mean:
            self._best = point
            self._best_weights = deepcopy(self._student.module.state_dict())


def _rate(teacher: Teacher, student: Policy, keep: Keep, lesson: Lesson) -> float:
    """The learning rate at the start."""
    training = teacher.training
    if not training.harsh:
        return training.learning_rate
    return training.learning_rate * min(1.0, teacher.error(student, keep, _some(lesson)) / training.harsh)


def _drawn(training: Training, own: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Which states a batch has, out of ``count`` of which the first ``own`` are on the original's way."""
    first = int(training.own * training.batch)
    drawn = torch.randint(0, count, (training.batch - first,), generator=generator)
    return torch.cat([drawn, torch.randint(0, own, (first,), generator=generator)]) if first else drawn


def _some(lesson: Lesson) -> Lesson:
    """The first states."""
    return lesson.rows(torch.arange(min(GLANCE, lesson.count)))


def judged_seeds(seed: int, plan: RecoveryPlan) -> list[int]:
    """Of the episodes that candidates are judged on."""
    return _seeds(seed, plan)[0]


def _seeds(seed: int, plan: RecoveryPlan) -> tuple[list[int], Iterator[int]]:
    """Of the episodes that candidates are judged on, and of those that are collected, round after round."""
    count = plan.judged_episodes + plan.rounds * plan.episodes
    seeds = [int(s) for s in np.random.SeedSequence([seed, 0x5EC]).generate_state(count)]
    return seeds[: plan.judged_episodes], iter(seeds[plan.judged_episodes :])


def mean_return(policy: Policy, task: Task, seeds: Sequence[int]) -> float:
    """Mean return over these episodes; NaN where there are none."""
    if not seeds:
        return nan
    return float(np.mean([t.return_ for t in rollouts(task, policy_controller(policy, task), seeds)]))


def reached_return(student: Policy, task: Task, seeds: Sequence[int]) -> float:
    """As ``mean_return``; minus infinity where the simulation diverges, as it does with a student that is far off."""
    try:
        return mean_return(student, task, seeds)
    except Diverged:
        return -inf
