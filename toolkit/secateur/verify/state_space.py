"""Where stability is judged: the observations of a rollout, or their latents, as vectors."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from secateur.policy.policy import Policy, Task
from secateur.simulate.controller import acting, stack_inputs
from secateur.simulate.rollout import Trajectory

ToState = Callable[[Trajectory], np.ndarray]
"""A trajectory of T steps → its states ``[T + 1, n]``, float64."""


def observed(trajectory: Trajectory) -> np.ndarray:
    """The observations as states: each flattened, a dict's parts in alphabetical order."""
    return _flat(trajectory.observations)


def latent_of(policy: Policy, task: Task, entry: str = "encode") -> ToState:
    """States in a latent space: what an entry of the *original* makes of each observation.

    The pruned policy's own encoder would not do: it has another latent, and can collapse it to nothing.

    Args:
        policy: the original.
        task: its ``to_inputs`` feeds the entry.
        entry: all of its outputs, flattened, are the state.

    Raises:
        SecateurError: the policy has no such entry.
    """
    encoder = policy.entry(entry)

    def to_state(trajectory: Trajectory) -> np.ndarray:
        steps = range(trajectory.length + 1)
        inputs = stack_inputs([task.to_inputs(_at(trajectory.observations, step)) for step in steps])
        with acting(policy.module):
            outputs = encoder.run(policy.module, {name: torch.from_numpy(a) for name, a in inputs.items()})
        return _flat({name: tensor.numpy() for name, tensor in outputs.items()})

    return to_state


def _flat(values: Any) -> np.ndarray:
    if isinstance(values, Mapping):
        return np.concatenate([_flat(values[name]) for name in sorted(values)], axis=1)
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1)


def _at(values: Any, step: int) -> Any:
    if isinstance(values, Mapping):
        return {name: _at(part, step) for name, part in values.items()}
    return values[step]
