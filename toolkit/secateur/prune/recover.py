"""Recovery: on-policy distillation from the original, over all entries.

The pruned policy acts, the original labels what it met (DAgger, Ross et al. 2011, arXiv 1011.0686), and every
entry's outputs are matched. What is kept is the best by closed-loop return on episodes held out for that, the
unrecovered policy among the candidates: a recovery that makes things worse is not taken.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy, Task, Tensors
from secateur.prune.states import Call, run_entries, visited_inputs, weight_of
from secateur.prune.surgery import Keep, kept_indices
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts


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

    rounds: int = 5
    steps: int = 600
    episodes: int = 8
    judged_episodes: int = 16
    batch: int = 128
    learning_rate: float = 2e-3
    others_every: int = 4


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
    seeds = np.random.SeedSequence([seed, 0x5EC]).generate_state(plan.rounds * plan.episodes + plan.judged_episodes)
    judged = [int(s) for s in seeds[: plan.judged_episodes]]
    fresh = iter(int(s) for s in seeds[plan.judged_episodes :])
    student = replace(pruned, module=deepcopy(pruned.module))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(student.module.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.rounds * plan.steps)
    states = dict(visited)
    best = Round(0, float("nan"), _judge(student, task, judged))
    curve, best_weights = [best], deepcopy(student.module.state_dict())
    progress(best)
    deployed = replace(original, entries=(original.entry(),))
    for number in range(plan.rounds):
        collected = rollouts(task, torch_controller(student, task), [next(fresh) for _ in range(plan.episodes)])
        states = {name: torch.cat([states[name], new]) for name, new in visited_inputs(task, collected).items()}
        losses = []
        student.module.train()
        for step in range(plan.steps):
            rows = torch.randint(0, len(next(iter(states.values()))), (plan.batch,), generator=generator)
            batch = {name: array[rows] for name, array in states.items()}
            shown = original if step % plan.others_every == 0 else deployed
            loss = _distance(shown, original, student, graph, keep, batch)
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


def _judge(policy: Policy, task: Task, seeds: Sequence[int]) -> float:
    return float(np.mean([t.return_ for t in rollouts(task, torch_controller(policy, task), seeds)]))


def _distance(shown: Policy, original: Policy, student: Policy, graph: ComponentGraph, keep: Keep, batch: Tensors) -> torch.Tensor:
    """Squared error of each output in units of the teacher's spread, weighted by entry."""
    with torch.no_grad():
        targets = run_entries(shown, original.module, batch)
    answers = run_entries(replace(student, entries=tuple(student.entry(e.name) for e in shown.entries)), student.module, batch)
    total = torch.zeros(())
    for target, answer in zip(targets, answers):
        for name, wanted in target.outputs.items():
            wanted = _kept(graph, keep, target, name, wanted)
            spread = wanted.std(dim=0, keepdim=True).mean().clamp_min(1e-3)
            error = (((answer.outputs[name] - wanted) / spread) ** 2).mean()
            total = total + weight_of(original, target.entry) * error
    return total


def _kept(graph: ComponentGraph, keep: Keep, call: Call, name: str, wanted: torch.Tensor) -> torch.Tensor:
    """The teacher's output on the channels that the student still has."""
    for position, axis in enumerate(graph.trace.outputs[call.entry.name, name]):
        if graph.groups_on(axis):
            wanted = wanted.index_select(position, kept_indices(graph, axis, keep))
    return wanted
