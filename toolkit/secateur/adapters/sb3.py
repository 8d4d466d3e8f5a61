"""Policies that stable-baselines3 saved: ``PPO`` (``A2C``), ``SAC`` and ``TD3`` (``DDPG``) ``.zip`` files.

Such a file holds ``policy.pth``, a state dict, and ``data``, JSON in which everything that JSON cannot say is a
pickle in base64. Weights are read from the first; of the second only plain fields are, and no pickle is opened. What
a custom class of policy or features extractor computes stands in neither, so these are refused.

Layout as of stable-baselines3 2.9 (``common/policies.py``, ``common/torch_layers.py``, ``sac/policies.py``,
``td3/policies.py``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from torch import nn

from secateur.adapters.actor_critic import (
    ACTION,
    LOGITS,
    SQUASHED,
    ActorCritic,
    HasSpaces,
    Scaled,
    describe,
    examples,
    is_image,
    make_task,
    subspaces,
)
from secateur.adapters.archive import (
    LARGEST_BYTES,
    LARGEST_TEXT_BYTES,
    State,
    read_checkpoint,
    read_json,
    read_member,
    state_of,
    under,
)
from secateur.adapters.layers import (
    ACTIVATIONS,
    Clip,
    Normalisation,
    convolution,
    linear,
    normalisers,
    sequential,
    split_head,
)
from secateur.errors import SecateurError
from secateur.policy.policy import Policy

task = make_task

_OWN_CLASSES = ("common.policies", "sac.policies", "td3.policies")
_EXTRACTORS = ("FlattenExtractor", "NatureCNN", "CombinedExtractor")
_NATURE_STRIDES = {0: 4, 2: 2, 4: 1}
"""Number of a convolution in ``NatureCNN`` → its stride (Mnih et al. 2015)."""


def load_ppo(
    path: str | Path,
    env: HasSpaces,
    *,
    normalise: Normalisation = None,
    activation: str | None = None,
    name: str = "ppo",
) -> Policy:
    """A PPO or A2C policy; the deployed action is its mean, clipped to the action space.

    Args:
        path: the ``.zip`` that ``model.save`` wrote.
        env: the environment it was trained in, or anything with its two spaces.
        normalise: statistics of ``VecNormalize``, as ``.npz`` or arrays; see docs/bring-your-own-policy.md.
        activation: of the hidden layers, where the file does not tell.
        name: of the policy.

    Raises:
        SecateurError: not such a file, a custom class, or layers that do not fit the spaces.
    """
    saved = _read(Path(path), "action_net.", activation, "tanh")
    if saved.told.get("squash_output"):
        raise SecateurError(
            "PPO's mean action is not squashed", f"{path} has squash_output", "Use secateur init for it."
        )
    state = saved.state
    actor = sequential(under(state, "mlp_extractor.policy_net."), saved.activation, "PPO's actor", True)
    critic = sequential(under(state, "mlp_extractor.value_net."), saved.activation, "PPO's critic", True)
    critic.append(linear(under(state, "value_net."), "PPO's value head"))
    shared = saved.told.get("share_features_extractor", True)
    acted = env.action_space
    bound, output = (nn.Identity(), LOGITS) if isinstance(acted, spaces.Discrete) else (_clip(acted), ACTION)
    head = linear(under(state, "action_net."), "PPO's head")
    of_critic = None if shared else "vf_features_extractor."
    parts = _Parts(actor, head, bound, output, [critic], "pi_features_extractor.", of_critic, False)
    return _policy(name, saved, env, normalise, parts)


def load_sac(
    path: str | Path,
    env: HasSpaces,
    *,
    normalise: Normalisation = None,
    activation: str | None = None,
    name: str = "sac",
) -> Policy:
    """A SAC policy; the deployed action is tanh of its mean, in (−1, 1), which the task stretches to the bounds.

    Arguments and errors are those of ``load_ppo``.
    """
    saved = _read(Path(path), "actor.latent_pi.", activation, "relu")
    if "actor.mu.weight" not in saved.state:
        raise SecateurError(
            "SAC's mean is a linear layer", f"{path} was trained with gSDE, which clips it", "Train without."
        )
    actor = sequential(under(saved.state, "actor.latent_pi."), saved.activation, "SAC's actor", True)
    return _off_policy(
        name, saved, env, normalise, actor, linear(under(saved.state, "actor.mu."), "SAC's mean")
    )


def load_td3(
    path: str | Path,
    env: HasSpaces,
    *,
    normalise: Normalisation = None,
    activation: str | None = None,
    name: str = "td3",
) -> Policy:
    """A TD3 or DDPG policy; the deployed action is in (−1, 1), which the task stretches to the bounds.

    Arguments and errors are those of ``load_ppo``.
    """
    saved = _read(Path(path), "actor.mu.0.", activation, "relu")
    network = sequential(under(saved.state, "actor.mu."), saved.activation, "TD3's actor")
    return _off_policy(name, saved, env, normalise, *split_head(network))


class _Saved(NamedTuple):
    """What a file tells: its weights, the plain fields of ``policy_kwargs``, and the activation."""

    state: State
    told: Mapping[str, Any]
    activation: str


class _Parts(NamedTuple):
    """What algorithms differ in: networks, what is done to the mean, and where features extractors stand."""

    actor: nn.Module
    head: nn.Module
    bound: nn.Module
    output: str
    critics: list[nn.Module]
    extractor: str
    critic_extractor: str | None
    critics_read_action: bool


def _read(path: Path, sign: str, activation: str | None, usual: str) -> _Saved:
    """Opens a file. ``sign`` begins a name that every policy of the algorithm has."""
    data = read_json(read_member(path, "data", LARGEST_TEXT_BYTES), path)
    found = read_checkpoint(read_member(path, "policy.pth", LARGEST_BYTES), path)
    state = state_of(found, path)
    if not under(state, sign):
        loaders = {"action_net.": "load_ppo", "actor.latent_pi.": "load_sac", "actor.mu.0.": "load_td3"}
        others = [function for other, function in loaders.items() if under(state, other)]
        raise SecateurError(
            f"a policy of this algorithm has {sign}*",
            f"{path} has {', '.join(list(state)[:3])}, …",
            f"Use {others[0]}." if others else "It is a policy of another algorithm.",
        )
    kind = data.get("policy_class")
    made_in = kind.get("__module__") if isinstance(kind, dict) else None
    if made_in not in [f"stable_baselines3.{one}" for one in _OWN_CLASSES]:
        raise SecateurError(
            "the policy's class is one of stable-baselines3's own",
            f"{path}: it was defined in {made_in}",
            "What it computes is not in the file: use secateur init for your class.",
        )
    told = data.get("policy_kwargs")
    told = told if isinstance(told, dict) else {}
    extractor = str(told.get("features_extractor_class", "FlattenExtractor"))
    if not any(
        extractor.endswith((one, f"stable_baselines3.common.torch_layers.{one}'>")) for one in _EXTRACTORS
    ):
        raise SecateurError(
            "the features extractor is one of stable-baselines3's own",
            f"{path} has {extractor}",
            "What it computes is not in the file: use secateur init for your class.",
        )
    return _Saved(state, told, activation or _activation(told, path, usual))


def _activation(told: Mapping[str, Any], path: Path, usual: str) -> str:
    if "activation_fn" not in told:
        return usual
    names = {f"torch.nn.modules.activation.{getattr(a, '__name__', '')}": n for n, a in ACTIVATIONS.items()}
    written = str(told["activation_fn"]).removeprefix("<class '").removesuffix("'>")
    if written not in names:
        raise SecateurError(
            "the activation is one of torch's",
            f"{path} was trained with {written}",
            f"Say which it is: activation= one of {', '.join(ACTIVATIONS)}.",
        )
    return names[written]


def _clip(space: spaces.Space[Any]) -> nn.Module:
    if not isinstance(space, spaces.Box):
        raise SecateurError("actions are a box or discrete", f"got {space}", "Train with one of these.")
    low, high = np.ravel(space.low), np.ravel(space.high)
    return Clip(low, high) if np.isfinite(low).all() and np.isfinite(high).all() else nn.Identity()


def _off_policy(
    name: str, saved: _Saved, env: HasSpaces, normalise: Normalisation, actor: nn.Module, head: nn.Module
) -> Policy:
    numbers = sorted({n.split(".")[1] for n in saved.state if n.startswith("critic.qf")})
    critics: list[nn.Module] = [
        sequential(under(saved.state, f"critic.{one}."), saved.activation, f"critic {one}") for one in numbers
    ]
    prefixes = "actor.features_extractor.", "critic.features_extractor."
    return _policy(
        name, saved, env, normalise, _Parts(actor, head, nn.Tanh(), SQUASHED, critics, *prefixes, True)
    )


def _policy(name: str, saved: _Saved, env: HasSpaces, normalise: Normalisation, parts: _Parts) -> Policy:
    observed = env.observation_space
    extractors = _extractors(saved, observed, parts.extractor)
    of_critic = None
    if parts.critic_extractor and any(is_image(part) for part in subspaces(observed).values()):
        of_critic = _extractors(saved, observed, parts.critic_extractor)
    module = ActorCritic(
        *(extractors, parts.actor, parts.head, parts.bound, parts.output, parts.critics),
        *(normalisers(normalise, list(extractors)), of_critic),
    )
    return describe(name, module, examples(observed), parts.critics_read_action)


def _extractors(saved: _Saved, observed: spaces.Space[Any], prefix: str) -> dict[str, nn.Module]:
    """Key → ``NatureCNN`` for cameras, nothing for vectors, with the weights under ``prefix``."""
    state, found = under(saved.state, prefix), dict[str, nn.Module]()
    single = not isinstance(observed, spaces.Dict)
    for key, part in subspaces(observed).items():
        own = state if single else under(state, f"extractors.{key}.")
        if is_image(part) and own:
            found[key] = _nature(own, key, bool(saved.told.get("normalize_images", True)))
            state = {n: t for n, t in state.items() if n.removeprefix(f"extractors.{key}.") not in own}
        else:
            found[key] = nn.Identity()
    if state:
        raise SecateurError(
            "features extractors are NatureCNN for cameras and nothing for vectors",
            f"the file has {prefix}{next(iter(state))}",
            "What a custom one computes is not in the file: use secateur init for your class.",
        )
    return found


def _nature(state: State, key: str, scaled: bool) -> nn.Module:
    what = f"the camera {key}"
    layers: list[nn.Module] = []
    for number, stride in _NATURE_STRIDES.items():
        layers += [convolution(under(state, f"cnn.{number}."), stride, what), nn.ReLU()]
    last = [nn.Flatten(), linear(under(state, "linear.0."), what), nn.ReLU()]
    network = nn.Sequential(*layers, *last)
    return Scaled(network) if scaled else network
