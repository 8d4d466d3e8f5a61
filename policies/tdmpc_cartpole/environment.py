"""A cart-pole that starts hanging, must swing its pole up and hold it there."""

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.utils import EzPickle

CONTROL_HZ = 25.0
EPISODE_STEPS = 250
"""Ten seconds."""
RAIL_M = 1.8
UPRIGHT_RAD = math.radians(15.0)
HOLD_S = 2.0
OBSERVATION_UNITS = np.array([1.0, 1.0, 1.0, 2.0, 5.0])
"""What 1.0 of the observation means: m, -, -, m/s, rad/s. One int8 scale can then serve all five numbers."""


class CartPoleSwingUp(MujocoEnv, EzPickle):
    """Swing up from hanging, then hold, on a rail of ±1.8 m.

    Observation, float32 ``[5]``: cart position [m], cos θ, sin θ, cart velocity [2 m/s], pole velocity
    [5 rad/s]; θ = 0 is upright. Action, float32 ``[1]``: push on the cart in [-1, 1], 10 N each.
    Reward in [0, 1] each step (``reward_of``); an episode has 250 steps of 0.04 s and never ends early.

    ``info``: ``upright`` (pole within 15° and cart on the rail), ``held_s`` (how long that has lasted without
    a break) and ``success`` (it has lasted 2 s or more).
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
        "render_fps": 25,
    }

    def __init__(self, render_mode: str | None = None, width: int = 480, height: int = 360) -> None:
        """Builds the simulation; ``width`` and ``height`` [pixels] matter only when rendering."""
        EzPickle.__init__(self, render_mode, width, height)
        MujocoEnv.__init__(
            self,
            str(Path(__file__).with_name("cartpole.xml").resolve()),
            frame_skip=4,
            observation_space=spaces.Box(-np.inf, np.inf, (5,), np.float32),
            render_mode=render_mode,
            width=width,
            height=height,
            camera_name="fixed",
        )
        self._step_count = 0
        self._held_steps = 0

    def reset_model(self) -> np.ndarray:
        """Cart within 0.3 m of the middle, pole within 0.3 rad of hanging, both nearly at rest."""
        noise = self.np_random.uniform(-1.0, 1.0, size=4)
        position = np.array([0.3 * noise[0], math.pi + 0.3 * noise[1]])
        self.set_state(position, np.array([0.1 * noise[2], 0.3 * noise[3]]))
        self._step_count = 0
        self._held_steps = 0
        return self._observation()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control period of 0.04 s."""
        push = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        self.do_simulation(push, self.frame_skip)
        self._step_count += 1
        self._held_steps = self._held_steps + 1 if self._upright() else 0
        if self.render_mode == "human":
            self.render()
        x, theta = self.data.qpos
        reward = reward_of(float(x), float(theta), float(self.data.qvel[1]), float(push[0]))
        return self._observation(), reward, False, self._step_count >= EPISODE_STEPS, self._get_reset_info()

    def _observation(self) -> np.ndarray:
        x, theta = self.data.qpos
        raw = np.array([x, math.cos(theta), math.sin(theta), *self.data.qvel])
        return (raw / OBSERVATION_UNITS).astype(np.float32)

    def _upright(self) -> bool:
        x, theta = self.data.qpos
        return bool(math.cos(theta) > math.cos(UPRIGHT_RAD) and abs(x) < RAIL_M)

    def _get_reset_info(self) -> dict[str, Any]:
        held_s = self._held_steps * self.dt
        return {"upright": self._upright(), "held_s": held_s, "success": held_s >= HOLD_S - 1e-9}


def reward_of(x_m: float, theta_rad: float, pole_velocity_rad_s: float, push: float) -> float:
    """Upright, near the middle, slow, and without pushing hard: a product of four terms, in [0, 1].

    The terms are those of the swing-up task of dm_control's cart-pole (Tassa et al. 2018, arXiv 1801.00690).
    """
    upright = (math.cos(theta_rad) + 1.0) / 2.0
    centered = (1.0 + _bell(x_m, 2.0)) / 2.0
    gentle = (4.0 + max(0.0, 1.0 - push * push)) / 5.0
    slow = (1.0 + _bell(pole_velocity_rad_s, 5.0)) / 2.0
    return upright * centered * gentle * slow


def _bell(value: float, margin: float) -> float:
    """1 at zero, falling as a Gaussian to 0.1 at ``margin``."""
    return math.exp(math.log(0.1) * (value / margin) ** 2)
