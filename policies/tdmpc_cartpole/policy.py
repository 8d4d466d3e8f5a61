"""TD-MPC on cart-pole swing-up: five components around one latent; encoder and policy go to the board."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.policy.weights import load_weights

from .environment import CONTROL_HZ, CartPoleSwingUp
from .model import TDMPC
from .planner import Planner, PlannerSettings


def policy(seed: int = 0) -> Policy:
    """The trained model of a training seed: 0 is the shipped one, 1 and 2 are references beside it."""
    folder = Path(__file__).parent
    weights = folder / ("weights.safetensors" if seed == 0 else f"references/seed{seed}.safetensors")
    module = TDMPC()
    load_weights(module, weights)
    module.eval()
    return describe(module)


def describe(module: TDMPC) -> Policy:
    """Components and entries of a TDMPC of any width."""
    observation = torch.tensor([[0.1, -0.9, 0.4, 0.2, -0.3]])
    action = torch.tensor([[0.5]])
    with torch.no_grad():
        latent = module.encode(observation)
    foreseen = {"latent": ("encode", "next"), "action": ("act",)}
    return Policy(
        name="tdmpc_cartpole",
        module=module,
        components=tuple(
            Component(name, (name,)) for name in ("encoder", "dynamics", "reward", "value", "policy")
        ),
        entries=(
            Entry("act", TDMPC.act, {"observation": observation}),
            Entry("encode", TDMPC.encode, {"observation": observation}),
            Entry("next", TDMPC.next, {"latent": latent, "action": action}, feeds=foreseen),
            Entry("reward", TDMPC.reward_of, {"latent": latent, "action": action}, feeds=foreseen),
            Entry("value", TDMPC.value_of, {"latent": latent, "action": action}, feeds=foreseen),
        ),
    )


def task() -> Task:
    """Ten seconds from hanging; done when the pole has been upright for the last two."""
    return Task(
        make_env=CartPoleSwingUp,
        to_inputs=_to_inputs,
        to_action=_to_action,
        control_hz=CONTROL_HZ,
        success=_success,
    )


def planner(module: nn.Module, settings: PlannerSettings | None = None, seed: int = 0) -> Planner:
    """A controller, observation ``[5]`` → action ``[1]``, that plans in the latent space of ``module``.

    It uses all five components, so it shows what pruning did to those that ``act`` leaves out.
    Call ``reset(seed)`` on it between episodes.
    """
    return Planner(module, settings, seed)


def _to_inputs(observation: Any) -> dict[str, np.ndarray]:
    return {"observation": np.asarray(observation, np.float32).reshape(1, -1)}


def _to_action(outputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(outputs["action"], np.float32).reshape(-1)


def _success(info: dict[str, Any]) -> bool:
    return bool(info["success"])
