"""Model-predictive path integral control over a latent model, with the policy's own plans mixed in.

Section 3 of Hansen et al. 2022 (arXiv 2203.04955): sample action sequences, score them by the rewards that
the model foresees plus the value of where they end, and refit a Gaussian to the best.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from secateur.policy.planning import PlannerSettings, Planning
from secateur.policy.policy import Policy, Task, Tensors
from secateur.simulate.controller import LANES, Controller, acting, stack_inputs, torch_controller


class LatentModel(Protocol):
    """What a planner plans with; every tensor is ``[rows, width]``."""

    def encode(self, **observation: torch.Tensor) -> torch.Tensor:
        """Observation → latent."""
        ...

    def next(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """The latent one control period later."""
        ...

    def reward_of(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """The reward of that step, ``[rows, 1]``."""
        ...

    def value_of(self, latent: torch.Tensor, action: torch.Tensor) -> Tensors:
        """Estimates of the discounted return, each ``[rows, 1]``."""
        ...

    def action_of(self, latent: torch.Tensor) -> torch.Tensor:
        """The policy's own action."""
        ...


class EntryModel:
    """The latent model that a policy's entries make up."""

    def __init__(self, policy: Policy, planning: Planning) -> None:
        """Calls ``policy.module`` as it is at the time of the call."""
        self.policy, self.planning = policy, planning

    def encode(self, **observation: torch.Tensor) -> torch.Tensor:
        """Observation → latent."""
        return self._first(self.planning.encode, observation)

    def next(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """The latent one control period later."""
        return self._first(self.planning.next, self._inputs(latent, action))

    def reward_of(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """The reward of that step."""
        return self._first(self.planning.reward, self._inputs(latent, action))

    def value_of(self, latent: torch.Tensor, action: torch.Tensor) -> Tensors:
        """Estimates of the return."""
        return self._run(self.planning.value, self._inputs(latent, action))

    def action_of(self, latent: torch.Tensor) -> torch.Tensor:
        """The policy's own action."""
        return self._first(self.planning.choose, {self.planning.latent: latent})

    def _inputs(self, latent: torch.Tensor, action: torch.Tensor) -> Tensors:
        return {self.planning.latent: latent, self.planning.action: action}

    def _run(self, name: str, inputs: Tensors) -> dict[str, torch.Tensor]:
        return self.policy.entry(name).run(self.policy.module, inputs)

    def _first(self, name: str, inputs: Tensors) -> torch.Tensor:
        return next(iter(self._run(name, inputs).values()))


Noise = Callable[..., torch.Tensor]
"""(rows, *shape) → standard normal ``[rows, *shape]``."""


class Planner:
    """Plans anew at every step, warm-started from its last plan, for any number of rows at once.

    The random numbers come from its own generator, so the same seed and observations give the same actions, unless
    ``noise`` is given, which then makes them.
    """

    def __init__(
        self,
        model: LatentModel,
        settings: PlannerSettings | None = None,
        seed: int = 0,
        noise: Noise | None = None,
    ) -> None:
        """Plans with ``model``, pruned ones included."""
        self.model = model
        self.settings = settings or PlannerSettings()
        self._noise = noise
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """Forgets the last plan (call between episodes) and, if a seed is given, restarts the generator."""
        self._mean: torch.Tensor | None = None
        if seed is not None:
            self._generator = torch.Generator().manual_seed(seed)

    def forget(self, rows: Sequence[int]) -> None:
        """Forgets the last plan of these rows only."""
        if self._mean is not None:
            self._mean[list(rows)] = 0.0

    @torch.no_grad()
    def plan(
        self, observations: Tensors, floor_std: float | None = None, explore: bool = False
    ) -> torch.Tensor:
        """Observations, each ``[n, ...]`` → actions ``[n, width]``, each row planned on its own.

        Args:
            observations: inputs of ``encode``, one row per environment; rows keep their place between calls.
            floor_std: overrides the setting, as exploration decays during training.
            explore: draw the action from the fitted Gaussian instead of taking its mean.
        """
        s = self.settings
        floor = s.floor_std if floor_std is None else floor_std
        start = self.model.encode(**observations)
        n, horizon = len(start), s.horizon
        latent = start.repeat_interleave(s.policy_samples, 0)
        followed = self._follow_policy(latent, n, floor).view(n, s.policy_samples, horizon, -1)
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

    def _follow_policy(self, latent: torch.Tensor, n: int, std: float) -> torch.Tensor:
        """Latents ``[rows, width]`` → the policy's actions ``[rows, horizon, width]`` with noise ``std``."""
        actions = []
        for _ in range(self.settings.horizon):
            action = self.model.action_of(latent)
            noise = self._normal(n, len(latent) // n, action.shape[-1]).flatten(0, 1)
            action = (action + std * noise).clamp(-1, 1)
            latent = self.model.next(latent=latent, action=action)
            actions.append(action)
        return torch.stack(actions, 1)

    def _score(self, latent: torch.Tensor, plans: torch.Tensor) -> torch.Tensor:
        """Latents ``[rows, width]``, plans ``[rows, horizon, width]`` → foreseen discounted return ``[rows]``."""
        total = torch.zeros(len(latent), 1)
        discount = 1.0
        for action in plans.unbind(1):
            total = total + discount * self.model.reward_of(latent=latent, action=action)
            latent = self.model.next(latent=latent, action=action)
            discount *= self.settings.discount
        values = self.model.value_of(latent=latent, action=self.model.action_of(latent))
        least = torch.stack(list(values.values())).amin(0)
        return (total + discount * least).nan_to_num(-1e9).squeeze(1)

    def _warm_start(self, n: int, horizon: int, width: int) -> torch.Tensor:
        """The last plan one step on, or zeros."""
        mean = torch.zeros(n, horizon, width)
        if self._mean is not None and len(self._mean) == n:
            kept = min(horizon, self._mean.shape[1] - 1)
            mean[:, :kept] = self._mean[:, 1 : kept + 1]
        return mean

    def _normal(self, n: int, *shape: int) -> torch.Tensor:
        """Standard normal ``[n, *shape]``."""
        if self._noise is not None:
            return self._noise(n, *shape)
        return torch.randn(n, *shape, generator=self._generator)


class EpisodeNoise:
    """Random numbers of a row that depend on the seed and on the row's step within its episode, and on nothing else."""

    def __init__(self, seed: int, rows: int) -> None:
        """For so many rows, all at their first step."""
        self.seed = seed
        self.steps = [-1] * rows

    def start(self, rows: Sequence[int]) -> None:
        """A new episode in these rows."""
        for row in rows:
            self.steps[row] = -1

    def advance(self, rows: Sequence[int]) -> None:
        """The next decision, in these rows."""
        for row in rows:
            self.steps[row] += 1
        self._generators = {
            step: torch.Generator().manual_seed(self.seed * 1_000_003 + step + 1) for step in set(self.steps)
        }

    def __call__(self, n: int, *shape: int) -> torch.Tensor:
        """The next numbers of every row."""
        drawn = {step: torch.randn(*shape, generator=g) for step, g in sorted(self._generators.items())}
        return torch.stack([drawn[step] for step in self.steps])


class PlanningController:
    """A policy's planner as a controller of several lanes.

    Random numbers depend on the seed and on the step within a lane's episode. Every call plans for ``LANES`` rows,
    filled up with zeros, so that the sums of one lane do not depend on how many others there are.
    """

    def __init__(self, policy: Policy, task: Task, seed: int = 0) -> None:
        """Plans with ``policy.module`` as it is at the time of the call.

        Raises:
            ValueError: the policy declares no planning.
        """
        if policy.planning is None:
            raise ValueError(f"{policy.name} declares no planning")
        self.module, self.task = policy.module, task
        model = EntryModel(policy, policy.planning)
        self.noise = EpisodeNoise(seed, LANES)
        self.planner = Planner(model, policy.planning.settings, noise=self.noise)
        self.output = next(
            iter(policy.entry(policy.planning.choose).run(policy.module, self._example(policy)))
        )

    @staticmethod
    def _example(policy: Policy) -> Tensors:
        assert policy.planning is not None
        return policy.entry(policy.planning.choose).example_inputs

    def reset(self, lanes: Sequence[int]) -> None:
        """Forgets the plans of these lanes."""
        self.planner.forget(lanes)
        self.noise.start(lanes)

    def act(self, observations: Sequence[Any], lanes: Sequence[int]) -> list[Any]:
        """One action for each observation."""
        rows = stack_inputs([self.task.to_inputs(observation) for observation in observations])
        padded = {name: np.zeros((LANES, *array.shape[1:]), np.float32) for name, array in rows.items()}
        for name, array in rows.items():
            padded[name][list(lanes)] = array
        self.noise.advance(lanes)
        with acting(self.module):
            actions = self.planner.plan({name: torch.from_numpy(array) for name, array in padded.items()})
        return [self.task.to_action({self.output: actions[lane : lane + 1].numpy()}) for lane in lanes]


def policy_controller(policy: Policy, task: Task) -> Controller:
    """The policy as it moves the robot: by its deployed entry, or by planning."""
    return PlanningController(policy, task) if policy.plans else torch_controller(policy, task)
