"""Prioritised replay of short stretches of experience (Schaul et al. 2016, arXiv 1511.05952)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Stretches of ``horizon`` steps, time first.

    Attributes:
        observation: where each stretch starts, ``[batch, width]``.
        action: ``[horizon, batch, width]``.
        reward: ``[horizon, batch, 1]``.
        next_observation: ``[horizon, batch, width]``.
        index: flat places in the buffer, for ``set_priority``.
        weight: importance-sampling weights ``[batch]``, at most 1.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    index: Tensor
    weight: Tensor


class Replay:
    """All transitions of one training run, ``[step, environment]``; environments reset together.

    A stretch never crosses the end of an episode.
    """

    def __init__(
        self, steps: int, environments: int, episode_steps: int, observation_size: int, action_size: int
    ) -> None:
        """Room for ``steps`` steps of every environment."""
        shape = (steps, environments)
        self.tensors = {
            "observation": torch.zeros(*shape, observation_size),
            "action": torch.zeros(*shape, action_size),
            "reward": torch.zeros(*shape, 1),
            "next_observation": torch.zeros(*shape, observation_size),
            "priority": torch.zeros(shape),
        }
        self.episode_steps = episode_steps
        self.filled = 0

    def add(self, observation: Tensor, action: Tensor, reward: Tensor, next_observation: Tensor) -> None:
        """One step of every environment, with the highest priority so far."""
        new = {
            "observation": observation,
            "action": action,
            "reward": reward,
            "next_observation": next_observation,
        }
        for name, value in new.items():
            self.tensors[name][self.filled] = value
        highest = self.tensors["priority"][: self.filled].max() if self.filled else torch.tensor(1.0)
        self.tensors["priority"][self.filled] = highest
        self.filled += 1

    def sample(
        self, batch: int, horizon: int, generator: torch.Generator, alpha: float = 0.6, beta: float = 0.4
    ) -> Batch:
        """Draws stretches with probability proportional to priority ** alpha."""
        start = torch.arange(self.filled)
        whole = (start % self.episode_steps + horizon <= self.episode_steps) & (
            start + horizon <= self.filled
        )
        mass = self.tensors["priority"][: self.filled].pow(alpha) * whole[:, None]
        cumulative = mass.flatten().double().cumsum(0)
        drawn = torch.rand(batch, generator=generator, dtype=torch.float64) * cumulative[-1]
        index = torch.searchsorted(cumulative, drawn, right=True).clamp(max=len(cumulative) - 1)
        probability = mass.flatten()[index] / cumulative[-1].float()
        weight = (probability * whole.sum() * mass.shape[1]).clamp(min=1e-8).pow(-beta)
        environments = mass.shape[1]
        step, env = index // environments, index % environments
        steps = step + torch.arange(horizon)[:, None]
        t = self.tensors
        return Batch(
            t["observation"][step, env],
            t["action"][steps, env],
            t["reward"][steps, env],
            t["next_observation"][steps, env],
            index,
            weight / weight.max(),
        )

    def set_priority(self, index: Tensor, priority: Tensor) -> None:
        """Priorities ``[batch]`` of the stretches drawn at ``index``."""
        self.tensors["priority"].view(-1)[index] = priority.clamp(1e-4, 1e4)
