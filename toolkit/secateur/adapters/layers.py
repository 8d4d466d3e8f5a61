"""Layers from the names and shapes of a state dict, and what is not in one: activations, normalisation, bounds."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from secateur.adapters.archive import State, read_file, require_small_unpacked
from secateur.errors import SecateurError, require_known

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
"""Name → activation, as torch makes it without arguments."""

LARGEST_STATISTICS_BYTES = 16 << 20


def sequential(state: State, activation: str, what: str, ends_with_activation: bool = False) -> nn.Sequential:
    """The ``nn.Sequential`` that a state came from: linear layers with an activation after each.

    Args:
        state: ``"0.weight"``, ``"0.bias"``, ``"2.weight"``, …; a number that is missing is an activation.
        activation: a key of ``ACTIVATIONS``.
        what: the network, for messages.
        ends_with_activation: after the last layer too.

    Raises:
        SecateurError: an unknown activation, layers other than linear ones (and layer norms after them), or layers
            that do not fit each other.
    """
    require_known("an activation", activation, ACTIVATIONS, SecateurError)
    layers: dict[int, State] = {}
    for name, tensor in state.items():
        match = re.fullmatch(r"(\d{1,4})\.(weight|bias)", name)
        if match is None:
            raise _unlike(what, f"it has {name}")
        layers.setdefault(int(match[1]), {})[match[2]] = tensor
    if not layers and not ends_with_activation:
        raise _unlike(what, "it has no layer")
    built: list[nn.Module] = []
    width: int | None = None
    for number in sorted(layers):
        if built and number > len(built):
            built.append(ACTIVATIONS[activation]())
        if number != len(built):
            raise _unlike(what, f"layer {number} comes where none is expected")
        built.append(_layer(layers[number], width, f"{what}, layer {number}"))
        width = len(layers[number]["weight"])
    if ends_with_activation and layers:
        built.append(ACTIVATIONS[activation]())
    return nn.Sequential(*built)


def linear(state: State, what: str) -> nn.Linear:
    """One linear layer from ``weight`` and, where there is one, ``bias``."""
    layer = _layer(state, None, what)
    if not isinstance(layer, nn.Linear) or not set(state) <= {"weight", "bias"}:
        raise _unlike(what, f"it has {', '.join(state)}")
    return layer


def convolution(state: State, stride: int, what: str) -> nn.Conv2d:
    """A square convolution without padding."""
    weight, bias = state.get("weight"), state.get("bias")
    if weight is None or weight.dim() != 4 or weight.shape[2] != weight.shape[3]:
        raise _unlike(what, "it has no square kernel")
    out, into, side, _ = weight.shape
    layer = nn.Conv2d(into, out, side, stride, bias=bias is not None)
    fill(layer, state, what)
    return layer


def fill(layer: nn.Module, state: State, what: str) -> None:
    """Gives a module its weights, all by name and shape.

    Raises:
        SecateurError: names the first that is missing, left over or of another shape.
    """
    own = layer.state_dict()
    for name in (*sorted(own.keys() - state.keys()), *sorted(state.keys() - own.keys())):
        raise _unlike(what, f"{name} is {'missing' if name in own else 'left over'}")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise _unlike(what, f"{name} is {list(tensor.shape)}, and {list(own[name].shape)} is expected")
    layer.load_state_dict(state, assign=True)


def split_head(network: nn.Sequential) -> tuple[nn.Sequential, nn.Linear]:
    """A network in two: everything before its last linear layer, and that layer."""
    *trunk, head = network
    if not isinstance(head, nn.Linear):
        raise _unlike("the actor", f"it ends with {type(head).__name__}")
    return nn.Sequential(*trunk), head


def _layer(state: State, width: int | None, what: str) -> nn.Module:
    weight, bias = state.get("weight"), state.get("bias")
    if weight is None or weight.dim() not in (1, 2):
        raise _unlike(what, "it is neither linear nor a layer norm")
    if width is not None and weight.shape[-1] != width:
        raise _unlike(what, f"it takes {weight.shape[-1]} numbers, and the layer before it gives {width}")
    if weight.dim() == 1:
        layer: nn.Module = nn.LayerNorm(len(weight), bias=bias is not None)
    else:
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    fill(layer, state, what)
    return layer


def _unlike(what: str, seen: str) -> SecateurError:
    return SecateurError(
        f"{what} is built as its library builds it",
        seen,
        "Write a policy.py around your own module: secateur init MODULE.py:Class.",
    )


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of observations, as training kept them.

    Attributes:
        mean, variance: ``[n]``.
        epsilon: added to the variance, or to the standard deviation where ``on_deviation``.
        clip: normalised numbers are held within ± this; infinite for no limit.
        on_deviation: where epsilon is added.
    """

    mean: np.ndarray
    variance: np.ndarray
    epsilon: float = 1e-8
    clip: float = 10.0
    on_deviation: bool = False

    @property
    def deviation(self) -> np.ndarray:
        """``[n]``, what is divided by."""
        if self.on_deviation:
            return np.sqrt(self.variance) + self.epsilon
        return np.sqrt(self.variance + self.epsilon)


