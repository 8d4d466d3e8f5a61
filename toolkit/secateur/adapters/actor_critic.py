"""An actor and its critics as most libraries of reinforcement learning build them, and the task around them.

Observation → normalisation → a features extractor for each key → actor (the trunk) → head → action. Critics are not
deployed: they tell importance what the value of a state rests on, and are pruned along or left whole.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from secateur.adapters.layers import Normalisation, normalisers
from secateur.errors import SecateurError
from secateur.policy.policy import Component, Entry, Policy, Task

OBSERVATION = "observation"
"""What the input is called where there is only one."""

SQUASHED, ACTION, LOGITS = "squashed", "action", "logits"
"""Names of the output: in (−1, 1), to be stretched to the bounds; in the environment's units; one per choice."""

OWN = ("actor", "head", "critic")


class HasSpaces(Protocol):
    """A Gymnasium environment, or anything else that has its two spaces."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]


class ActorCritic(nn.Module):
    """The network. Inputs are ``[batch, n]``, or ``[batch, channels, height, width]`` in 0–255 for cameras."""

    def __init__(
        self,
        extractors: Mapping[str, nn.Module],
        actor: nn.Module,
        head: nn.Module,
        bound: nn.Module,
        output: str,
        critics: Sequence[nn.Module],
        normalise: Mapping[str, nn.Module],
        critic_extractors: Mapping[str, nn.Module] | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
            extractors: key → features extractor, in the order in which features are concatenated.
            actor: features → what the head reads.
            head: one linear layer.
            bound: what is done to the mean action: tanh, clipping, nothing.
            output: the output's name.
            critics: features (and action) → value.
            normalise: key → ``Normalise``, for keys that have statistics.
            critic_extractors: the critics' own; None where they share the actor's.
        """
        super().__init__()
        self.extractors = nn.ModuleDict(dict(extractors))
        self.actor, self.head, self.bound, self.output = actor, head, bound, output
        self.critics = nn.ModuleList(critics)
        self.normalise = nn.ModuleDict(dict(normalise))
        self.critic_extractors = None if critic_extractors is None else nn.ModuleDict(dict(critic_extractors))

    def forward(self, **observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same as ``act``."""
        return self.act(**observation)

    def act(self, **observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """What runs on the robot: observation → the mean action ``[batch, n]``."""
        features = self._features(self.extractors, observation)
        return {self.output: self.bound(self.head(self.actor(features)))}

    def value(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Observation, and the action where critics read it → one value ``[batch, 1]`` per critic."""
        of_critics = self.extractors if self.critic_extractors is None else self.critic_extractors
        read = self._features(of_critics, inputs)
        if ACTION in inputs and ACTION not in of_critics:
            read = torch.cat([read, inputs[ACTION]], 1)
        return {f"q{number}": critic(read) for number, critic in enumerate(self.critics)}

    def _features(self, extractors: nn.ModuleDict, observation: Mapping[str, torch.Tensor]) -> torch.Tensor:
        parts = []
        for key, extractor in extractors.items():
            x = observation[key]
            parts.append(extractor(self.normalise[key](x) if key in self.normalise else x))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


class Scaled(nn.Module):
    """A camera's extractor that takes 0–255 and sees 0–1."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[batch, channels, height, width]`` → features ``[batch, n]``."""
        return self.extractor(image / 255.0)


def describe(
    name: str, module: ActorCritic, observation: Mapping[str, torch.Tensor], critics_read_action: bool
) -> Policy:
    """The policy around a network: a component for each extractor with weights, actor, head and critic.

    Args:
        name: of the policy.
        module: the network.
        observation: an example, key → ``[1, ...]``.
        critics_read_action: whether critics are functions of observation and action.

    Raises:
        SecateurError: the parts do not fit each other.
    """
    module.eval()
    try:
        with torch.no_grad():
            action = module.act(**observation)[module.output]
            entries = [Entry("act", ActorCritic.act, dict(observation))]
            if len(module.critics):
                more = {ACTION: action} if critics_read_action else {}
                feeds = {ACTION: ("act",)} if critics_read_action else {}
                entries.append(Entry("value", ActorCritic.value, {**observation, **more}, feeds))
                module.value(**observation, **more)
    except RuntimeError as error:
        raise SecateurError(
            "the checkpoint's layers fit the observation",
            f"{name}: {' '.join(str(error).split())}",
            "Give the spaces (or the observation's size) that it was trained with.",
        ) from error
    parts = [
        Component(f"{key}_extractor" if key in OWN else key, (f"extractors.{key}",))
        for key, extractor in module.extractors.items()
        if any(True for _ in extractor.parameters())
    ]
    parts += [
        Component(part, (part,))
        for part in ("actor", "head")
        if any(True for _ in getattr(module, part).parameters())
    ]
    of_critic = ["critics"] if len(module.critics) else []
    of_critic += ["critic_extractors"] if module.critic_extractors is not None else []
    if of_critic:
        parts.append(Component("critic", tuple(of_critic)))
    return Policy(name, module, tuple(parts), tuple(entries))


def is_image(space: spaces.Space[Any]) -> bool:
    """A camera, as stable-baselines3 tells: three axes of whole numbers from 0 to 255."""
    return (
        isinstance(space, spaces.Box)
        and len(space.shape) == 3
        and space.dtype == np.uint8
        and bool((space.low == 0).all() and (space.high == 255).all())
    )


def subspaces(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """Key → space, in order; one key, ``observation``, where the space is no dict.

    Raises:
        SecateurError: a space that is not made of boxes and discrete values.
    """
    found = dict(space.spaces) if isinstance(space, spaces.Dict) else {OBSERVATION: space}
    for key, part in found.items():
        if not isinstance(part, spaces.Box | spaces.Discrete):
            raise SecateurError(
                "observations are boxes or discrete values, or a dict of them",
                f"{key} is {type(part).__name__}",
                "Flatten it in a wrapper of the environment, and train with that.",
            )
    return found


def to_input(space: spaces.Space[Any], value: Any) -> np.ndarray:
    """One part of an observation as the network takes it, ``[1, ...]`` float32.

    Discrete values become one-hot, and the channels of a camera come first.
    """
    if isinstance(space, spaces.Discrete):
        return np.eye(int(space.n), dtype=np.float32)[[int(value) - int(space.start)]]
    array = np.asarray(value, np.float32)
    if not is_image(space):
        return array.reshape(1, -1)
    return (array if np.argmin(array.shape) == 0 else np.moveaxis(array, -1, 0))[None]


def examples(space: spaces.Space[Any]) -> dict[str, torch.Tensor]:
    """An observation of zeros, as ``to_input`` gives it."""
    return {
        key: torch.from_numpy(
            to_input(part, part.start if isinstance(part, spaces.Discrete) else np.zeros(part.shape or ()))
        )
        for key, part in subspaces(space).items()
    }


def make_task(
    make_env: Callable[[], gymnasium.Env],
    control_hz: float,
    success: Callable[[dict[str, Any]], bool] | None = None,
    normalise: Normalisation = None,
) -> Task:
    """The task of a policy that an adapter loaded, from the environment that it was trained in.

    Args:
        make_env: a new environment, without ``VecNormalize``.
        control_hz: steps a second.
        success: the last ``info`` of an episode → whether it succeeded.
        normalise: statistics, where observations are to be normalised before the network and not in it.
    """
    env = make_env()
    observed, acted = env.observation_space, env.action_space
    env.close()
    parts = subspaces(observed)
    layers = normalisers(normalise, list(parts))

    def to_inputs(observation: Any) -> dict[str, np.ndarray]:
        single = not isinstance(observed, spaces.Dict)
        found = {}
        for key, part in parts.items():
            found[key] = to_input(part, observation if single else observation[key])
            if key in layers:
                found[key] = layers[key](torch.from_numpy(found[key])).numpy()
        return found

    def to_action(outputs: dict[str, np.ndarray]) -> Any:
        (name,) = [one for one in (SQUASHED, ACTION, LOGITS) if one in outputs]
        value = np.asarray(outputs[name], np.float32)[0]
        if isinstance(acted, spaces.Discrete):
            return int(value.argmax() + acted.start)
        if not isinstance(acted, spaces.Box):
            raise SecateurError("actions are a box or discrete", f"got {acted}", "Write to_action yourself.")
        value = value.reshape(acted.shape)
        if name == SQUASHED:
            value = acted.low + (value + 1) / 2 * (acted.high - acted.low)
        return np.clip(value, acted.low, acted.high).astype(acted.dtype)

    return Task(make_env, to_inputs, to_action, control_hz, success)
