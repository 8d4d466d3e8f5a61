"""The cart-pole of ``tdmpc_cartpole``, seen without velocities."""

import gymnasium
import numpy as np
from gymnasium import spaces

from ..tdmpc_cartpole.environment import CartPoleSwingUp

SEEN = 3
"""Of the five numbers of an observation: cart position [m], cos θ and sin θ."""


class WithoutVelocities(gymnasium.ObservationWrapper):
    """Swing up from hanging, then hold, without being told how fast anything moves.

    Observation, float32 ``[3]``: cart position [m], cos θ, sin θ; all else is that of ``CartPoleSwingUp``.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        """Hides what ``env`` observes beyond the first three numbers."""
        super().__init__(env)
        self.observation_space = spaces.Box(-np.inf, np.inf, (SEEN,), np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The part that is seen."""
        return observation[:SEEN]


def make_env() -> gymnasium.Env:
    """A new environment."""
    return WithoutVelocities(CartPoleSwingUp())
