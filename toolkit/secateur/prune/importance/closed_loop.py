"""Closed-loop sensitivity: how far the action, and then the return, moves when a channel is really gone.

Nothing is approximated by derivatives. A channel is masked by writing zeros wherever its group stands in
weights and buffers of a copy, which is what surgery does to it, for any kind of layer. What makes this
affordable: channels are masked in blocks first, and a block that moves nothing is done with; only the entries
that use a group are run; and episodes are spent on blocks that move the action most.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import nn

from secateur.errors import SecateurError
from secateur.graph.groups import ComponentGraph, Group
from secateur.policy.parts import part_names
from secateur.policy.policy import Policy, Task
from secateur.policy.unroll import Call, run_entries
from secateur.prune.importance.activations import batch_axis, spread
from secateur.prune.importance.evidence import Evidence
from secateur.prune.importance.taylor import taylor
from secateur.prune.states import weight_of
from secateur.prune.surgery import kept_indices
from secateur.simulate.planner import policy_controller
from secateur.simulate.rollout import rollouts

STATES = 128
"""States that each mask is tried on."""

BLOCK = 16
"""Channels that are masked together at first, least by first-order Taylor with least."""

NEGLIGIBLE = 1e-6
"""A block that moves the outputs by less than this share of their spread is not looked into."""

PARTS, CANDIDATES, EPISODES = 8, 32, 8
"""Parts that a group is cut into for the return; how many of all parts are tried; episodes of each trial."""


def closed_loop(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """RMS change of the outputs over visited states, plus the share of the return that is lost.

    The change is in units of each output's spread; entries that are not deployed count as elsewhere
    (``weight_of``), one call each, on the inputs of the original. With a task, the groups of the deployed
    entry are cut into parts by rank, the parts that move most are masked in closed loop, and the share of
    return that a part loses, over the same episodes, is added to its channels in equal shares. Return is only
    ever lost: a channel whose loss helps gains nothing.
    """
    order = taylor(policy, graph, evidence)
    module = deepcopy(policy.module).eval()
    masks = _Masks(module, graph)
    with torch.no_grad():
        calls = run_entries(policy, module, evidence.some(STATES), passes=1)
        moves = {
            group.name: _moves(policy, graph, masks, group, calls, order[group.name])
            for group in graph.groups
        }
    if evidence.task is not None:
        seeds = torch.randint(0, 2**31, (EPISODES,), generator=evidence.generator).tolist()
        copy = replace(policy, module=module)
        for part, lost in _lost_returns(copy, graph, masks, moves, evidence.task, seeds):
            moves[part.group.name][part.channels] += lost / len(part.channels)
    return moves


class _Masks:
    """Writes zeros where channels stand in a module, and the old values back."""

    def __init__(self, module: nn.Module, graph: ComponentGraph) -> None:
        self.module, self.graph = module, graph
        self.tensors = dict([*module.named_parameters(), *module.named_buffers()])

    @contextmanager
    def masked(self, group: Group, channels: Sequence[int]) -> Iterator[None]:
        """The module without these channels of the group."""
        chosen = torch.tensor(channels, dtype=torch.int64)
        old: list[tuple[torch.Tensor, int, torch.Tensor, torch.Tensor]] = []
        for member in group.members:
            blocks = torch.arange(member.repeats)[:, None, None] * (member.stride * group.width)
            within = chosen[None, :, None] * member.stride + torch.arange(member.stride)[None, None, :]
            index = (member.offset + blocks + within).reshape(-1)
            tensor = self.tensors[member.parameter].data
            old.append((tensor, member.axis, index, tensor.index_select(member.axis, index)))
            tensor.index_fill_(member.axis, index, 0)
        try:
            yield
        finally:
            for tensor, axis, index, values in reversed(old):
                tensor.index_copy_(axis, index, values)


def _moves(
    policy: Policy,
    graph: ComponentGraph,
    masks: _Masks,
    group: Group,
    calls: Sequence[Call],
    order: torch.Tensor,
) -> torch.Tensor:
    """How far each channel alone moves the outputs, ``[width]``; blocks in ascending ``order``."""
    uses = {c.entry for c in graph.trace.contractions if group.name in _groups_of(graph, c.weight)}
    relevant = [call for call in calls if not uses or call.entry.name in uses]
    moved = torch.zeros(group.width)
    ranked = torch.argsort(order, stable=True).tolist()
    for start in range(0, group.width, BLOCK):
        block = ranked[start : start + BLOCK]
        together = _move(policy, graph, masks, group, block, relevant)
        if together < NEGLIGIBLE:
            moved[block] = together / len(block)
        else:
            for channel in block:
                moved[channel] = _move(policy, graph, masks, group, [channel], relevant)
    return moved


def _groups_of(graph: ComponentGraph, weight: str) -> set[str]:
    return {name for axis in graph.trace.weights[weight] for name in graph.groups_on(axis)}


def _move(
    policy: Policy,
    graph: ComponentGraph,
    masks: _Masks,
    group: Group,
    channels: Sequence[int],
    calls: Sequence[Call],
) -> float:
    """RMS change of the outputs that are left, in units of their spread, summed over calls by weight."""
    gone = set(channels)
    rest = {group.name: torch.tensor([c for c in range(group.width) if c not in gone], dtype=torch.int64)}
    total = 0.0
    with masks.masked(group, channels):
        for call in calls:
            for name, output in call.entry.run(masks.module, call.inputs).items():
                wanted = call.outputs[name]
                states = len(next(iter(call.inputs.values())))
                change = (output - wanted) / spread(wanted, batch_axis(wanted, states))
                for position, axis in enumerate(graph.trace.outputs[call.entry.name, name]):
                    if group.name in graph.groups_on(axis):
                        change = change.index_select(position, kept_indices(graph, axis, rest))
                if change.numel():
                    weight = weight_of(policy, call.entry, name, call.outputs)
                    total += weight * float(change.square().mean().sqrt())
    return total


@dataclass(frozen=True)
class _Part:
    """Channels of neighbouring rank of one group, and how far they move outputs in sum."""

    group: Group
    channels: list[int]
    move: float


def _lost_returns(
    policy: Policy,
    graph: ComponentGraph,
    masks: _Masks,
    moves: dict[str, torch.Tensor],
    task: Task,
    seeds: list[int],
) -> Iterator[tuple[_Part, float]]:
    """The parts that move most, each with the share of the return that is lost without it, from 0."""
    deployed = set(policy.planning.entries if policy.planning and policy.plans else part_names(policy))
    on_board = {c.weight for c in graph.trace.contractions if c.entry in deployed}
    parts = []
    for group in graph.groups:
        if not on_board & {member.parameter for member in group.members}:
            continue
        ranked = torch.argsort(moves[group.name], stable=True).tolist()
        size = ceil(group.width / PARTS)
        for start in range(0, group.width, size):
            channels = ranked[start : start + size]
            parts.append(_Part(group, channels, float(moves[group.name][channels].sum())))
    parts = sorted((part for part in parts if part.move > 0), key=lambda part: -part.move)[:CANDIDATES]
    baseline = _return(policy, task, seeds)
    for part in parts:
        with masks.masked(part.group, part.channels):
            try:
                lost = (baseline - _return(policy, task, seeds)) / max(abs(baseline), 1e-9)
            except SecateurError:  # the simulation diverged without these channels; it did not with them
                lost = 1.0
        yield part, max(0.0, lost)


def _return(policy: Policy, task: Task, seeds: list[int]) -> float:
    trajectories = rollouts(task, policy_controller(policy, task), seeds)
    return sum(trajectory.return_ for trajectory in trajectories) / len(seeds)
