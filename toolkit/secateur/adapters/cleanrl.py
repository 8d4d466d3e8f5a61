"""Agents as CleanRL's single files define them: ``actor_mean`` (or ``actor``) and ``critic``, both ``nn.Sequential``.

Layout as of CleanRL's ``ppo_continuous_action.py`` and ``ppo.py``, which save ``agent.state_dict()``.
"""

from pathlib import Path

import numpy as np
from gymnasium import spaces
from torch import nn

from secateur.adapters.actor_critic import (
    ACTION,
    LOGITS,
    ActorCritic,
    HasSpaces,
    describe,
    examples,
    make_task,
    subspaces,
)
from secateur.adapters.archive import read_state, refuse_rest, under
from secateur.adapters.layers import Clip, Normalisation, normalisers, sequential, split_head
from secateur.errors import SecateurError
from secateur.policy.policy import Policy

task = make_task


def load_ppo(
    path: str | Path,
    env: HasSpaces,
    *,
    activation: str,
    normalise: Normalisation = None,
    name: str = "cleanrl_ppo",
) -> Policy:
    """A PPO agent; the deployed action is its mean, clipped to the action space, or one logit per choice.

    Args:
        path: ``torch.save(agent.state_dict(), path)``, or the same as safetensors.
        env: the environment without wrappers that normalise, or anything with its two spaces.
        activation: of the hidden layers, ``"tanh"`` unless you changed it; a state dict does not tell.
        normalise: what ``NormalizeObservation`` and the clipping around it did.
        name: of the policy.

    Raises:
        SecateurError: not such a file, other layers than linear ones, or layers that do not fit the spaces.
    """
    state = read_state(Path(path))
    discrete = isinstance(env.action_space, spaces.Discrete)
    prefix = "actor." if discrete else "actor_mean."
    refuse_rest(state, (prefix, "critic.", "actor_logstd"), Path(path))
    actor, head = split_head(sequential(under(state, prefix), activation, "the actor"))
    critic = sequential(under(state, "critic."), activation, "the critic")
    bound: nn.Module = nn.Identity()
    if isinstance(env.action_space, spaces.Box):
        low, high = np.ravel(env.action_space.low), np.ravel(env.action_space.high)
        bound = Clip(low, high) if np.isfinite([low, high]).all() else bound
    keys = list(subspaces(env.observation_space))
    if len(keys) != 1:
        raise SecateurError("the agent reads one vector", f"the space has {', '.join(keys)}", "Flatten it.")
    module = ActorCritic(
        *({keys[0]: nn.Identity()}, actor, head, bound, LOGITS if discrete else ACTION, [critic]),
        normalisers(normalise, keys),
    )
    return describe(name, module, examples(env.observation_space), False)
