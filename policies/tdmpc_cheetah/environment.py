"""A planar two-legged runner that must run as fast as it can, up to 10 m/s."""

from pathlib import Path
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.utils import EzPickle

CONTROL_HZ = 25.0
EPISODE_STEPS = 250
"""Ten seconds."""
FULL_SPEED_M_S = 10.0
SETTLING_STEPS = 200
"""Physics steps without control at the start of an episode, in which the runner lands."""
OBSERVATION_UNITS = np.array([1.0] * 8 + [3.0] * 3 + [10.0] * 6)
"""What 1.0 of the observation means: m and rad, then m/s and rad/s. One int8 scale can then serve all numbers."""


class CheetahRun(MujocoEnv, EzPickle):
    """Run to the right, from a random pose.

    The physics, the start and the reward are those of the run task of dm_control's cheetah (Tassa et al. 2018,
    arXiv 1801.00690), at 25 decisions a second, that is, with each action held for four physics steps.

    Observation, float32 ``[17]``: height of the torso, pitch and six joint angles, then the velocities of
    forward, up, pitch and the six joints, in ``OBSERVATION_UNITS``. Action, float32 ``[6]``: torques in [-1, 1].
    Reward in [0, 1] each step: forward speed of the whole body / 10 m/s. An episode has 250 steps of 0.04 s and
    never ends early. ``info``: ``speed_m_s``.
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
            str(Path(__file__).with_name("cheetah.xml").resolve()),
            frame_skip=4,
            observation_space=spaces.Box(-np.inf, np.inf, (17,), np.float32),
            render_mode=render_mode,
            width=width,
            height=height,
            camera_name="side",
        )
        self._step_count = 0

    def reset_model(self) -> np.ndarray:
        """Joints anywhere in their ranges, dropped and left to settle."""
        position = self.init_qpos.copy()
        limited = self.model.jnt_limited.astype(bool)
        position[limited] = self.np_random.uniform(*self.model.jnt_range[limited].T)
        self.set_state(position, np.zeros(self.model.nv))
        self.data.ctrl[:] = 0.0
        mujoco.mj_step(self.model, self.data, nstep=SETTLING_STEPS)
        self._step_count = 0
        return self._observation()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control period of 0.04 s."""
        self.do_simulation(np.clip(np.asarray(action, np.float64), -1.0, 1.0), self.frame_skip)
        self._step_count += 1
        if self.render_mode == "human":
            self.render()
        info = self._get_reset_info()
        reward = min(max(info["speed_m_s"] / FULL_SPEED_M_S, 0.0), 1.0)
        return self._observation(), reward, False, self._step_count >= EPISODE_STEPS, info

    def _observation(self) -> np.ndarray:
        raw = np.concatenate([self.data.qpos[1:], self.data.qvel])
        return (raw / OBSERVATION_UNITS).astype(np.float32)

    def _get_reset_info(self) -> dict[str, Any]:
        return {"speed_m_s": float(self.data.sensordata[0])}