class Normalise(nn.Module):
    """``clip((x − mean) / deviation)`` with numbers that no training changes."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, statistics: Statistics) -> None:
        """Raises SecateurError where a number is not finite or a variance is negative."""
        super().__init__()
        mean, variance = (np.ravel(a).astype(np.float64) for a in (statistics.mean, statistics.variance))
        if mean.shape != variance.shape or not np.isfinite(mean).all() or not np.isfinite(variance).all():
            raise SecateurError(
                "mean and variance are finite and of one length",
                f"got {list(mean.shape)} and {list(variance.shape)}",
                "Save them from the run that trained the policy.",
            )
        if not (variance >= 0).all() or not (statistics.epsilon > 0 and statistics.clip > 0):
            raise SecateurError("variances and limits are positive", "one is not", "Save them again.")
        deviation = np.ravel(statistics.deviation)
        self.register_buffer("mean", torch.from_numpy(mean).float())
        self.register_buffer("scale", torch.from_numpy(1 / deviation).float())
        self.clip = float(statistics.clip)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, n]`` → the same shape."""
        normal = (x - self.mean) * self.scale
        return normal if self.clip == float("inf") else normal.clamp(-self.clip, self.clip)


Normalisation = str | Path | Statistics | Mapping[str, Statistics] | None
"""Statistics of observations: an ``.npz``, those of the only key, or key → statistics; None for none."""


def statistics_of(given: Normalisation, keys: Sequence[str]) -> dict[str, Statistics]:
    """Key of the observation → its statistics.

    Raises:
        SecateurError: statistics of a key that the observation has not, or a file as ``load_statistics`` refuses it.
    """
    if given is None:
        return {}
    if isinstance(given, str | Path):
        given = load_statistics(given)
    named = {"": given} if isinstance(given, Statistics) else dict(given)
    if set(named) == {""} and len(keys) == 1:
        named = {keys[0]: named[""]}
    if unknown := sorted(set(named) - set(keys)):
        raise SecateurError(
            "statistics are of keys of the observation",
            f"{unknown[0]!r} is none of {', '.join(keys)}",
            "Name them KEY.mean and KEY.var.",
        )
    return named


def normalisers(given: Normalisation, keys: Sequence[str]) -> dict[str, nn.Module]:
    """Key → a layer that normalises it, for keys that have statistics. Errors are those of ``statistics_of``."""
    return {key: Normalise(statistics) for key, statistics in statistics_of(given, keys).items()}


def load_statistics(path: str | Path) -> dict[str, Statistics]:
    """Statistics from an ``.npz``: observation key → statistics; the key is empty where there is only one.

    The file holds ``mean``, ``var``, ``epsilon`` and ``clip``, or ``KEY.mean`` and ``KEY.var`` for every key.

    Raises:
        SecateurError: a pickle, or arrays that are missing or damaged.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise SecateurError(
            "statistics are read from .npz, because VecNormalize saves a pickle, which can run code",
            f"got {path.name}",
            "Save numpy.savez('normalise.npz', mean=env.obs_rms.mean, var=env.obs_rms.var, "
            "epsilon=env.epsilon, clip=env.clip_obs) where you trained.",
        )
    data = read_file(path, LARGEST_STATISTICS_BYTES)
    require_small_unpacked(
        data, path, "what numpy.savez writes", "a file of statistics", LARGEST_STATISTICS_BYTES
    )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name], np.float64) for name in arrays.files}
        epsilon, clip = float(found.pop("epsilon", 1e-8)), float(found.pop("clip", 10.0))
        keys = sorted({name.rpartition(".")[0] for name in found})
        named = {key: f"{key}." if key else "" for key in keys}
        return {
            key: Statistics(found[f"{dot}mean"], found[f"{dot}var"], epsilon, clip)
            for key, dot in named.items()
        }
    except Exception as error:  # whatever numpy raises at a damaged file
        raise SecateurError(
            "statistics are arrays called mean and var", f"{path}: {error}", "Save them again."
        ) from error


class Clip(nn.Module):
    """Holds an action within the bounds of its space."""

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        """Bounds ``[n]``, finite."""
        super().__init__()
        self.alike = bool((low == low[0]).all() and (high == high[0]).all())
        self.least, self.most = float(low[0]), float(high[0])
        if not self.alike:
            self.register_buffer("low", torch.from_numpy(np.asarray(low, np.float32)))
            self.register_buffer("high", torch.from_numpy(np.asarray(high, np.float32)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, n]`` → the same shape."""
        if self.alike:
            return x.clamp(self.least, self.most)
        return torch.maximum(torch.minimum(x, self.high), self.low)
