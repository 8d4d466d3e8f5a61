"""Reach for a cube that only a camera sees, and hold the gripper above it: SO-101 in MuJoCo."""

from collections import deque
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from .camera import Camera
from .scene import CUBE_HALF_M, JOINTS, TIMESTEP_S, make_model

CONTROL_HZ = 100.0
CAMERA_HZ = 25.0
EPISODE_STEPS = 300
IMAGE_SIZE = 64
TIP = "gripperframe"
HOVER_M = 0.06
"""From the cube's centre to the point above it."""
NEAR_M = 0.02
HELD_STEPS = 50
MAX_RATE = 2.0
"""Of a joint's set point at an action of 1, rad/s."""
HOME = np.array([0.0, -0.9, 0.7, 1.2, 0.0])
START_SPREAD = 0.25
"""Of each joint about HOME, rad."""
REWARD_SCALE_M = 0.05
RADIUS_M, ANGLE = (0.15, 0.28), 0.7
"""Where the cube lies: distance from the shoulder's axis, and angle to either side, rad."""
SHOULDER_X_M = 0.0388353
CAMERA_PLACE, CAMERA_AIM = np.array([0.50, 0.0, 0.42]), np.array([0.21, 0.0, 0.05])
FRAME_STEPS = round(CONTROL_HZ / CAMERA_HZ)
SUBSTEPS = round(1 / (CONTROL_HZ * TIMESTEP_S))


def hover_point(cube: np.ndarray) -> np.ndarray:
    """The point above a cube's centre, both ``[3]`` [m]."""
    return cube + np.array([0.0, 0.0, HOVER_M])


