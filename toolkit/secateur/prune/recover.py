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
from contextlib import ExitStack
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
from secateur.simulate.rollout import Trajectory, rollouts

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
        patience: rounds without a better return after which it ends; None for no such end.
        minutes: wall time after which no new round begins; None for no such end. With it, the same seed gives the same
            weights only where the same number of rounds was reached.
    """

    rounds: int = 8
    steps: int = 750
    episodes: int = 8
    judged_episodes: int = 24
    fake_quantise: bool = False
    enough: float | None = None
    patience: int | None = None
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
    teacher, lesson, task, plan = recovery.teacher, recovery.lesson, recovery.task, recovery.plan
    seed, progress = recovery.seed, recovery.progress
    torch.manual_seed(seed)
    started, minutes = time.monotonic(), inf if plan.minutes is None else plan.minutes
    judged, met = _seeds(seed, plan)
    student = replace(pruned, module=deepcopy(pruned.module))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(student.module.parameters(), lr=_rate(teacher, student, keep, lesson))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, plan.rounds * plan.steps))
    distance, own = teacher.loss(student, keep), lesson.count
    curve: list[Round] = []
    best_weights, best_at = deepcopy(student.module.state_dict()), 0

    def tell(number: int, loss: float) -> Round:
        hold()
        try:
            reached = mean_return(student, task, judged)
        except Diverged:  # so does the simulation, now and then, with who was just cut
            reached = -inf
        curve.append(Round(number * plan.steps, loss, reached))
        progress(curve[-1])
        return curve[-1]

    def enough() -> bool:
        return plan.enough is not None and best.return_mean >= plan.enough

    def elapsed() -> float:
        """Minutes."""
        return (time.monotonic() - started) / 60

    hold: Hold = _in_float
    best = tell(0, nan)
    in_int8 = stuck = False
    with ExitStack() as rounding:
        for number in range(1, plan.rounds + 1):
            half = number > plan.rounds / 2 or elapsed() > minutes / 2
            if plan.fake_quantise and not in_int8 and (enough() or stuck or half):
                in_int8 = True
                student.module.load_state_dict(best_weights)
                hold = rounding.enter_context(fake_quantised(student.module))
                with torch.no_grad():
                    distance(lesson.rows(torch.arange(min(GLANCE, lesson.count))), 0)  # shows it the ranges
                best, best_at = tell(number - 1, nan), number - 1
            if enough():
                break
            collected = _collected(student, task, list(islice(met, plan.episodes)))
            if collected:
                seen = visited_inputs(task, collected, student)
                lesson = lesson.joined(teacher.lesson(seen, lengths_of(collected), (student, keep)))
            hold(False)
            losses = []
            student.module.train()
            for step in range(plan.steps):
                batch = lesson.rows(_drawn(teacher.training, own, lesson.count, generator))
                loss = distance(batch, step)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(student.module.parameters(), 10.0)
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
            student.module.eval()
            point = tell(number, float(np.mean(losses)))
            if not judged or point.return_mean >= best.return_mean:
                best, best_weights, best_at = point, deepcopy(student.module.state_dict()), number
            stuck = plan.patience is not None and number - best_at >= plan.patience
            if stuck and (in_int8 or not plan.fake_quantise):
                break
            if elapsed() > minutes:
                break
    student.module.load_state_dict(best_weights)
    return student, tuple(curve)


def _rate(teacher: Teacher, student: Policy, keep: Keep, lesson: Lesson) -> float:
    """The learning rate at the start."""
    training = teacher.training
    if not training.harsh:
        return training.learning_rate
    error = teacher.error(student, keep, lesson.rows(torch.arange(min(GLANCE, lesson.count))))
    return training.learning_rate * min(1.0, error / training.harsh)


def _drawn(training: Training, own: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Which states a batch has, out of ``count`` of which the first ``own`` are on the original's way."""
    first = int(training.own * training.batch)
    drawn = torch.randint(0, count, (training.batch - first,), generator=generator)
    return torch.cat([drawn, torch.randint(0, own, (first,), generator=generator)]) if first else drawn


def judged_seeds(seed: int, plan: RecoveryPlan) -> list[int]:
    """Of the episodes that candidates are judged on."""
    return _seeds(seed, plan)[0]


def _seeds(seed: int, plan: RecoveryPlan) -> tuple[list[int], Iterator[int]]:
    """Of the episodes that candidates are judged on, and of those that are collected, round after round."""
    count = plan.judged_episodes + plan.rounds * plan.episodes
    seeds = [int(s) for s in np.random.SeedSequence([seed, 0x5EC]).generate_state(count)]
    return seeds[: plan.judged_episodes], iter(seeds[plan.judged_episodes :])


def _collected(student: Policy, task: Task, seeds: Sequence[int]) -> tuple[Trajectory, ...]:
    """Episodes of a student; none where it diverges, since then there is nothing to learn from on its way."""
    try:
        return rollouts(task, policy_controller(student, task), seeds) if seeds else ()
    except Diverged:
        return ()


def mean_return(policy: Policy, task: Task, seeds: Sequence[int]) -> float:
    """Mean return over these episodes; NaN where there are none."""
    if not seeds:
        return nan
    return float(np.mean([t.return_ for t in rollouts(task, policy_controller(policy, task), seeds)]))
