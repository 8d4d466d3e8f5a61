"""The folders in which LeRobot saves policies: ``config.json``, ``model.safetensors``, and statistics of the data set.

Statistics, by which observations and actions are normalised, stand in files of the processors that
``policy_preprocessor.json`` and ``policy_postprocessor.json`` name (LeRobot 0.4), or among the weights as
``normalize_inputs.*`` and ``unnormalize_outputs.*`` (before). They become layers of the network.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.adapters.archive import LARGEST_TEXT_BYTES, State, read_file, read_json, read_state, under
from secateur.errors import SecateurError
from secateur.policy.policy import Component

Statistics = Mapping[str, Mapping[str, torch.Tensor]]
"""Feature (``observation.state``, ``action``, …) → ``mean`` and ``std``, or ``min`` and ``max``."""

EPSILON = 1e-8
"""That LeRobot adds to standard deviations."""

VECTORS = {"STATE": "state", "ENV": "environment_state"}
"""Kind of feature → what its input is called."""

LARGEST_SIZE, LARGEST_SIDE, LARGEST_COUNT = 1 << 16, 1 << 12, 1 << 6
"""Of a width, of a picture, and of layers, heads and members."""

LARGEST_PICTURES = 1 << 26
"""Numbers of all pictures together."""


ODD = (LookupError, ArithmeticError, TypeError, ValueError, AttributeError, RuntimeError)
"""What reading a configuration raises where it is another's."""


class Affine(nn.Module):
    """``(x − shift) · scale``, or back, with numbers that no training changes."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shift: torch.Tensor, scale: torch.Tensor, back: bool) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.back = back

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape that the numbers broadcast over."""
        return x * self.scale + self.shift if self.back else (x - self.shift) * self.scale


def open_folder(folder: Path, kind: str) -> tuple[dict[str, Any], State]:
    """Configuration and weights.

    Raises:
        SecateurError: one is missing or damaged, or the policy is of another kind.
    """
    config = read_json(read_file(folder / "config.json", LARGEST_TEXT_BYTES), folder / "config.json")
    if config.get("type") != kind:
        raise SecateurError(
            f"config.json tells a policy of type {kind}",
            f"{folder} has type {config.get('type')!r}",
            "Use the loader of its type, or secateur init.",
        )
    return config, read_state(folder / "model.safetensors")


class Features:
    """Observations and action of a configuration.

    Attributes:
        named: input name → feature and kind, in the configuration's order.
        cameras: input name → (channels, height, width).
        vectors: ``state`` and ``environment_state`` → how many numbers, 0 where there is none.
        action: numbers of one action.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError, ValueError or AttributeError where the configuration is another's."""
        self.named, self.cameras = dict[str, tuple[str, str]](), dict[str, tuple[int, int, int]]()
        self.vectors = dict.fromkeys(VECTORS.values(), 0)
        for feature, told in config["input_features"].items():
            name, kind = _input_name(feature), str(told["type"])
            self.named[name] = (feature, kind)
            if kind == "VISUAL":
                channels, high, wide = (int(n) for n in told["shape"])
                self.cameras[name] = channels, high, wide
            elif VECTORS.get(kind) == name:
                (self.vectors[name],) = (int(n) for n in told["shape"])
            else:
                raise ValueError(f"{feature} is {kind}")
        (self.action,) = (int(n) for n in config["output_features"]["action"]["shape"])
        sides = [n for camera in self.cameras.values() for n in camera]
        if not all(0 < n <= LARGEST_SIDE for n in sides) or not 0 < self.action <= LARGEST_SIZE:
            raise ValueError(f"sizes are {[self.action, *sides]}")
        if sum(math.prod(camera) for camera in self.cameras.values()) > LARGEST_PICTURES:
            raise ValueError(f"{len(self.cameras)} cameras give more than {LARGEST_PICTURES:,} numbers")
        if not all(0 <= n <= LARGEST_SIZE for n in self.vectors.values()):
            raise ValueError(f"sizes are {list(self.vectors.values())}")