class ArmReach(gymnasium.Env):
    """Three seconds to bring the gripper's tip above the cube and keep it there.

    Observation: ``image``, uint8 ``[64, 64, 3]``, drawn at 25 Hz and held in between; ``joints``, float32 ``[10]``:
    positions [rad] and velocities [rad/s] of five joints.

    Action: float32 ``[5]`` in [-1, 1]: rates of the five position servos' set points, in shares of 2 rad/s.

    Reward, in [0, 1] per step: exp(-d / 5 cm), where d is the distance of the tip from the hover point.

    ``info``: ``distance_m``; ``cube``, its centre ``[3]`` [m]; ``success``, true where d was below 2 cm for the last
    half second.
    """

    def __init__(self) -> None:
        self.model = make_model()
        self.data = mujoco.MjData(self.model)
        self.camera = Camera(self.model, "front", IMAGE_SIZE)
        self.qpos = np.array([self.model.joint(name).qposadr[0] for name in JOINTS])
        self.dof = np.array([self.model.joint(name).dofadr[0] for name in JOINTS])
        self.motors = np.array([self.model.actuator(name).id for name in JOINTS])
        self.limits = self.model.actuator_ctrlrange[self.motors].T
        self.tip = self.model.site(TIP).id
        self.cube = self.model.body("block").id
        self.observation_space = spaces.Dict(
            image=spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8),
            joints=spaces.Box(-np.inf, np.inf, (2 * len(JOINTS),), np.float32),
        )
        self.action_space = spaces.Box(-1.0, 1.0, (len(JOINTS),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Draws the cube's place, the arm's pose, light, colours and the camera's pose."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        draw_looks(self.model, self.np_random)
        place = self.model.joint("block").qposadr[0]
        self.data.qpos[place : place + 7] = draw_cube(self.np_random)
        start = HOME + self.np_random.uniform(-START_SPREAD, START_SPREAD, len(JOINTS))
        self.data.qpos[self.qpos] = start
        self.data.ctrl[self.motors] = start
        mujoco.mj_forward(self.model, self.data)
        self.steps = 0
        self.near: deque[bool] = deque(maxlen=HELD_STEPS)
        self.image = self.camera.frame(self.data)
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """10 ms of physics; every fourth step ends with a new frame."""
        rate = MAX_RATE * np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        self.data.ctrl[self.motors] = np.clip(
            self.data.ctrl[self.motors] + rate / CONTROL_HZ, self.limits[0], self.limits[1]
        )
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        mujoco.mj_kinematics(self.model, self.data)
        self.steps += 1
        if self.steps % FRAME_STEPS == 0:
            self.image = self.camera.frame(self.data)
        distance = self.distance_m()
        self.near.append(distance < NEAR_M)
        reward = float(np.exp(-distance / REWARD_SCALE_M))
        return self._observation(), reward, False, self.steps >= EPISODE_STEPS, self._info()

    def distance_m(self) -> float:
        """From the tip to the hover point."""
        return float(np.linalg.norm(hover_point(self.data.xpos[self.cube]) - self.data.site_xpos[self.tip]))

    def close(self) -> None:
        """Frees the camera."""
        self.camera.close()

    def _observation(self) -> dict[str, np.ndarray]:
        joints = np.concatenate([self.data.qpos[self.qpos], self.data.qvel[self.dof]])
        return {"image": self.image, "joints": joints.astype(np.float32)}

    def _info(self) -> dict[str, Any]:
        return {
            "distance_m": self.distance_m(),
            "cube": self.data.xpos[self.cube].copy(),
            "success": len(self.near) == HELD_STEPS and all(self.near),
        }


def draw_cube(random: np.random.Generator) -> np.ndarray:
    """Where it lies and how it is turned: position [m] and quaternion ``[7]``."""
    radius, angle, turn = (random.uniform(*span) for span in (RADIUS_M, (-ANGLE, ANGLE), (0, np.pi / 2)))
    x, y = SHOULDER_X_M + radius * np.cos(angle), radius * np.sin(angle)
    return np.array([x, y, CUBE_HALF_M, np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)])


def draw_looks(model: mujoco.MjModel, random: np.random.Generator) -> None:
    """Light, colours and the camera's pose of an episode, into the model."""
    model.vis.headlight.ambient[:] = random.uniform(0.25, 0.5)
    model.vis.headlight.diffuse[:] = random.uniform(0.1, 0.4)
    model.light_pos[0] = random.uniform((-0.6, -0.8, 0.8), (0.8, 0.8, 1.6))
    model.light_dir[0] = _unit(np.array([0.2, 0.0, 0.0]) - model.light_pos[0])
    model.light_diffuse[0] = random.uniform(0.3, 0.8) * random.uniform(0.85, 1.0, 3)
    model.geom_rgba[model.geom("floor").id, :3] = _rgb(
        random.uniform(0, 1), random.uniform(0, 0.25), random.uniform(0.3, 0.85)
    )
    model.geom_rgba[model.geom("block").id, :3] = _rgb(
        random.uniform(0.48, 1.02), random.uniform(0.7, 1.0), random.uniform(0.5, 1.0)
    )
    printed = _rgb(random.uniform(0.09, 0.18), random.uniform(0.6, 1.0), random.uniform(0.6, 1.0))
    servo = np.full(3, random.uniform(0.05, 0.25))
    for number in range(model.nmat):
        name = model.material(number).name
        if name.endswith("_material"):
            model.mat_rgba[number, :3] = servo if name.startswith("sts3215") else printed
    place = CAMERA_PLACE + random.uniform(-0.015, 0.015, 3)
    aim = CAMERA_AIM + random.uniform(-0.01, 0.01, 3)
    number = model.camera("front").id
    model.cam_pos[number] = place
    model.cam_quat[number] = _looking(place, aim, random.uniform(-0.02, 0.02))
    model.cam_fovy[number] = random.uniform(44.0, 46.0)


def _looking(place: np.ndarray, aim: np.ndarray, roll: float) -> np.ndarray:
    """The quaternion of a camera at ``place`` whose view's centre is ``aim``, turned by ``roll`` [rad] about it."""
    back = _unit(place - aim)
    right = _unit(np.cross((0.0, 0.0, 1.0), back))
    up = np.cross(back, right)
    turned = np.cos(roll) * right + np.sin(roll) * up
    quaternion = np.zeros(4)
    axes = np.stack([turned, np.cross(back, turned), back], axis=1)
    mujoco.mju_mat2Quat(quaternion, axes.ravel())
    return quaternion


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Hue in turns, of which whole ones count for nothing; saturation and value in [0, 1]."""
    share = np.abs((6 * hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    return value * (1 - saturation * (1 - np.clip(share, 0.0, 1.0)))


def make_env() -> gymnasium.Env:
    """A new environment."""
    return ArmReach()
