"""Recovery: on-policy distillation from the original, over all entries.

The pruned policy acts, the original labels what it met (DAgger, Ross et al. 2011, arXiv 1011.0686), and every
entry's outputs are matched. What is kept is the best by closed-loop return on episodes held out for that, the
unrecovered policy among the candidates: a recovery that makes things worse is not taken.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy, Task, Tensors
from secateur.policy.unroll import Call, run_entries
from secateur.prune.states import visited_inputs, weight_of
from secateur.prune.surgery import Keep, kept_indices
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts

CHUNK = 4096
"""States that are labelled at a time."""


@dataclass(frozen=True)
class RecoveryPlan:
    """How much recovery there is.

    Attributes:
        rounds: times the pruned policy is rolled out and then trained.
        steps: gradient steps per round.
        episodes: episodes collected per round.
        judged_episodes: episodes that each candidate is judged on.
        batch: states per step.
        learning_rate: at the start; it falls to zero along a cosine.
        others_every: entries that are not deployed are matched every so many steps.
    """

    rounds: int = 8
    steps: int = 750
    episodes: int = 8
    judged_episodes: int = 24
    batch: int = 128
    learning_rate: float = 2e-3
    others_every: int = 8


@dataclass(frozen=True)
class Round:
    """One point of the learning curve: gradient steps so far, mean loss since the last, return when judged."""

    steps: int
    loss: float
    return_mean: float


def recover(
    original: Policy,
    pruned: Policy,
    graph: ComponentGraph,
    keep: Keep,
    task: Task,
    visited: Tensors,
    seed: int,
    plan: RecoveryPlan,
    progress: Callable[[Round], None] = lambda _: None,
) -> tuple[Policy, tuple[Round, ...]]:
    """Trains a copy of ``pruned`` and gives the best of it, with the learning curve.

    Args:
        original: the teacher.
        pruned: what surgery made; unchanged.
        graph: of the original.
        keep: what surgery kept; outputs that were cut are matched on what is left of them.
        task: where both act.
        visited: the original's own states, to start from: name → ``[steps, ...]``.
        seed: of everything random here.
        plan: how much of it.
        progress: called after each round.
    """
    torch.manual_seed(seed)
    seeds = np.random.SeedSequence([seed, 0x5EC]).generate_state(
        plan.rounds * plan.episodes + plan.judged_episodes
    )
    judged = [int(s) for s in seeds[: plan.judged_episodes]]
    fresh = iter(int(s) for s in seeds[plan.judged_episodes :])
    student = replace(pruned, module=deepcopy(pruned.module))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(student.module.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.rounds * plan.steps)
    labelled = _label(original, graph, keep, visited)
    best = Round(0, float("nan"), _judge(student, task, judged))
    curve, best_weights = [best], deepcopy(student.module.state_dict())
    progress(best)
    deployed = replace(student, entries=(student.entry(),))
    for number in range(plan.rounds):
        collected = rollouts(
            task, torch_controller(student, task), [next(fresh) for _ in range(plan.episodes)]
        )
        labelled = labelled.joined(_label(original, graph, keep, visited_inputs(task, collected)))
        losses = []
        student.module.train()
        for step in range(plan.steps):
            batch = labelled.rows(torch.randint(0, labelled.count, (plan.batch,), generator=generator))
            loss = _distance(student if step % plan.others_every == 0 else deployed, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.module.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        student.module.eval()
        point = Round((number + 1) * plan.steps, float(np.mean(losses)), _judge(student, task, judged))
        curve.append(point)
        progress(point)
        if point.return_mean >= best.return_mean:
            best, best_weights = point, deepcopy(student.module.state_dict())
    student.module.load_state_dict(best_weights)
    return student, tuple(curve)


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Visited states with the original's answers: (entry, which call of it, output) → ``[states, ...]``."""

    states: Tensors
    answers: Mapping[tuple[str, int, str], torch.Tensor]

    @property
    def count(self) -> int:
        return len(next(iter(self.states.values())))

    def rows(self, index: torch.Tensor) -> "_Labelled":
        return _Labelled(
            {n: t[index] for n, t in self.states.items()}, {k: t[index] for k, t in self.answers.items()}
        )

    def joined(self, other: "_Labelled") -> "_Labelled":
        return _Labelled(
            {n: torch.cat([t, other.states[n]]) for n, t in self.states.items()},
            {k: torch.cat([t, other.answers[k]]) for k, t in self.answers.items()},
        )


def _label(original: Policy, graph: ComponentGraph, keep: Keep, states: Tensors) -> _Labelled:
    """The original's answers, on the channels that the pruned policy still has."""
    pieces: list[_Labelled] = []
    for start in range(0, len(next(iter(states.values()))), CHUNK):
        part = {name: array[start : start + CHUNK] for name, array in states.items()}
        with torch.no_grad():
            answers = _answers(run_entries(original, original.module, part))
        kept = {key: _kept(graph, keep, key, answer) for key, answer in answers.items()}
        pieces.append(_Labelled(part, kept))
    return reduce(_Labelled.joined, pieces)


def _answers(calls: Sequence[Call]) -> dict[tuple[str, int, str], torch.Tensor]:
    """Outputs by entry, number of the call of that entry, and name."""
    seen: dict[str, int] = {}
    found = {}
    for call in calls:
        number = seen.get(call.entry.name, 0)
        seen[call.entry.name] = number + 1
        for name, output in call.outputs.items():
            found[call.entry.name, number, name] = output
    return found


def _distance(student: Policy, batch: _Labelled) -> torch.Tensor:
    """Squared error of each output in units of the original's spread, weighted by entry."""
    total = torch.zeros(())
    for (entry, number, name), answer in _answers(run_entries(student, student.module, batch.states)).items():
        wanted = batch.answers[entry, number, name]
        spread = wanted.std(dim=0, keepdim=True).mean().clamp_min(1e-3)
        total = total + weight_of(student, student.entry(entry)) * (((answer - wanted) / spread) ** 2).mean()
    return total


def _kept(graph: ComponentGraph, keep: Keep, key: tuple[str, int, str], wanted: torch.Tensor) -> torch.Tensor:
    """An output of the original without the channels that were cut."""
    for position, axis in enumerate(graph.trace.outputs[key[0], key[2]]):
        if graph.groups_on(axis):
            wanted = wanted.index_select(position, kept_indices(graph, axis, keep))
    return wanted


def _judge(policy: Policy, task: Task, seeds: Sequence[int]) -> float:
    return float(np.mean([t.return_ for t in rollouts(task, torch_controller(policy, task), seeds)]))