def whole_numbers(config: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    """Sizes of a configuration. Raises KeyError, TypeError or ValueError where one is missing or unreasonable."""
    numbers = {name: int(config[name]) for name in names}
    counted = [n for name, n in numbers.items() if name.startswith("n_") or name.endswith("ensemble_size")]
    if (
        min(numbers.values()) < 1
        or max(numbers.values()) > LARGEST_SIZE
        or max(counted, default=0) > LARGEST_COUNT
    ):
        raise ValueError(f"sizes are {numbers}")
    return numbers


def normalisation(
    folder: Path,
    config: Mapping[str, Any],
    state: State,
    features: Features,
    given: Statistics | None,
) -> tuple[dict[str, nn.Module], nn.Module]:
    """Layers that normalise each input, and the one that brings the action back.

    Raises:
        SecateurError: statistics that are missing, or are not numbers to divide by.
    """
    known = read_statistics(folder, state) if given is None else given
    modes = config.get("normalization_mapping") or {}
    if not isinstance(modes, Mapping):
        raise SecateurError(
            "normalization_mapping names a mode for each kind of feature",
            f"{folder} has {type(modes).__name__}",
            "Save it again.",
        )
    inputs = {
        name: affine(feature, kind, modes, known, given is not None, False)
        for name, (feature, kind) in features.named.items()
    }
    return inputs, affine("action", "ACTION", modes, known, given is not None, True)


def components_of_paths(model: nn.Module, parts: Mapping[str, tuple[str, ...]]) -> tuple[Component, ...]:
    """Component → paths within ``model``, those that are there; the policy's module has the network as ``model``."""
    there = {name: [f"model.{one}" for one in paths if hasattr(model, one)] for name, paths in parts.items()}
    return tuple(Component(name, tuple(paths)) for name, paths in there.items() if paths)


def examples_of(features: Features) -> dict[str, torch.Tensor]:
    """Grey pictures and zeros, in the configuration's order."""
    return {
        name: torch.full((1, *features.cameras[name]), 0.5)
        if name in features.cameras
        else torch.zeros(1, features.vectors[name])
        for name in features.named
    }


def counted(state: State, model: nn.Module) -> State:
    """With the counters of batch norms at zero where they are missing: LeRobot freezes some, which count nothing."""
    counters = {k: torch.tensor(0) for k in model.state_dict() if k.endswith("num_batches_tracked")}
    return {**counters, **state}


def another_kind(folder: Path, rule: str, error: Exception) -> SecateurError:
    """The error for a configuration that cannot be read as one of ``rule``."""
    return SecateurError(
        f"config.json is of {rule}",
        f"{folder}: {type(error).__name__}: {' '.join(str(error).split())}",
        "Write a policy.py around LeRobot's own class: secateur init.",
    )


def _input_name(feature: str) -> str:
    return feature.removeprefix("observation.").replace(".", "_").replace("-", "_")


def read_statistics(folder: Path, state: State) -> dict[str, dict[str, torch.Tensor]]:
    """Feature → its numbers, from the processors' files or from among the weights."""
    found = dict[str, dict[str, torch.Tensor]]()
    flat = State()
    for processor in ("policy_preprocessor.json", "policy_postprocessor.json"):
        if (folder / processor).is_file():
            told = read_json(read_file(folder / processor, LARGEST_TEXT_BYTES), folder / processor)
            steps = told.get("steps") or []
            if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
                raise SecateurError(
                    "a processor has a list of steps", f"{folder / processor} has none", "Save it again."
                )
            for step in steps:
                kind, file = step.get("registry_name"), step.get("state_file")
                if kind in ("normalizer_processor", "unnormalizer_processor") and file:
                    if Path(str(file)).name != file:
                        raise SecateurError(
                            "a processor's file is in the same folder", f"got {file!r}", "Save it again."
                        )
                    flat |= read_state(folder / file)
    for name, tensor in flat.items():
        feature, _, number = name.rpartition(".")
        found.setdefault(feature, {})[number] = tensor
    for prefix in ("normalize_inputs.buffer_", "unnormalize_outputs.buffer_"):
        for name, tensor in under(state, prefix).items():
            feature, _, number = name.rpartition(".")
            found.setdefault(feature.replace("_", "."), {})[number] = tensor
    return found


def affine(
    feature: str, kind: str, modes: Mapping[str, str], known: Statistics, given: bool, back: bool
) -> nn.Module:
    """The layer that normalises a feature, or with ``back`` brings it back.

    Args:
        feature: as LeRobot calls it.
        kind: of feature, a key of ``modes``.
        modes: kind → ``MEAN_STD``, ``MIN_MAX`` or ``IDENTITY``.
        known: statistics.
        given: whether the user gave them; a feature without any is then left as it is.
        back: for actions.
    """
    mode = str(modes.get(kind, "IDENTITY"))
    numbers = {name.replace("_", "."): n for name, n in known.items()}.get(feature.replace("_", "."))
    if mode == "IDENTITY" or (given and numbers is None):
        return nn.Identity()
    names = {"MEAN_STD": ("mean", "std"), "MIN_MAX": ("min", "max")}.get(mode)
    if names is None or numbers is None or not set(names) <= set(numbers):
        raise SecateurError(
            "statistics of the data set are there, as mean and std or as min and max",
            f"{feature} is normalised by {mode}, and has {', '.join(numbers or ()) or 'none'}",
            "Give statistics={'observation.state': {'mean': …, 'std': …}, …}, or {} for none.",
        )
    one, two = (torch.as_tensor(numbers[n]).float().reshape(-1) for n in names)
    if mode == "MIN_MAX":
        wide = torch.where(two == one, torch.full_like(one, EPSILON), two - one)
        one, two = (one + wide / 2, wide / 2)
    elif not back:
        two = two + EPSILON
    if not bool(torch.isfinite(torch.cat([one, two])).all()) or not (back or bool((two > 0).all())):
        raise SecateurError("statistics are finite and deviations positive", feature, "Save them again.")
    tail = (1, 1) if kind == "VISUAL" else ()
    one, two = (t.reshape(-1, *tail) if tail else t for t in (one, two))
    return Affine(one, two if back else 1 / two, back)
