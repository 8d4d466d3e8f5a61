"""A sprawling four-legged robot that must move as it is told over rough ground."""

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
COMMAND_STEPS = 125
"""How long a command stands."""
SETTLING_STEPS = 25
"""After a new command, in which tracking is not yet judged."""
HISTORY = 16
"""Frames of proprioception that are seen, 0.64 s."""
FRAME = 30
"""Numbers of a frame: gravity 3, turning rates 3, joint angles 8, joint velocities 8, last action 8."""
COMMAND = 5
"""Numbers of a command: forward, left, turn, and the sine and cosine of the gait clock."""

STANCE = np.array([0.0, 1.1] * 4)
"""Joint angles [rad] of action 0; hip and knee of the legs front left, back left, back right, front right."""
REACH = np.array([0.6, 0.7] * 4)
"""What ±1 of an action adds to them [rad]."""
LOWEST, HIGHEST = np.array([-0.2, -0.25, -0.8]), np.array([0.6, 0.25, 0.8])
"""Of a command: forward [m/s], left [m/s], turn [rad/s]."""
COMMAND_UNITS = np.array([0.6, 0.25, 0.8])
"""What 1.0 of an observed command means."""
CLOCK_HZ = 2.0
SMOOTHING = 0.2
"""Share of the newest velocity in the smoothed one; a time constant of 0.2 s."""
FRAME_UNITS = np.array([1.0] * 3 + [3.0] * 3 + [0.8] * 8 + [8.0] * 8 + [1.0] * 8)
"""What 1.0 of a frame means: g, rad/s, rad from the stance, rad/s, an action. One int8 scale can then serve all."""
NOISE = np.array([0.02] * 3 + [0.03] * 3 + [0.01] * 8 + [0.03] * 8 + [0.0] * 8)
"""Standard deviation of the sensors' noise, in those units."""
BUMPS_M = 0.06
"""Height of the highest bumps of the roughest ground, on a grid of 0.15 m."""
SLIPPERIEST, GRIPPIEST = 0.6, 1.2
"""Coefficients of friction."""
FALLEN_M, FALLEN_UP = 0.11, 0.5
"""Height of the torso's centre above ground, and cosine of its tilt, below which the robot has fallen."""
LINEAR_SCALE, TURN_SCALE = 0.2, 0.5
"""Errors [m/s], [rad/s] at which a term of the reward is 1/e."""
LINEAR_BOUND, TURN_BOUND = 0.15, 0.3
"""Mean errors of an episode [m/s], [rad/s] that count as success."""


def up_of(quaternion: np.ndarray) -> np.ndarray:
    """The vertical in the body's own axes ``[..., 3]``, of orientations ``[..., 4]`` (w, x, y, z)."""
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    return np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1)


