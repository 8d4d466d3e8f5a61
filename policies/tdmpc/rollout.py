"""Many episodes at once: one batched decision, then one step of every environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.envs.mujoco import MujocoEnv

Decide = Callable[[torch.Tensor], torch.Tensor]
"""Observations ``[n, width]`` → actions ``[n, width]``."""

MakeEnv = Callable[[], MujocoEnv]


class Late:
    """An environment where an action takes effect some whole physics steps late."""

    def __init__(self, make_env: MakeEnv, delay_steps: int = 0) -> None:
        """``delay_steps`` is less than the physics steps of one control period."""
        self.env: Any = make_env()
        self.delay_steps = delay_steps
        self._simulate = self.env.do_simulation
        self._last = np.zeros(self.env.action_space.shape)
        self._under_way = False
        self.env.do_simulation = self._do_simulation

    def reset(self, seed: int) -> np.ndarray:
        """Starts an episode; until the first action arrives there is no push."""
        self._last = np.zeros(self.env.action_space.shape)
        self._under_way = False
        observation = self.env.reset(seed=seed)[0]
        self._under_way = True
        return observation

    def step(self, action: np.ndarray) -> Any:
        """One control period, as Gymnasium's."""
        return self.env.step(action)

    def _do_simulation(self, ctrl: np.ndarray, n_frames: int) -> None:
        if self._under_way and self.delay_steps:
            self._simulate(self._last, self.delay_steps)
            n_frames -= self.delay_steps
        self._simulate(ctrl, n_frames)
        self._last = np.array(ctrl)


@dataclass(frozen=True)
class Outcome:
    """Per episode, in the order of the seeds: return ``[n]``, and success ``[n]`` or None."""

    returns: np.ndarray
    successes: np.ndarray | None


def roll_out(make_env: MakeEnv, decide: Decide, seeds: Sequence[int], delay_steps: int = 0) -> Outcome:
    """One episode per seed, all in step; every episode has the same length."""
    envs = [Late(make_env, delay_steps) for _ in seeds]
    observations = np.stack([env.reset(seed) for env, seed in zip(envs, seeds)])
    returns = np.zeros(len(envs))
    while True:
        with torch.no_grad():
            actions = decide(torch.from_numpy(observations)).numpy()
        steps = [env.step(action) for env, action in zip(envs, actions)]
        observations = np.stack([step[0] for step in steps])
        returns += [step[1] for step in steps]
        if steps[0][3]:
            break
    infos = [step[4] for step in steps]
    successes = np.array([info["success"] for info in infos]) if "success" in infos[0] else None
    return Outcome(returns, successes)
