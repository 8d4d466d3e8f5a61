"""Openers of an inverted pendulum, for tests of episodes in several processes: small, hashable, known by name."""

import os
import sys
from dataclasses import dataclass

import gymnasium
import numpy as np

from secateur.policy.policy import Task
from secateur.simulate import FunctionController
from secateur.simulate.parallel import Opened

GAINS = np.array([1.0, 15.0, 1.5, 3.0])


def make_env():
    return gymnasium.make("InvertedPendulum-v5", max_episode_steps=50)


TASK = Task(
    make_env=make_env,
    to_inputs=lambda observation: {"observation": observation[None]},
    to_action=lambda outputs: outputs["action"],
    control_hz=25.0,
    success=lambda info: info["reward_survive"] == 1,
)


@dataclass(frozen=True)
class Pendulum:
    """Held up by a push of the angle and the rest, as hard as it may."""

    hardest: float = 3.0
    gain: float = 1.0
    fails: str = ""
    travels = True

    def __call__(self):
        if self.fails == "dies":
            os._exit(3)

        def push(observation):
            if self.fails == "exits":
                sys.exit(0)
            if self.fails == "refuses":
                from secateur.errors import SecateurError

                raise SecateurError("a rule", "what was seen", "The remedy.")
            return np.clip([self.gain * observation @ GAINS], -self.hardest, self.hardest)

        return Opened(TASK, FunctionController(push))
