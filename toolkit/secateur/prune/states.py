"""Visited states, and what each entry counts for: what importance is scored on and recovery is trained on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from secateur.policy.parts import part_names, periods_of_inputs
from secateur.policy.policy import Entry, Policy, Task, Tensors
from secateur.policy.unroll import fed_back, own_feeds, run_along, run_entries
from secateur.simulate.controller import acting
from secateur.simulate.rollout import Trajectory

OTHER_ENTRIES_WEIGHT = 0.1
"""What an entry that is not deployed counts for beside the deployed one, unless the policy says otherwise; and what a
state that is fed back counts for beside the outputs that move the robot."""


MOST_BYTES = 192 << 20
"""Of inputs that are taken from one set of episodes: 4,096 images of 64 × 64 × 3 in float32."""


def visited_inputs(
    task: Task, trajectories: Iterable[Trajectory], policy: Policy | None = None
) -> dict[str, torch.Tensor]:
    """What the task gives the policy's entries at every step of the trajectories: name → ``[steps, ...]``.

    Args:
        task: its ``to_inputs`` is used.
        trajectories: episodes.
        policy: inputs of parts that run less often are those that they last took; at every step by default. Where all
            steps are more than ``MOST_BYTES``, as of cameras, it is as many as fit, evenly, but for recurrent policies,
            which need them in a row.
    """
    held = periods_of_inputs(policy, task) if policy is not None else {}
    every = [(trajectory, step) for trajectory in trajectories for step in range(trajectory.length)]
    first = task.to_inputs(_at(every[0][0].observations, 0))
    most = MOST_BYTES // sum(array.nbytes for array in first.values())
    if most < len(every) and policy is not None and not fed_back(policy, policy.entry()):
        every = [every[row] for row in np.linspace(0, len(every) - 1, most).round().astype(int)]
    rows = []
    for trajectory, step in every:
        inputs = task.to_inputs(_at(trajectory.observations, step))
        for period in set(held.values()) - {1}:
            earlier = task.to_inputs(_at(trajectory.observations, step - step % period))
            inputs |= {name: earlier[name] for name, own in held.items() if own == period}
        rows.append(inputs)
    return {name: torch.from_numpy(np.concatenate([row[name] for row in rows])) for name in first}


def lengths_of(trajectories: Iterable[Trajectory]) -> tuple[int, ...]:
    """Steps of each episode: how the rows of ``visited_inputs`` fall into episodes."""
    return tuple(trajectory.length for trajectory in trajectories)


def met_inputs(task: Task, trajectories: Sequence[Trajectory], policy: Policy) -> dict[str, torch.Tensor]:
    """Inputs at every step: those that the task gives, and the states that ``policy`` in torch has there."""
    return with_states(policy, visited_inputs(task, trajectories, policy), lengths_of(trajectories))


def inputs_of_parts(policy: Policy, met: Tensors) -> dict[str, dict[str, torch.Tensor]]:
    """Every part's inputs, those that other parts feed as ``policy`` in torch has them: part → name → ``[n, ...]``.

    Args:
        policy: whose parts are meant.
        met: from ``met_inputs``.
    """
    names = part_names(policy)
    if len(names) == 1:
        return {names[0]: dict(met)}
    with acting(policy.module):
        calls = run_entries(policy, policy.module, met, passes=1, wanted=names[-1])
    return {call.entry.name: dict(call.inputs) for call in calls}


def with_states(policy: Policy, rows: Tensors, lengths: Sequence[int]) -> dict[str, torch.Tensor]:
    """Inputs of the deployed entry with the states that ``policy`` itself has along them.

    Args:
        policy: the one that was there, or another.
        rows: inputs, name → ``[rows, ...]``; states among them are left out of account.
        lengths: rows of each episode, in order. An episode starts with states of zero.
    """
    entry = policy.entry()
    if not (states := fed_back(policy, entry)):
        return dict(rows)
    seen = {name: tensor for name, tensor in rows.items() if name not in states}
    episodes, rest = in_episodes(seen, lengths), at_rest(policy, len(lengths))
    with acting(policy.module):
        _, before = run_along(entry, policy.module, states, episodes, rest)
    return {**seen, **in_rows(before, lengths)}


def at_rest(policy: Policy, count: int) -> dict[str, torch.Tensor]:
    """States of the deployed entry as an episode starts: zero, name → ``[count, ...]``."""
    entry = policy.entry()
    shapes = {name: entry.example_inputs[name].shape[1:] for name in fed_back(policy, entry)}
    return {name: torch.zeros(count, *shape) for name, shape in shapes.items()}


def in_episodes(rows: Tensors, lengths: Sequence[int]) -> dict[str, torch.Tensor]:
    """``[rows, ...]`` → ``[episodes, most steps, ...]``; an episode that ends early goes on with its last row."""
    ends = torch.tensor(lengths).cumsum(0)
    starts = ends - torch.tensor(lengths)
    index = starts[:, None] + torch.arange(max(lengths))[None]
    index = torch.minimum(index, ends[:, None] - 1)
    return {name: tensor[index] for name, tensor in rows.items()}


def in_rows(episodes: Tensors, lengths: Sequence[int]) -> dict[str, torch.Tensor]:
    """The inverse."""
    return {
        name: torch.cat([tensor[number, :length] for number, length in enumerate(lengths)])
        for name, tensor in episodes.items()
    }


def _at(observations: Any, step: int) -> Any:
    if isinstance(observations, Mapping):
        return {name: _at(part, step) for name, part in observations.items()}
    return observations[step]


def evenly(states: Tensors, count: int) -> dict[str, np.ndarray]:
    """``count`` states, evenly."""
    total = len(next(iter(states.values())))
    index = np.linspace(0, total - 1, min(count, total)).round().astype(int)
    return {name: tensor.numpy()[index] for name, tensor in states.items()}


def samples_of_parts(policy: Policy, met: Tensors, count: int) -> dict[str, dict[str, np.ndarray]]:
    """``inputs_of_parts`` at ``count`` states, evenly."""
    some = {name: torch.from_numpy(array) for name, array in evenly(met, count).items()}
    return {
        part: {name: tensor.numpy() for name, tensor in inputs.items()}
        for part, inputs in inputs_of_parts(policy, some).items()
    }


def weight_of(policy: Policy, entry: Entry, output: str, outputs: Collection[str]) -> float:
    """What one of an entry's outputs counts for in importance and in recovery.

    A state that the deployed entry feeds back to itself counts for less: it is there for what comes of it.
    """
    deployed = entry.name == policy.deployed
    weight = policy.entry_weights.get(entry.name, 1.0 if deployed else OTHER_ENTRIES_WEIGHT)
    states = set(own_feeds(entry, outputs).values()) if deployed else set()
    return weight * OTHER_ENTRIES_WEIGHT if output in states and states < set(outputs) else weight


def digest(tensors: Tensors) -> str:
    """SHA-256 of named tensors, in hexadecimal."""
    found = sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()
