"""Episodes that start somewhere else: positions and velocities of the simulation moved as the reset sets them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv

from secateur.errors import SecateurError


@dataclass(frozen=True)
class Coordinate:
    """A hinge or slide of the model.

    Attributes:
        joint: its name.
        qpos, qvel: where it is in positions and velocities.
        unit: ``rad`` or ``m``.
        span: from the middle to the limit of its range; None where it has no limits.
    """

    joint: str
    qpos: int
    qvel: int
    unit: str
    span: float | None


def coordinates(env: gymnasium.Env) -> tuple[Coordinate, ...]:
    """Hinges and slides of a MujocoEnv, in the model's order; none for other environments."""
    if not isinstance(env.unwrapped, MujocoEnv):
        return ()
    model: Any = env.unwrapped.model
    found = []
    for joint in range(model.njnt):
        kind = mujoco.mjtJoint(model.jnt_type[joint])
        if kind not in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
            continue
        low, high = model.jnt_range[joint]
        name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, joint) or f"joint {joint}"
        unit = "rad" if kind == mujoco.mjtJoint.mjJNT_HINGE else "m"
        span = float(high - low) / 2 if model.jnt_limited[joint] else None
        found.append(
            Coordinate(name, int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint]), unit, span)
        )
    return tuple(found)


class Displaced(gymnasium.Wrapper):
    """A MujocoEnv whose reset starts so much away from where it would: by way of its own ``set_state``."""

    def __init__(
        self, env: gymnasium.Env, qpos: Sequence[tuple[int, float]], qvel: Sequence[tuple[int, float]]
    ) -> None:
        """Index and offset of each position and velocity that is moved.

        Raises:
            SecateurError: the environment is no MujocoEnv.
        """
        super().__init__(env)
        if not isinstance(env.unwrapped, MujocoEnv):
            raise SecateurError(
                "a start is moved in Gymnasium's MujocoEnv",
                f"got {type(env.unwrapped).__name__}",
                "Leave the region out.",
            )
        self.inner: Any = env.unwrapped
        self.moved, self.seen = (tuple(qpos), tuple(qvel)), False

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode. Raises SecateurError where the environment does not set its state by ``set_state``."""
        own, self.seen = self.inner.set_state, False

        def set_state(qpos: np.ndarray, qvel: np.ndarray) -> None:
            self.seen = True
            places = [np.array(qpos, np.float64), np.array(qvel, np.float64)]
            for place, moved in zip(places, self.moved):
                for index, offset in moved:
                    place[index] += offset
            own(*places)

        self.inner.set_state = set_state
        try:
            result = self.env.reset(**kwargs)
        finally:
            del self.inner.set_state
        if not self.seen:
            raise SecateurError(
                "a start is moved as the environment sets its state",
                f"{type(self.inner).__name__} did not call set_state in its reset",
                "Leave the region out.",
            )
        return result
