"""SO-101 reaches for a cube that only its camera sees: perception at 25 Hz, control at 100 Hz."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.policy.weights import load_weights

from .environment import CAMERA_HZ, CONTROL_HZ, EPISODE_STEPS, make_env
from .model import IMAGE, JOINT_NUMBERS, CameraReacher

JOINT_MIDDLE = np.array([0.0, -0.4, 0.3, 1.2, 0.0] + 5 * [0.0], np.float32)
JOINT_SCALE = np.array([1.2, 1.2, 1.2, 0.8, 0.8] + 5 * [4.0], np.float32)
"""Middle and half of the range that is used: rad, then rad/s. All inputs lie about [-1, 1], for int8's sake."""
PLACE_MIDDLE_M, PLACE_SCALE_M = np.array([0.24, 0.0], np.float32), 0.1


def policy(seed: int = 0) -> Policy:
    """The trained model of a training seed; 0 is the shipped one."""
    name = "weights.safetensors" if seed == 0 else f"references/seed{seed}.safetensors"
    load_weights(module := CameraReacher(), Path(__file__).parent / name)
    return describe(module.eval())


def describe(module: CameraReacher) -> Policy:
    """Components and entries of a model of any width."""
    features = {"features": torch.zeros(1, module.perception.places.out_features)}
    return Policy(
        name="arm_reach_camera",
        module=module,
        components=(
            Component("perception", ("perception",), rate_hz=CAMERA_HZ),
            Component("proprioception", ("proprioception",)),
            Component("fusion", ("fusion",)),
            Component("head", ("head",)),
            Component("target", ("target",)),
        ),
        entries=(
            Entry("see", CameraReacher.see, {"image": torch.zeros(1, *IMAGE)}),
            Entry(
                "act",
                CameraReacher.act,
                {**features, "joints": torch.zeros(1, JOINT_NUMBERS)},
                feeds={"features": ("see",)},
            ),
            Entry("estimate", CameraReacher.estimate, features, feeds={"features": ("see",)}),
        ),
        deployed="act",
    )


def task() -> Task:
    """Three seconds; done when the tip was within 2 cm of the point above the cube for the last half second."""
    return Task(
        make_env=make_env,
        to_inputs=to_inputs,
        to_action=_to_action,
        control_hz=CONTROL_HZ,
        success=_success,
        return_range=(0.0, EPISODE_STEPS),  # rewards in [0, 1]
    )


def to_inputs(observation: Any) -> dict[str, np.ndarray]:
    """``image`` ``[1, 64, 64, 3]`` in [0, 1] and ``joints`` ``[1, 10]``, scaled; float32."""
    image = np.asarray(observation["image"], np.float32)[None] / 255
    return {"image": image, "joints": scaled_joints(observation["joints"])[None]}


def scaled_joints(joints: np.ndarray) -> np.ndarray:
    """Positions [rad] and velocities [rad/s] ``[..., 10]``, about [-1, 1]."""
    return (np.asarray(joints, np.float32) - JOINT_MIDDLE) / JOINT_SCALE


def scaled_place(cube: np.ndarray) -> np.ndarray:
    """Where a cube is, ``[..., 3]`` [m] → ``[..., 2]``, about [-1, 1]: what ``estimate`` gives."""
    return ((cube[..., :2] - PLACE_MIDDLE_M) / PLACE_SCALE_M).astype(np.float32)


def _to_action(outputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(outputs["action"], np.float32).reshape(-1)


def _success(info: dict[str, Any]) -> bool:
    return bool(info["success"])
