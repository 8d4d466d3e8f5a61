"""Model-predictive path integral control over the latent model, with the policy's own plans mixed in.

Section 3 of Hansen et al. 2022 (arXiv 2203.04955): sample action sequences, score them by the rewards that
the model foresees plus the value of where they end, and refit a Gaussian to the best.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

DISCOUNT = 0.98
"""Per control step of 0.04 s: two seconds count."""


@dataclass(frozen=True)
class PlannerSettings:
    """How much planning there is in one decision.

    Attributes:
        horizon: control steps looked ahead.
        samples: action sequences drawn from the Gaussian in one iteration.
        policy_samples: sequences that follow the policy, with noise, in the latent model.
        elites: sequences the Gaussian is fitted to.
        iterations: refits.
        temperature: how sharply better elites weigh more.
        momentum: share of the mean that an iteration keeps.
        start_std: standard deviation at the start of each decision.
        floor_std: smallest standard deviation.
    """

    horizon: int = 5
    samples: int = 48
    policy_samples: int = 6
    elites: int = 12
    iterations: int = 2
    temperature: float = 0.5
    momentum: float = 0.1
    start_std: float = 1.0
    floor_std: float = 0.05


class Planner:
    """A controller that plans anew at every step, warm-started from its last plan.

    It works for one environment (``planner(observation)``) or for many at once (``plan``). The random numbers
    come from its own generator, so the same seed and observations give the same actions.
    """

    def __init__(self, module: Any, settings: PlannerSettings | None = None, seed: int = 0) -> None:
        """Plans with ``module``, a TDMPC or anything with its methods; pruned copies included."""
        self.module = module
        self.settings = settings or PlannerSettings()
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """Forgets the last plan (call between episodes) and, if a seed is given, restarts the generator."""
        self._mean: torch.Tensor | None = None
        if seed is not None:
            self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Observation ``[5]`` → action ``[1]``, float32."""
        rows = torch.as_tensor(np.asarray(observation, np.float32)).reshape(1, -1)
        return self.plan(rows)[0].numpy()

    @torch.no_grad()
    def plan(
        self, observations: torch.Tensor, floor_std: float | None = None, explore: bool = False
    ) -> torch.Tensor:
        """Observations ``[n, 5]`` → actions ``[n, 1]``, each row planned on its own.

        Args:
            observations: one row per environment; rows keep their place between calls.
            floor_std: overrides the setting, as exploration decays during training.
            explore: draw the action from the fitted Gaussian instead of taking its mean.
        """
        s = self.settings
        floor = s.floor_std if floor_std is None else floor_std
        start = self.module.encode(observation=observations)
        n, horizon = len(observations), s.horizon
        latent = start.repeat_interleave(s.policy_samples, 0)
        followed = self._follow_policy(latent, floor).view(n, s.policy_samples, horizon, -1)
        mean = self._warm_start(n, horizon, followed.shape[-1])
        std = torch.full_like(mean, max(s.start_std, floor))
        for _ in range(s.iterations):
            drawn = mean[:, None] + std[:, None] * self._normal(n, s.samples, horizon, mean.shape[-1])
            plans = torch.cat([drawn.clamp(-1, 1), followed], 1)
            each = plans.shape[1]
            score = self._score(start.repeat_interleave(each, 0), plans.flatten(0, 1)).view(n, each)
            best, index = score.topk(min(s.elites, each), dim=1)
            elite = plans[torch.arange(n)[:, None], index]
            weight = torch.softmax(s.temperature * (best - best[:, :1]), dim=1)[:, :, None, None]
            fitted = (weight * elite).sum(1)
            spread = (weight * (elite - fitted[:, None]).square()).sum(1).sqrt()
            mean = s.momentum * mean + (1 - s.momentum) * fitted
            std = spread.clamp(floor, max(s.start_std, floor))
        self._mean = mean
        action = mean[:, 0]
        if explore:
            action = action + std[:, 0] * self._normal(*action.shape)
        return action.clamp(-1, 1)

    def _follow_policy(self, latent: torch.Tensor, std: float) -> torch.Tensor:
        """Latents ``[rows, 50]`` → the policy's actions ``[rows, horizon, 1]`` with noise ``std``."""
        actions = []
        for _ in range(self.settings.horizon):
            action = self.module.action_of(latent)
            action = (action + std * self._normal(*action.shape)).clamp(-1, 1)
            latent = self.module.next(latent=latent, action=action)
            actions.append(action)
        return torch.stack(actions, 1)

    def _score(self, latent: torch.Tensor, plans: torch.Tensor) -> torch.Tensor:
        """Latents ``[rows, 50]``, plans ``[rows, horizon, 1]`` → foreseen discounted return ``[rows]``."""
        total = torch.zeros(len(latent), 1)
        discount = 1.0
        for action in plans.unbind(1):
            total = total + discount * self.module.reward_of(latent=latent, action=action)
            latent = self.module.next(latent=latent, action=action)
            discount *= DISCOUNT
        value = self.module.value_of(latent=latent, action=self.module.action_of(latent))
        return (total + discount * torch.minimum(value["q1"], value["q2"])).nan_to_num(-1e9).squeeze(1)

    def _warm_start(self, n: int, horizon: int, width: int) -> torch.Tensor:
        """The last plan one step on, or zeros."""
        mean = torch.zeros(n, horizon, width)
        if self._mean is not None and len(self._mean) == n:
            kept = min(horizon, self._mean.shape[1] - 1)
            mean[:, :kept] = self._mean[:, 1 : kept + 1]
        return mean

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator)
