"""Training data: states drawn about the expert's way, and states that a student met, with what the expert would do."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import torch

from .environment import (
    CONTROL_HZ,
    EPISODE_STEPS,
    FRAME_STEPS,
    HOME,
    MAX_RATE,
    START_SPREAD,
    ArmReach,
    draw_cube,
    draw_looks,
)
from .expert import Expert, towards
from .model import CameraReacher
from .policy import PLACE_SCALE_M, scaled_joints, scaled_place
from .scene import JOINTS

KEPT = 3
"""Of so many frames of an episode one is kept: neighbours differ little."""


@dataclass(frozen=True)
class Frames:
    """Frames with the control steps that each was held for.

    Attributes:
        images: uint8 ``[n, 64, 64, 3]``.
        joints: scaled, ``[n, 4, 10]``.
        actions: the expert's, ``[n, 4, 5]``.
        places: scaled, of the cube, ``[n, 2]``.
    """

    images: np.ndarray
    joints: np.ndarray
    actions: np.ndarray
    places: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """By name."""
        return {"images": self.images, "joints": self.joints, "actions": self.actions, "places": self.places}


def joined(parts: Sequence[Frames]) -> Frames:
    """All frames, in order."""
    return Frames(**{name: np.concatenate([p.arrays[name] for p in parts]) for name in parts[0].arrays})


def drawn(env: ArmReach, expert: Expert, count: int, random: np.random.Generator) -> Frames:
    """Single frames, each with looks, cube and pose of its own, somewhere between a start and the goal."""
    images, joints, actions, places = [], [], [], []
    spot = env.model.joint("block").qposadr[0]
    ahead = np.arange(FRAME_STEPS)[:, None] / CONTROL_HZ
    for _ in range(count):
        draw_looks(env.model, random)
        env.data.qpos[spot : spot + 7] = draw_cube(random)
        cube = env.data.qpos[spot : spot + 3].copy()
        goal = expert.above(cube[None])[0]
        start = HOME + random.uniform(-START_SPREAD, START_SPREAD, len(JOINTS))
        share = random.uniform() ** 0.5
        now = start + share * (goal - start) + random.normal(0, 0.12 * random.uniform(), len(JOINTS))
        speed = MAX_RATE * towards(goal, now) * random.uniform() + random.normal(0, 0.1, len(JOINTS))
        env.data.qpos[env.qpos] = now
        mujoco.mj_kinematics(env.model, env.data)
        mujoco.mj_camlight(env.model, env.data)
        images.append(env.camera.frame(env.data))
        held = now + ahead * speed
        joints.append(scaled_joints(np.concatenate([held, np.broadcast_to(speed, held.shape)], 1)))
        actions.append(towards(goal, held))
        places.append(scaled_place(cube))
    return _frames(images, joints, actions, places)


def met(
    envs: Sequence[ArmReach],
    expert: Expert,
    student: CameraReacher,
    seeds: Sequence[int],
    delays: Sequence[int],
) -> tuple[Frames, dict[str, float]]:
    """One episode per environment, all in step, each with a delay of its own [control steps]; the student acts.

    Returns:
        The frames that are kept, and means over the episodes: ``return``, ``success``, ``distance_m`` at the end, and
        ``estimate_m``, by how much the estimate of the cube's place is wrong on average.
    """
    images, joints, actions, places = [], [], [], []
    observations, infos = map(list, zip(*[env.reset(seed=seed) for env, seed in zip(envs, seeds)]))
    queues = [deque([np.zeros(len(JOINTS))] * delay) for delay in delays]
    returns, wrong = np.zeros(len(envs)), []
    for step in range(EPISODE_STEPS):
        frame, rest = divmod(step, FRAME_STEPS)
        cubes = np.stack([info["cube"] for info in infos])
        now = np.stack([o["joints"] for o in observations])
        inputs = torch.from_numpy(scaled_joints(now))
        with torch.no_grad():
            if rest == 0:
                seen = np.stack([o["image"] for o in observations])
                features = student.see(as_input(seen))
                estimates = student.estimate(features).numpy()
                wrong.append(np.linalg.norm(estimates - scaled_place(cubes), axis=1).mean())
            acts = student.act(features, inputs)["action"].numpy()
        if frame % KEPT == 0:
            if rest == 0:
                images.extend(seen)
                places.extend(scaled_place(cubes))
                held = []
            held.append((inputs.numpy(), towards(expert.above(cubes), now[:, : len(JOINTS)])))
            if rest == FRAME_STEPS - 1:
                joints.extend(np.stack([part[0] for part in held], 1))
                actions.extend(np.stack([part[1] for part in held], 1))
        for index, (env, queue) in enumerate(zip(envs, queues)):
            queue.append(acts[index])
            observations[index], reward, _, _, infos[index] = env.step(queue.popleft())
            returns[index] += reward
    outcome = {
        "return": float(returns.mean()),
        "success": float(np.mean([info["success"] for info in infos])),
        "distance_m": float(np.mean([info["distance_m"] for info in infos])),
        "estimate_m": float(np.mean(wrong)) * PLACE_SCALE_M,
    }
    return _frames(images, joints, actions, places), outcome


def as_input(images: np.ndarray) -> torch.Tensor:
    """uint8 ``[n, 64, 64, 3]`` → float32, in [0, 1]."""
    return torch.from_numpy(images).float() / 255


def _frames(images: list, joints: list, actions: list, places: list) -> Frames:
    return Frames(
        np.stack(images),
        np.stack(joints).astype(np.float32),
        np.stack(actions).astype(np.float32),
        np.stack(places).astype(np.float32),
    )
