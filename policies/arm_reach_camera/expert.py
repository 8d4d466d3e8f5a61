"""What the student imitates: a controller that knows where the cube is, by inverse kinematics."""

import mujoco
import numpy as np

from .environment import HOME, MAX_RATE, SHOULDER_X_M, TIP, hover_point
from .scene import CUBE_HALF_M, JOINTS, make_model

GAIN = 5.0
"""Of joint errors, 1/s."""
LEAN = 0.4
"""Of the gripper, outwards from the vertical, rad: straight down, the wrist's range ends short of far cubes."""
TILT_WEIGHT_M = 0.02
"""What a radian off that lean counts for beside a metre of position error."""
DAMPING = 1e-2
ITERATIONS = 60
LONGEST_STEP = 0.2
"""Of a joint in one iteration, rad."""
RADII_M = np.linspace(0.10, 0.34, 241)


class Expert:
    """Joint positions above a cube, by damped least squares (Wampler 1986), and the action that leads there.

    The arm turns as a whole about the shoulder's axis, so the solutions are worked out once, for cubes straight ahead
    at ``RADII_M`` from that axis, and interpolated.
    """

    def __init__(self) -> None:
        self._model = make_model()
        self._data = mujoco.MjData(self._model)
        self._site = self._model.site(TIP).id
        self._qpos = np.array([self._model.joint(name).qposadr[0] for name in JOINTS])
        self._dof = np.array([self._model.joint(name).dofadr[0] for name in JOINTS])
        self._low, self._high = np.array([self._model.joint(name).range for name in JOINTS]).T
        self._solutions = np.array([self._solve(SHOULDER_X_M + radius) for radius in RADII_M])

    def above(self, cubes: np.ndarray) -> np.ndarray:
        """Joint positions [rad] ``[n, 5]`` at which the tip is at the hover point over ``cubes`` ``[n, 3]`` [m]."""
        x, y = cubes[:, 0] - SHOULDER_X_M, cubes[:, 1]
        radius = np.hypot(x, y)
        joints = np.stack([np.interp(radius, RADII_M, column) for column in self._solutions.T], axis=1)
        joints[:, 0] -= np.arctan2(y, x)
        return joints

    def gap_m(self, cube: np.ndarray) -> float:
        """Distance from the hover point that ``above`` leaves for one cube ``[3]`` [m]."""
        self._data.qpos[self._qpos] = self.above(cube[None])[0]
        mujoco.mj_kinematics(self._model, self._data)
        return float(np.linalg.norm(hover_point(cube) - self._data.site_xpos[self._site]))

    def _solve(self, x: float) -> np.ndarray:
        """For a cube at ``x`` [m] straight ahead; always from the same pose, so that neighbours have like solutions."""
        goal, model, data = hover_point(np.array([x, 0.0, CUBE_HALF_M])), self._model, self._data
        joints, wanted = HOME.copy(), np.array([np.sin(LEAN), 0.0, -np.cos(LEAN)])
        position, rotation = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        for _ in range(ITERATIONS):
            data.qpos[self._qpos] = joints
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_jacSite(model, data, position, rotation, self._site)
            along = data.site_xmat[self._site].reshape(3, 3)[:, 0]  # out of the gripper
            error = np.concatenate(
                [goal - data.site_xpos[self._site], TILT_WEIGHT_M * np.cross(along, wanted)]
            )
            slope = np.vstack([position[:, self._dof], TILT_WEIGHT_M * rotation[:, self._dof]])
            slope[:, JOINTS.index("wrist_roll")] = 0.0
            step = slope.T @ np.linalg.solve(slope @ slope.T + DAMPING**2 * np.eye(6), error)
            joints = np.clip(joints + np.clip(step, -LONGEST_STEP, LONGEST_STEP), self._low, self._high)
        return joints


def towards(goals: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The action from ``joints`` to ``goals``, both ``[..., 5]`` [rad]: rates as shares of the highest."""
    return np.clip(GAIN * (goals - joints) / MAX_RATE, -1.0, 1.0)
