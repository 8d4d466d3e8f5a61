"""Checkpoints as other libraries write them, with random weights."""

import io
import zipfile
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import torch
from gymnasium import spaces

CAMERA = spaces.Dict(
    {
        "camera": spaces.Box(0, 255, (3, 36, 36), np.uint8),
        "joints": spaces.Box(-1, 1, (4,), np.float32),
        "mode": spaces.Discrete(3),
    }
)


def spaces_of(observation, action):
    """What a loader reads of an environment."""
    return SimpleNamespace(observation_space=observation, action_space=action, close=lambda: None)


VECTOR = spaces_of(spaces.Box(-2, 2, (5,), np.float32), spaces.Box(-1.5, 1.5, (2,), np.float32))


def layers(prefix, *widths, seed=0, step=2, normed=0, stacked=0):
    """Linear layers as a state dict, the first ``normed`` of them followed by a layer norm of their own."""
    generator = torch.Generator().manual_seed(seed)
    first = (stacked,) if stacked else ()
    state = {}
    for number, (into, out) in enumerate(pairwise(widths)):
        name = f"{prefix}{number * step}"
        state[f"{name}.weight"] = torch.randn(*first, out, into, generator=generator) / into**0.5
        state[f"{name}.bias"] = torch.randn(*first, out, generator=generator) / 4
        if number < normed:
            state[f"{name}.ln.weight"] = 1 + torch.randn(*first, out, generator=generator) / 8
            state[f"{name}.ln.bias"] = torch.randn(*first, out, generator=generator) / 8
    return state


def torch_bytes(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def sb3_state(observation=5, action=2, hidden=8):
    """A PPO policy's ``policy.pth``."""
    return {
        **layers("mlp_extractor.policy_net.", observation, hidden, hidden),
        **layers("mlp_extractor.value_net.", observation, hidden, hidden, seed=1),
        **{k.replace("0.", ""): t for k, t in layers("action_net.0.", hidden, action, step=1).items()},
        **{k.replace("0.", ""): t for k, t in layers("value_net.0.", hidden, 1, step=1).items()},
        "log_std": torch.zeros(action),
    }


SB3_DATA = b'{"policy_class": {"__module__": "stable_baselines3.common.policies"}, "policy_kwargs": {}}'


def sb3_zip(path, state=None, data=SB3_DATA, **more):
    """A file with the members of ``PPO.save``; ``more`` replaces or adds members by name."""
    members = {"data": data, "policy.pth": torch_bytes(sb3_state() if state is None else state), **more}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def tdmpc2_state(observation=5, action=2, latent=16, hidden=12, bins=11, members=3, tasks=0):
    """A world model's state dict; with tasks, embeddings of four numbers and a mask of actions."""
    extra = 4 if tasks else 0
    both = latent + action + extra
    state = {
        **layers("_encoder.state.", observation + extra, hidden, latent, step=1, normed=2),
        **layers("_dynamics.", both, hidden, hidden, latent, step=1, normed=3, seed=1),
        **layers("_reward.", both, hidden, hidden, bins, step=1, normed=2, seed=2),
        **layers("_pi.", latent + extra, hidden, hidden, 2 * action, step=1, normed=2, seed=3),
        **layers("_Qs.params.", both, hidden, hidden, bins, step=1, normed=2, seed=4, stacked=members),
        "log_std_min": torch.tensor(-10.0),
    }
    if tasks:
        state["_task_emb.weight"] = torch.randn(tasks, 4, generator=torch.Generator().manual_seed(5))
        state["_action_masks"] = torch.ones(tasks, action)
    return state
