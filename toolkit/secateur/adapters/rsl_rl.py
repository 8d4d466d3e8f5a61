"""Actor-critics of rsl_rl, which trains legged robots: the files ``model_*.pt`` of its runner.

Up to rsl_rl 4 such a file holds ``model_state_dict`` with ``actor.*``, ``critic.*`` and ``std``, and the normaliser in
it or beside it; from 5 on ``actor_state_dict`` and ``critic_state_dict`` with ``mlp.*`` and ``obs_normalizer.*``
(``modules/actor_critic.py`` of 3.3, ``models/mlp_model.py`` and ``modules/normalization.py`` of 5.5).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from secateur.adapters.actor_critic import ACTION, OBSERVATION, ActorCritic, describe
from secateur.adapters.archive import State, read_checkpoint, read_file, refuse_rest, state_of, under
from secateur.adapters.layers import Normalise, Statistics, sequential, split_head
from secateur.errors import SecateurError
from secateur.policy.policy import Policy

EPSILON = 1e-2
"""That ``EmpiricalNormalization`` adds to the standard deviation."""

_DEVIATIONS = ("std", "log_std", "distribution.std_param", "distribution.log_std_param")


def load_actor_critic(path: str | Path, *, activation: str, name: str = "rsl_rl") -> Policy:
    """An actor with its critic; the deployed action is the actor's mean, as the simulator takes it.

    The critic is left out where it reads another observation than the actor ("privileged" ones).

    Args:
        path: ``model_*.pt``.
        activation: of the hidden layers, ``"elu"`` unless the training configuration says otherwise; the file does not.
        name: of the policy.

    Raises:
        SecateurError: not such a file, a recurrent or convolutional model, or an actor whose output is no plain mean.
    """
    path = Path(path)
    found = read_checkpoint(read_file(path), path)
    if not isinstance(found, Mapping):
        raise SecateurError("model_*.pt holds a dict", f"{path} holds {type(found).__name__}", "Save it so.")
    of_actor, of_critic, normaliser, read_by_critic = _parts(found, path)
    actor, head = split_head(sequential(of_actor, activation, "the actor"))
    width = of_actor["0.weight"].shape[-1]
    critics: list[nn.Module] = []
    same = _alike(normaliser, read_by_critic)
    if of_critic and same and of_critic.get("0.weight", torch.empty(0)).shape[-1:] == (width,):
        critics = [sequential(of_critic, activation, "the critic")]
    normalise = {OBSERVATION: Normalise(_statistics(normaliser, path))} if normaliser else {}
    module = ActorCritic({OBSERVATION: nn.Identity()}, actor, head, nn.Identity(), ACTION, critics, normalise)
    return describe(name, module, {OBSERVATION: torch.zeros(1, width)}, False)


def _parts(found: Mapping[str, object], path: Path) -> tuple[State, State, State, State]:
    """Layers of actor and critic, and what normalises the observation of each."""
    if "actor_state_dict" in found:
        actor = state_of(found["actor_state_dict"], path)
        critic = state_of(found.get("critic_state_dict", {}), path)
        refuse_rest(actor, ("mlp.", "obs_normalizer.", "distribution."), path)
        mlps = under(actor, "mlp."), under(critic, "mlp.")
        normalisers = under(actor, "obs_normalizer."), under(critic, "obs_normalizer.")
        deviations = actor
    else:
        state = state_of(found.get("model_state_dict"), path, "model_state_dict or actor_state_dict")
        known = ("actor.", "critic.", "actor_obs_normalizer.", "critic_obs_normalizer.", *_DEVIATIONS[:2])
        refuse_rest(state, known, path)
        mlps = under(state, "actor."), under(state, "critic.")
        beside = [found.get(n, {}) for n in ("obs_norm_state_dict", "privileged_obs_norm_state_dict")]
        normalisers = (
            under(state, "actor_obs_normalizer.") or state_of(beside[0], path),
            under(state, "critic_obs_normalizer.") or state_of(beside[1], path),
        )
        deviations = state
    if not any(name in deviations for name in _DEVIATIONS):
        raise SecateurError(
            "the actor gives a mean, with a deviation that is a parameter of its own",
            f"{path} has none of {', '.join(_DEVIATIONS)}: the actor gives more than a mean",
            "Write a policy.py around your own module: secateur init MODULE.py:Class.",
        )
    return (*mlps, *normalisers)


def _alike(one: State, other: State) -> bool:
    """Whether two normalisers do the same to within a hundredth of a deviation."""
    if not one and not other:
        return True
    if not {"_mean", "_std"} <= one.keys() or "_mean" not in other:
        return False
    if not one["_mean"].shape == one["_std"].shape == other["_mean"].shape:
        return False
    return bool(((one["_mean"] - other["_mean"]).abs() <= 0.01 * (one["_std"] + EPSILON)).all())


def _statistics(normaliser: State, path: Path) -> Statistics:
    if not {"_mean", "_std"} <= normaliser.keys():
        raise SecateurError(
            "a normaliser has _mean and _std", f"{path} has {', '.join(normaliser)}", "Save it whole."
        )
    mean, deviation = (np.ravel(normaliser[name].numpy()).astype(np.float64) for name in ("_mean", "_std"))
    return Statistics(mean, deviation**2, EPSILON, float("inf"), on_deviation=True)
