"""Many episodes at once: one batched decision, then one step of every environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from environment import EPISODE_STEPS, CartPoleSwingUp

Decide = Callable[[torch.Tensor], torch.Tensor]
"""Observations ``[n, 5]`` → actions ``[n, 1]``."""


class DelayedCartPole(CartPoleSwingUp):
    """The same cart-pole, where an action takes effect ``delay_steps`` physics steps (10 ms each) late."""

    def __init__(self, delay_steps: int = 0) -> None:
        """``delay_steps`` is less than the four physics steps of one control period."""
        super().__init__()
        self.delay_steps = delay_steps
        self._last = np.zeros(1)

    def reset_model(self) -> np.ndarray:
        """As without delay; until the first action arrives there is no push."""
        self._last = np.zeros(1)
        return super().reset_model()

    def do_simulation(self, ctrl: np.ndarray, n_frames: int) -> None:
        """The old action for the first ``delay_steps``, the new one for the rest."""
        if self.delay_steps:
            super().do_simulation(self._last, self.delay_steps)
        super().do_simulation(ctrl, n_frames - self.delay_steps)
        self._last = np.array(ctrl)


@dataclass(frozen=True)
class Outcome:
    """Per episode, in the order of the seeds: return ``[n]`` (at most 250) and success ``[n]``."""

    returns: np.ndarray
    successes: np.ndarray


def roll_out(decide: Decide, seeds: Sequence[int], delay_steps: int = 0) -> Outcome:
    """One episode per seed, all in step."""
    envs = [DelayedCartPole(delay_steps) for _ in seeds]
    observations = np.stack([env.reset(seed=seed)[0] for env, seed in zip(envs, seeds)])
    returns = np.zeros(len(envs))
    infos: list[dict] = []
    for _ in range(EPISODE_STEPS):
        with torch.no_grad():
            actions = decide(torch.from_numpy(observations)).numpy()
        steps = [env.step(action) for env, action in zip(envs, actions)]
        observations = np.stack([step[0] for step in steps])
        returns += [step[1] for step in steps]
        infos = [step[4] for step in steps]
    return Outcome(returns, np.array([info["success"] for info in infos]))
