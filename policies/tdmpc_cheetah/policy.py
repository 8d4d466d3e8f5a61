"""TD-MPC on a planar runner: five components around one latent; encoder and policy go to the board."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.policy.policy import Policy, Task
from secateur.policy.weights import load_weights

from ..tdmpc import description
from ..tdmpc.model import TDMPC
from .environment import CONTROL_HZ, EPISODE_STEPS, CheetahRun
from .settings import PLANNER


def policy(seed: int = 0) -> Policy:
    """The trained model of a training seed: 0 is the shipped one, 1 and 2 are references beside it."""
    folder = Path(__file__).parent
    module = TDMPC(observation_size=17, action_size=6, hidden=256)
    load_weights(
        module, folder / ("weights.safetensors" if seed == 0 else f"references/seed{seed}.safetensors")
    )
    return describe(module.eval())


def describe(module: TDMPC) -> Policy:
    """Components and entries of a model of any width."""
    observation, action = 0.3 * torch.sin(torch.arange(17.0)), torch.cos(torch.arange(6.0))
    return description.describe("tdmpc_cheetah", module, observation[None], action[None], PLANNER)


def task() -> Task:
    """Ten seconds from a random pose; the return is the distance run, in units of 0.4 m."""
    return Task(
        make_env=CheetahRun,
        to_inputs=_to_inputs,
        to_action=_to_action,
        control_hz=CONTROL_HZ,
        return_range=(0.0, EPISODE_STEPS),  # rewards in [0, 1]
    )


def _to_inputs(observation: Any) -> dict[str, np.ndarray]:
    return {"observation": np.asarray(observation, np.float32).reshape(1, -1)}


def _to_action(outputs: dict[str, np.ndarray]) -> np.ndarray:
    (action,) = outputs.values()
    return np.asarray(action, np.float32).reshape(-1)
