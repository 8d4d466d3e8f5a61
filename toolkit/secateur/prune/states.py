"""Visited states, and what each entry counts for: what importance is scored on and recovery is trained on."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from secateur.policy.policy import Entry, Policy, Task, Tensors
from secateur.simulate.rollout import Trajectory

OTHER_ENTRIES_WEIGHT = 0.1
"""What an entry that is not deployed counts for beside the deployed one, unless the policy says otherwise."""


def visited_inputs(task: Task, trajectories: Iterable[Trajectory]) -> dict[str, torch.Tensor]:
    """The deployed entry's inputs at every step of the trajectories: name → ``[steps, ...]``."""
    rows: list[dict[str, np.ndarray]] = []
    for trajectory in trajectories:
        rows.extend(task.to_inputs(_at(trajectory.observations, step)) for step in range(trajectory.length))
    return {name: torch.from_numpy(np.concatenate([row[name] for row in rows])) for name in rows[0]}


def _at(observations: Any, step: int) -> Any:
    if isinstance(observations, Mapping):
        return {name: _at(part, step) for name, part in observations.items()}
    return observations[step]


def evenly(states: Tensors, count: int) -> dict[str, np.ndarray]:
    """``count`` states, evenly."""
    total = len(next(iter(states.values())))
    index = np.linspace(0, total - 1, min(count, total)).round().astype(int)
    return {name: tensor.numpy()[index] for name, tensor in states.items()}


def weight_of(policy: Policy, entry: Entry) -> float:
    """What an entry counts for in importance and in recovery."""
    usual = 1.0 if entry.name == policy.deployed else OTHER_ENTRIES_WEIGHT
    return policy.entry_weights.get(entry.name, usual)


def digest(tensors: Tensors) -> str:
    """SHA-256 of named tensors, in hexadecimal."""
    found = sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()
