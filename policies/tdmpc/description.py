"""A TD-MPC model as secateur sees it: five components around one latent, six entries, a planner."""

import torch

from secateur.policy.planning import PlannerSettings, Planning
from secateur.policy.policy import Component, Entry, Policy

from .model import TDMPC

COMPONENTS = ("encoder", "dynamics", "reward", "value", "policy")


def describe(
    name: str, module: TDMPC, observation: torch.Tensor, action: torch.Tensor, planner: PlannerSettings
) -> Policy:
    """Components and entries of a TDMPC of any width.

    Args:
        name: of the policy.
        module: in evaluation mode.
        observation: an example, ``[1, width]``.
        action: an example, ``[1, width]``.
        planner: how much is planned where the planner moves the robot.
    """
    with torch.no_grad():
        latent = module.encode(observation)
    both = {"latent": latent, "action": action}
    foreseen = {"latent": ("encode", "next"), "action": ("act",)}
    return Policy(
        name=name,
        module=module,
        components=tuple(Component(part, (part,)) for part in COMPONENTS),
        entries=(
            Entry("act", TDMPC.act, {"observation": observation}),
            Entry("encode", TDMPC.encode, {"observation": observation}),
            Entry("next", TDMPC.next, both, feeds=foreseen),
            Entry("reward", TDMPC.reward_of, both, feeds=foreseen),
            Entry("value", TDMPC.value_of, both, feeds=foreseen),
            Entry("choose", TDMPC.action_of, {"latent": latent}, feeds={"latent": ("encode", "next")}),
        ),
        planning=Planning(settings=planner),
    )
