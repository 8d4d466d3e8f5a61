"""TD-MPC on cart-pole swing-up: five components around one latent; encoder and policy go to the board."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.policy.planning import PlannerSettings
from secateur.policy.policy import Policy, Task
from secateur.policy.weights import load_weights

from ..tdmpc import description
from ..tdmpc.model import TDMPC
from .environment import CONTROL_HZ, EPISODE_STEPS, CartPoleSwingUp


def policy(seed: int = 0) -> Policy:
    """The trained model of a training seed: 0 is the shipped one, 1 and 2 are references beside it."""
    folder = Path(__file__).parent
    module = TDMPC(observation_size=5, action_size=1)
    load_weights(
        module, folder / ("weights.safetensors" if seed == 0 else f"references/seed{seed}.safetensors")
    )
    return describe(module.eval())


def describe(module: TDMPC) -> Policy:
    """Components and entries of a model of any width."""
    observation = torch.tensor([[0.1, -0.9, 0.4, 0.2, -0.3]])
    return description.describe(
        "tdmpc_cartpole", module, observation, torch.tensor([[0.5]]), PlannerSettings()
    )


def task() -> Task:
    """Ten seconds from hanging; done when the pole has been upright for the last two."""
    return Task(
        make_env=CartPoleSwingUp,
        to_inputs=_to_inputs,
        to_action=_to_action,
        control_hz=CONTROL_HZ,
        success=_success,
        return_range=(0.0, EPISODE_STEPS),  # rewards in [0, 1]
    )


def _to_inputs(observation: Any) -> dict[str, np.ndarray]:
    return {"observation": np.asarray(observation, np.float32).reshape(1, -1)}


def _to_action(outputs: dict[str, np.ndarray]) -> np.ndarray:
    (action,) = outputs.values()
    return np.asarray(action, np.float32).reshape(-1)


def _success(info: dict[str, Any]) -> bool:
    return bool(info["success"])
