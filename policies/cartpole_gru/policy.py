"""A recurrent policy on cart-pole swing-up that sees no velocities: encoder, GRU and head, all on the board."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.policy.weights import load_weights

from ..tdmpc_cartpole.environment import CONTROL_HZ, EPISODE_STEPS
from .environment import make_env
from .model import Recurrent

COMPONENTS = ("encoder", "memory", "head")


def policy() -> Policy:
    """The trained model."""
    load_weights(module := Recurrent(), Path(__file__).with_name("weights.safetensors"))
    return describe(module.eval())


def describe(module: Recurrent) -> Policy:
    """Components and the entry of a model of any width."""
    examples = {
        "observation": torch.tensor([[0.1, -0.9, 0.4]]),
        "hidden": torch.zeros(1, module.memory.hidden_size),
    }
    return Policy(
        name="cartpole_gru",
        module=module,
        components=tuple(Component(part, (part,)) for part in COMPONENTS),
        entries=(Entry("act", Recurrent.act, examples, feeds={"hidden": ("act.hidden",)}),),
    )


def task() -> Task:
    """Ten seconds from hanging; done when the pole has been upright for the last two."""
    return Task(
        make_env=make_env,
        to_inputs=_to_inputs,
        to_action=_to_action,
        control_hz=CONTROL_HZ,
        success=_success,
        return_range=(0.0, EPISODE_STEPS),  # rewards in [0, 1]
    )


def _to_inputs(observation: Any) -> dict[str, np.ndarray]:
    return {"observation": np.asarray(observation, np.float32).reshape(1, -1)}


def _to_action(outputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(outputs["action"], np.float32).reshape(-1)


def _success(info: dict[str, Any]) -> bool:
    return bool(info["success"])
