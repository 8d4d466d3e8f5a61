"""Many of the robots at once, for training: the environment's own physics and functions, on arrays."""

from dataclasses import dataclass

import mujoco
import numpy as np

from .environment import (
    CLOCK_HZ,
    COMMAND_STEPS,
    CONTROL_HZ,
    EPISODE_STEPS,
    FALLEN_M,
    FALLEN_UP,
    FRAME,
    HISTORY,
    NOISE,
    REACH,
    SMOOTHING,
    STANCE,
    QuadrupedWalk,
    errors_of,
    frame_of,
    reward_of,
    told,
    up_of,
    velocity_of,
)

PRIVILEGED = FRAME + 5 + 3 + 3 + 4 + 4 + 1
"""Numbers that the expert sees: a frame without noise, the command, velocities as they are and smoothed, feet's touch
and height above ground, and the torso's."""


@dataclass(frozen=True)
class Step:
    """What a step gave, an entry per robot.

    Attributes:
        reward: the task's.
        shaped: with what only training rewards or punishes.
        fallen: whether the episode ended by a fall.
        over: whether it reached its end.
        final: what the expert would have seen had the episode not ended, ``[n, PRIVILEGED]``.
    """

    reward: np.ndarray
    shaped: np.ndarray
    fallen: np.ndarray
    over: np.ndarray
    final: np.ndarray


class Herd:
    """``count`` robots, each in an environment of its own that starts anew as its episode ends.

    Args:
        count: of robots.
        first_seed: of the first episode; the others count on from there.
        draws: for noise and for how far into their first episodes the robots are.
    """

    def __init__(self, count: int, first_seed: int, draws: np.random.Generator) -> None:
        self.envs = [QuadrupedWalk() for _ in range(count)]
        self.next_seed, self.draws = first_seed, draws
        self.roughest = 1.0
        self.position, self.velocity = np.zeros((count, 15)), np.zeros((count, 14))
        self.feet, self.touch = np.zeros((count, 4, 3)), np.zeros((count, 4))
        self.torque, self.action = np.zeros((count, 8)), np.zeros((count, 8))
        self.commands, self.smooth = np.zeros((count, 2, 3)), np.zeros((count, 3))
        self.clock, self.count = np.zeros(count), np.zeros(count, int)
        self.heights = np.zeros((count, *self.envs[0]._heights.shape), np.float32)
        self.history = np.zeros((count, FRAME, HISTORY), np.float32)
        for index in range(count):
            self._start(index)
        self.count[:] = draws.integers(0, EPISODE_STEPS, count)

    def step(self, action: np.ndarray) -> Step:
        """One control period of all, with actions ``[n, 8]``."""
        action = np.clip(action.astype(np.float64), -1.0, 1.0)
        targets = STANCE + REACH * action
        for index, env in enumerate(self.envs):
            env.data.ctrl[:] = targets[index]
            mujoco.mj_step(env.model, env.data, env.frame_skip)
            self._read(index)
        self.smooth += SMOOTHING * (velocity_of(self.position, self.velocity) - self.smooth)
        linear, turn = errors_of(self.smooth, self.command)
        up = up_of(self.position[:, 3:7])
        ground = self._ground_at(self.position[:, None, :2])[:, 0]
        fallen = (self.position[:, 2] - ground < FALLEN_M) | (up[:, 2] < FALLEN_UP)
        reward = np.where(fallen, 0.0, reward_of(linear, turn))
        shaped = reward + self._shaping(action) - fallen
        self.action = action
        self.count += 1
        self.clock = (self.clock + CLOCK_HZ / CONTROL_HZ) % 1.0
        over = self.count >= EPISODE_STEPS
        final = self.privileged()
        noise = NOISE * self.draws.standard_normal((len(action), FRAME))
        newest = frame_of(self.position, self.velocity, action) + noise
        self.history = np.concatenate([self.history[:, :, 1:], newest[:, :, None].astype(np.float32)], 2)
        for index in np.flatnonzero(fallen | over):
            self._start(int(index))
        return Step(reward, shaped, fallen, over & ~fallen, final)

    @property
    def command(self) -> np.ndarray:
        """The ones that stand, ``[n, 3]``."""
        which = np.minimum(self.count // COMMAND_STEPS, 1)
        return self.commands[np.arange(len(which)), which]

    def told(self) -> np.ndarray:
        """The commands as they are observed, float32 ``[n, 5]``."""
        return told(self.command, self.clock).astype(np.float32)

    def privileged(self) -> np.ndarray:
        """What the expert sees, float32 ``[n, PRIVILEGED]``."""
        above = self.feet[:, :, 2] - self._ground_at(self.feet[:, :, :2])
        torso = self.position[:, 2:3] - self._ground_at(self.position[:, None, :2])
        parts = [
            frame_of(self.position, self.velocity, self.action),
            told(self.command, self.clock),
            2 * velocity_of(self.position, self.velocity),
            2 * self.smooth,
            self.touch > 0,
            10 * above,
            10 * (torso - 0.25),
        ]
        return np.concatenate(parts, 1).astype(np.float32)

    def _shaping(self, action: np.ndarray) -> np.ndarray:
        """Diagonal legs step in turn, by the clock, and lift their feet; little effort, jerk, bouncing and rolling."""
        swinging = np.sin(2 * np.pi * self.clock)[:, None] * np.array([1, -1, 1, -1]) > 0
        above = self.feet[:, :, 2] - self._ground_at(self.feet[:, :, :2]) - 0.024
        lifted = (np.clip(above / 0.05, 0, 1) * swinging).mean(1) + 0.5 * ((self.touch > 0) & ~swinging).mean(
            1
        )
        jerk = np.square(action - self.action).sum(1)
        effort = np.square(self.torque).sum(1)
        bounce = np.square(self.velocity[:, 2])
        roll = np.square(self.velocity[:, 3:5]).sum(1)
        return 0.3 * lifted - 0.02 * jerk - 0.001 * effort - 0.2 * bounce - 0.01 * roll

    def _ground_at(self, place: np.ndarray) -> np.ndarray:
        """Heights of the ground below places ``[n, k, 2]``."""
        env = self.envs[0]
        last = self.heights.shape[1] - 1
        cell = np.clip((place + env._extent) / (2 * env._extent) * last + 0.5, 0, last).astype(int)
        rows = np.arange(len(place))[:, None]
        return env._tallest * self.heights[rows, cell[..., 1], cell[..., 0]]

    def _read(self, index: int) -> None:
        data = self.envs[index].data
        self.position[index], self.velocity[index] = data.qpos, data.qvel
        self.feet[index], self.touch[index] = data.site_xpos, data.sensordata
        self.torque[index] = data.actuator_force

    def _start(self, index: int) -> None:
        env = self.envs[index]
        env.roughest = self.roughest
        observation, _ = env.reset(seed=self.next_seed)
        self.next_seed += 1
        self._read(index)
        self.heights[index] = env._heights
        self.history[index] = observation["history"]
        self.commands[index], self.clock[index] = env.commands, env.clock
        self.smooth[index], self.action[index], self.count[index] = 0.0, 0.0, 0
