"""A quadruped that walks as commanded: history and command encoders, fusion and actor; the critic stays behind."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.policy.weights import load_weights

from .environment import COMMAND, CONTROL_HZ, EPISODE_STEPS, FRAME, HISTORY, QuadrupedWalk
from .model import Walker

COMPONENTS = ("history", "command", "fusion", "actor", "critic")


def policy(seed: int = 0) -> Policy:
    """The trained model; there is one training seed, 0."""
    if seed != 0:
        raise FileNotFoundError(f"quadruped_walk was trained with seed 0 alone, not {seed}")
    load_weights(module := Walker(), Path(__file__).with_name("weights.safetensors"))
    return describe(module.eval())


def describe(module: Walker) -> Policy:
    """Components and entries of a model of any width."""
    history = 0.3 * torch.sin(torch.arange(float(FRAME * HISTORY))).reshape(1, FRAME, HISTORY)
    command = 0.5 * torch.cos(torch.arange(float(COMMAND)))[None]
    examples = {"history": history, "command": command}
    return Policy(
        name="quadruped_walk",
        module=module,
        components=tuple(Component(part, (part,)) for part in COMPONENTS),
        entries=(Entry("act", _act, examples), Entry("value", Walker.value, examples)),
    )


def task() -> Task:
    """Ten seconds and two commands; done when the robot stood and its mean errors were within bounds."""
    return Task(
        make_env=QuadrupedWalk,
        to_inputs=_to_inputs,
        to_action=_to_action,
        control_hz=CONTROL_HZ,
        success=_success,
        return_range=(0.0, EPISODE_STEPS),  # rewards in [0, 1]
    )


def _act(module: Walker, history: torch.Tensor, command: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"action": module.act(history, command)}


def _to_inputs(observation: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(observation[name], np.float32)[None] for name in ("history", "command")}


def _to_action(outputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(outputs["action"], np.float32).reshape(-1)


def _success(info: dict[str, Any]) -> bool:
    return bool(info["success"])
