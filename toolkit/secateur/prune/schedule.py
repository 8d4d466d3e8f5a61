"""From the original to its widths: in one cut, or in several with recovery and new scores in between."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.allocate import Scores, keep_best, step_of
from secateur.prune.analyse import analyse
from secateur.prune.recover import Recovery, Round, recover
from secateur.prune.surgery import Keep, cut
from secateur.records import Widths

STAGES = 4
"""Cuts of an iterative schedule; each keeps the same share of what is still to go."""

Rescore = Callable[[Policy, ComponentGraph], Scores]
"""Scores of a policy that has been cut already."""


@dataclass(frozen=True, eq=False)
class Scheduled:
    """What a schedule gives.

    Attributes:
        policy: cut, and recovered.
        keep: which channels of the original's it has, of every group that was scored.
        curve: of the recovery.
    """

    policy: Policy
    keep: Keep
    curve: tuple[Round, ...]


def one_shot(recovery: Recovery, scores: Scores, rescore: Rescore, widths: Widths) -> Scheduled:
    """One cut by the original's scores, then all of the recovery."""
    keep = keep_best(scores, {name: widths[name] for name in scores})
    pruned = cut(recovery.teacher.original, recovery.teacher.graph, keep)
    if not recovery.plan.rounds or not recovery.plan.steps:
        return Scheduled(pruned, keep, ())
    student, curve = recover(recovery, pruned, keep)
    return Scheduled(student, keep, curve)


def iterative(recovery: Recovery, scores: Scores, rescore: Rescore, widths: Widths) -> Scheduled:
    """Several cuts, the recovery divided among them, minutes as rounds; the last cut gets half of it.

    Fake quantisation is for the last. After each recovery the channels that are left are scored anew. The learning
    curve counts the steps of all.
    """
    policy, graph, plan = recovery.teacher.original, recovery.teacher.graph, recovery.plan
    full = {name: graph.full[name] for name in scores}
    steps = {name: step_of(graph.by_name[name]) for name in scores}
    keep: Keep = {name: torch.arange(width) for name, width in full.items()}
    curve: list[Round] = []
    for stage in range(1, STAGES + 1):
        aim = {name: _between(full[name], widths[name], stage / STAGES, steps[name]) for name in full}
        if stage > 1:
            graph = analyse(policy)
            scores = rescore(policy, graph)
        # A group that is down to one channel is none any more.
        local = keep_best(scores, {name: width for name, width in aim.items() if name in scores})
        policy = cut(policy, graph, local)
        keep = {**keep, **{name: keep[name][index] for name, index in local.items()}}
        rounds = _share(plan.rounds, stage)
        if not rounds or not plan.steps:
            continue
        minutes = None if plan.minutes is None else plan.minutes * rounds / plan.rounds
        before = curve[-1].steps if curve else 0

        def count(point: Round, before: int = before) -> None:
            recovery.progress(replace(point, steps=before + point.steps))

        part = replace(
            recovery,
            seed=recovery.seed + stage,
            plan=replace(
                plan, rounds=rounds, minutes=minutes, fake_quantise=plan.fake_quantise and stage == STAGES
            ),
            progress=count,
        )
        policy, points = recover(part, policy, keep)
        curve.extend(replace(point, steps=before + point.steps) for point in points)
    return Scheduled(policy, keep, tuple(curve))


def _share(rounds: int, stage: int) -> int:
    """Rounds of recovery after a cut: half of them after the last, the rest divided among the others, all in all."""
    early, others = rounds // 2, STAGES - 1
    return rounds - early if stage == STAGES else early // others + (stage > others - early % others)


def _between(full: int, least: int, share: float, step: int) -> int:
    """A width on the way down in equal ratios, in whole steps."""
    if share >= 1.0 or full == least:
        return least
    return max(least, min(full, ceil(full * (least / full) ** share / step) * step))


SCHEDULES = {"one-shot": one_shot, "iterative": iterative}
