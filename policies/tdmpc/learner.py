"""One gradient step of TD-MPC (Hansen et al. 2022, arXiv 2203.04955, section 4)."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .model import TDMPC
from .replay import Batch


@dataclass(frozen=True)
class LearnerSettings:
    """Weights of the losses and speeds of learning.

    ``saturation`` weighs the square of what the policy gives before tanh beyond ±``saturation_from``: far out there
    tanh has no gradient, and a policy that pushes to one side everywhere may stay so.
    """

    learning_rate: float = 1e-3
    horizon: int = 5
    batch: int = 128
    discount: float = 0.98
    return_steps: int = 3
    consistency: float = 2.0
    reward: float = 0.5
    value: float = 0.1
    rho: float = 0.5
    average_rate: float = 0.02
    gradient_norm: float = 10.0
    policy_noise: float = 0.05
    saturation: float = 0.0
    saturation_from: float = 2.0


class Learner:
    """The model being trained, its slowly averaged copy (targets, and what is shipped), two optimisers."""

    def __init__(self, model: TDMPC, settings: LearnerSettings, generator: torch.Generator) -> None:
        """Takes over ``model``; ``generator`` draws the policy noise."""
        self.model, self.settings, self.generator = model, settings, generator
        self.average = copy.deepcopy(model).requires_grad_(False)
        policy = list(model.policy.parameters())
        owned = {id(p) for p in policy}
        self._others = [p for p in model.parameters() if id(p) not in owned]
        self.world_optimizer = torch.optim.Adam(self._others, settings.learning_rate)
        self.policy_optimizer = torch.optim.Adam(policy, settings.learning_rate)
        self.updates = 0

    def update(self, batch: Batch, rate: float) -> tuple[Tensor, dict[str, float]]:
        """One step, at ``rate`` times the learning rate → new priorities ``[batch]`` and the losses."""
        for optimizer in (self.world_optimizer, self.policy_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * rate
        latents, priority, losses = self._update_world(batch)
        losses["policy"] = self._update_policy(latents)
        self.updates += 1
        with torch.no_grad():
            averaged, current = list(self.average.parameters()), list(self.model.parameters())
            torch._foreach_lerp_(averaged, current, self.settings.average_rate)
        return priority, losses

    def _update_world(self, batch: Batch) -> tuple[Tensor, Tensor, dict[str, float]]:
        s, horizon = self.settings, len(batch.action)
        with torch.no_grad():
            goal = self.average.encode(batch.next_observation)
            target = self._targets(batch)
        unrolled = [self.model.encode(batch.observation)]
        for action in batch.action:
            unrolled.append(self.model.next(unrolled[-1], action))
        latents = torch.stack(unrolled)
        fade = s.rho ** torch.arange(horizon)[:, None]
        consistency = (latents[1:] - goal).square().mean(-1)
        reward = (self.model.reward_of(latents[:-1], batch.action) - batch.reward).square().squeeze(-1)
        values = self.model.value_of(latents[:-1], batch.action)
        errors = [(q - target).squeeze(-1) for q in values.values()]
        value = sum(error.square() for error in errors)
        each = fade * (s.consistency * consistency + s.reward * reward + s.value * value)
        loss = (each.sum(0) * batch.weight).mean() / horizon
        self.world_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._others, s.gradient_norm)
        self.world_optimizer.step()
        priority = (fade * sum(error.detach().abs() for error in errors)).sum(0)
        means = {"consistency": consistency, "reward": reward, "value": value}
        return latents.detach(), priority, {name: float(x.detach().mean()) for name, x in means.items()}

    def _update_policy(self, latents: Tensor) -> float:
        s = self.settings
        fade = s.rho ** torch.arange(len(latents))[:, None, None]
        self.model.value.requires_grad_(False)
        before_tanh = self.model.policy[:-1](latents)
        action = self._noisy(before_tanh.tanh())
        loss = -(fade * torch.minimum(*self.model.value_of(latents, action).values())).mean()
        if s.saturation:
            excess = (before_tanh.abs() - s.saturation_from).clamp(min=0)
            loss = loss + s.saturation * (fade * excess.square()).mean()
        self.policy_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.model.value.requires_grad_(True)
        nn.utils.clip_grad_norm_(self.model.policy.parameters(), s.gradient_norm)
        self.policy_optimizer.step()
        return float(loss.detach())

    def _targets(self, batch: Batch) -> Tensor:
        """Values ``[horizon, batch, 1]``: up to ``return_steps`` rewards as seen, then the averaged value."""
        following = self._bootstrap(self.model.encode(batch.next_observation))
        rows = []
        for first in range(len(batch.reward)):
            last = min(first + self.settings.return_steps, len(batch.reward)) - 1
            value = following[last]
            for step in range(last, first - 1, -1):
                value = batch.reward[step] + self.settings.discount * value
            rows.append(value)
        return torch.stack(rows)

    def _bootstrap(self, latents: Tensor) -> Tensor:
        action = self._noisy(self.model.action_of(latents))
        return torch.minimum(*self.average.value_of(latents, action).values())

    def _noisy(self, action: Tensor) -> Tensor:
        noise = torch.randn(action.shape, generator=self.generator) * self.settings.policy_noise
        return (action + noise.clamp(-0.15, 0.15)).clamp(-1, 1)

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs, as tensors and plain numbers."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "world_optimizer": self.world_optimizer.state_dict(),
            "policy_optimizer": self.policy_optimizer.state_dict(),
            "updates": self.updates,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        for name in ("model", "average", "world_optimizer", "policy_optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.updates = state["updates"]