def velocity_of(position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Forward and left [m/s] along the heading, turn about the vertical [rad/s]: ``[..., 3]``, from qpos and qvel."""
    w, x, y, z = np.moveaxis(position[..., 3:7], -1, 0)
    ahead, aside = 1 - 2 * (y * y + z * z), 2 * (x * y + w * z)
    length = np.maximum(np.hypot(ahead, aside), 1e-6)
    ahead, aside = ahead / length, aside / length
    east, north = velocity[..., 0], velocity[..., 1]
    turn = (up_of(position[..., 3:7]) * velocity[..., 3:6]).sum(-1)
    return np.stack([ahead * east + aside * north, ahead * north - aside * east, turn], -1)


def frame_of(position: np.ndarray, velocity: np.ndarray, action: np.ndarray) -> np.ndarray:
    """What the sensors say without noise, in ``FRAME_UNITS``: ``[..., 30]``."""
    parts = [
        -up_of(position[..., 3:7]),
        velocity[..., 3:6],
        position[..., 7:] - STANCE,
        velocity[..., 6:],
        action,
    ]
    return np.concatenate(parts, -1) / FRAME_UNITS


def told(command: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """A command ``[..., 3]`` and the gait clock ``[...]`` [turns] as they are observed: ``[..., 5]``."""
    phase = 2 * np.pi * clock[..., None]
    return np.concatenate([command / COMMAND_UNITS, np.sin(phase), np.cos(phase)], -1)


def errors_of(velocity: np.ndarray, command: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far a smoothed velocity is from a command: [m/s] and [rad/s]."""
    error = velocity - command
    return np.hypot(error[..., 0], error[..., 1]), np.abs(error[..., 2])


def reward_of(linear: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """In [0, 1], of the two errors."""
    return (2 * np.exp(-((linear / LINEAR_SCALE) ** 2)) + np.exp(-((turn / TURN_SCALE) ** 2))) / 3


class QuadrupedWalk(MujocoEnv, EzPickle):
    """Move as commanded, blind, over ground that is drawn anew for every episode.

    Observation: ``history``, float32 ``[30, 16]``: the last sixteen frames of gravity's direction, turning rates, joint
    angles and velocities, all with noise, and the last action, oldest first, in ``FRAME_UNITS``; ``command``, float32
    ``[5]``: forward, left and turn in ``COMMAND_UNITS``, sine and cosine of a clock of 2 Hz. Action, float32
    ``[8]``: joint angles from the stance in [-1, 1] times ``REACH``, the targets of position servos.

    Reward in [0, 1] each step: two thirds for the velocity along the ground and one for turning, each exp(-(error /
    scale)²) of the velocity smoothed over 0.2 s. An episode has 250 steps of 0.04 s and two commands, and ends early
    when the robot falls. ``info``: ``linear_error_m_s``, ``turn_error_rad_s`` (means so far, the first second of each
    command left out), ``fallen`` and ``success``, which is known at the end.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
        "render_fps": 25,
    }

    def __init__(self, render_mode: str | None = None, width: int = 480, height: int = 360) -> None:
        """Builds the simulation; ``width`` and ``height`` [pixels] matter only when rendering."""
        EzPickle.__init__(self, render_mode, width, height)
        shapes = {"history": (FRAME, HISTORY), "command": (COMMAND,)}
        MujocoEnv.__init__(
            self,
            str(Path(__file__).with_name("quadruped.xml").resolve()),
            frame_skip=5,
            observation_space=spaces.Dict(
                {name: spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in shapes.items()}
            ),
            render_mode=render_mode,
            width=width,
            height=height,
            camera_name="track",
        )
        self.action_space = spaces.Box(-1.0, 1.0, (8,), np.float32)
        self._ground = self.model.geom("ground").id
        rows, columns = self.model.hfield_nrow[0], self.model.hfield_ncol[0]
        self._heights = self.model.hfield_data.reshape(rows, columns)
        self._extent, self._tallest = self.model.hfield_size[0, 0], self.model.hfield_size[0, 2]
        self._drawn = False
        self.roughness: float | None = None
        """Of every episode's ground, 0 to 1; None where it is drawn."""
        self.roughest = 1.0
        """The most that is drawn."""
        self.commands = np.zeros((2, 3))
        self.clock = 0.0
        self.count = 0

    def reset_model(self) -> dict[str, np.ndarray]:
        """Draws ground, friction, commands, heading and clock; the robot stands just above the ground."""
        draw = self.np_random
        drawn = self.roughest * draw.random()
        roughness = drawn if self.roughness is None else self.roughness
        self._heights[:] = roughness * draw.random(self._heights.shape)
        self._drawn = False
        self.model.geom_friction[self._ground, 0] = draw.uniform(SLIPPERIEST, GRIPPIEST)
        self.commands = draw.uniform(LOWEST, HIGHEST, (2, 3))
        self.clock = draw.random()
        self.count = 0
        heading = draw.uniform(-np.pi, np.pi)
        position, velocity = self.init_qpos.copy(), np.zeros(self.model.nv)
        position[2] = 0.27 + self._tallest * roughness
        position[3:7] = np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2)
        position[7:] = STANCE + draw.uniform(-0.1, 0.1, 8)
        self.set_state(position, velocity)
        self.data.ctrl[:] = STANCE
        self._smooth = np.zeros(3)
        self._error_sums, self._judged = np.zeros(2), 0
        self._frames = np.repeat(self._frame(np.zeros(8))[:, None], HISTORY, 1)
        return self._observation()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One control period of 0.04 s."""
        action = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        self.do_simulation(STANCE + REACH * action, self.frame_skip)
        command = self.command
        position, velocity = self.data.qpos, self.data.qvel
        self._smooth += SMOOTHING * (velocity_of(position, velocity) - self._smooth)
        linear, turn = errors_of(self._smooth, command)
        if self.count % COMMAND_STEPS >= SETTLING_STEPS:
            self._error_sums += linear, turn
            self._judged += 1
        fallen = self.has_fallen()
        reward = 0.0 if fallen else float(reward_of(linear, turn))
        self.count += 1
        self.clock = (self.clock + CLOCK_HZ / CONTROL_HZ) % 1.0
        self._frames = np.concatenate([self._frames[:, 1:], self._frame(action)[:, None]], 1)
        if self.render_mode == "human":
            self.render()
        over = self.count >= EPISODE_STEPS
        linear, turn = self._error_sums / max(self._judged, 1)
        info = {
            "linear_error_m_s": float(linear),
            "turn_error_rad_s": float(turn),
            "fallen": fallen,
            "success": bool(over and not fallen and linear < LINEAR_BOUND and turn < TURN_BOUND),
        }
        return self._observation(), reward, fallen, over, info

    @property
    def command(self) -> np.ndarray:
        """The one that stands: forward, left [m/s], turn [rad/s]."""
        return self.commands[min(self.count // COMMAND_STEPS, len(self.commands) - 1)]

    def has_fallen(self) -> bool:
        """Whether the torso lies on the ground or is tilted by more than 60°."""
        position = self.data.qpos
        low = position[2] - self.ground_at(position[:2]) < FALLEN_M
        return bool(low or up_of(position[3:7])[2] < FALLEN_UP)

    def ground_at(self, place: np.ndarray) -> np.ndarray:
        """Height of the nearest grid point of the ground [m], below places ``[..., 2]`` [m]."""
        last = np.array(self._heights.shape[::-1]) - 1
        cell = np.clip((place + self._extent) / (2 * self._extent) * last + 0.5, 0, last).astype(int)
        return self._tallest * self._heights[cell[..., 1], cell[..., 0]]

    def render(self) -> Any:
        """A picture, on the ground of this episode."""
        if not self._drawn and self.render_mode is not None:
            viewer = self.mujoco_renderer._get_viewer(self.render_mode)
            mujoco.mjr_uploadHField(self.model, viewer.con, 0)
            self._drawn = True
        return super().render()

    def _frame(self, action: np.ndarray) -> np.ndarray:
        noise = NOISE * self.np_random.standard_normal(FRAME)
        return (frame_of(self.data.qpos, self.data.qvel, action) + noise).astype(np.float32)

    def _observation(self) -> dict[str, np.ndarray]:
        command = told(self.command, np.array(self.clock))
        return {"history": self._frames, "command": command.astype(np.float32)}

    def _get_reset_info(self) -> dict[str, Any]:
        return {"linear_error_m_s": 0.0, "turn_error_rad_s": 0.0, "fallen": False, "success": False}
