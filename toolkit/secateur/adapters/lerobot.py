"""Policies that LeRobot saved: a folder with ``config.json`` and ``model.safetensors``. Nothing of LeRobot is imported.

Statistics of the data set, by which observations and actions are normalised, stand beside the weights: in files of
the processors that ``policy_preprocessor.json`` and ``policy_postprocessor.json`` name (LeRobot 0.4), or among the
weights as ``normalize_inputs.*`` and ``unnormalize_outputs.*`` (before). They become layers of the network, so that it
takes joint angles and pixels in 0–1, and gives joint targets.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.adapters.act import ACT, ACTIVATIONS, ACTShape
from secateur.adapters.archive import LARGEST_TEXT_BYTES, State, read_file, read_json, read_state, under
from secateur.adapters.layers import fill
from secateur.errors import SecateurError
from secateur.policy.policy import Component, Entry, Policy

Statistics = Mapping[str, Mapping[str, torch.Tensor]]
"""Feature (``observation.state``, ``action``, …) → ``mean`` and ``std``, or ``min`` and ``max``."""

EPSILON = 1e-8
"""That LeRobot adds to standard deviations."""

_TRAINING = ("vae_encoder",)
_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


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


class ACTPolicy(nn.Module):
    """ACT with its normalisation."""

    def __init__(self, model: ACT, inputs: Mapping[str, nn.Module], action: nn.Module) -> None:
        """Puts network, normalisation of each input, and that of the action together."""
        super().__init__()
        self.model, self.inputs, self.action = model, nn.ModuleDict(dict(inputs)), action

    def forward(self, **observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same as ``act``."""
        return self.act(**observation)

    def act(self, **observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cameras ``[batch, 3, height, width]`` in 0–1 and vectors → ``actions``, ``[batch, chunk, action]``."""
        normal = {name: self.inputs[name](x) for name, x in observation.items()}
        return {"actions": self.action(self.model(normal))}


def load_act(folder: str | Path, *, statistics: Statistics | None = None, name: str = "act") -> Policy:
    """An ``ACTPolicy``, with the latent at zero as on a robot.

    Inputs are called as LeRobot's features without ``observation.``, with ``_`` for a point: ``state``, ``images_top``.
    The output is the whole chunk of actions. Components are perception (ResNet), proprioception, fusion (the encoder),
    decoder and head.

    Args:
        folder: with ``config.json`` and ``model.safetensors``, as ``save_pretrained`` writes it.
        statistics: of the data set, where the folder has none; ``{}`` for no normalisation.
        name: of the policy.

    Raises:
        SecateurError: not such a folder, another kind of policy, weights of other shapes, or no statistics.
    """
    folder = Path(folder)
    config = read_json(read_file(folder / "config.json", LARGEST_TEXT_BYTES), folder / "config.json")
    if config.get("type") != "act":
        raise SecateurError(
            "config.json tells an ACT policy",
            f"{folder} has type {config.get('type')!r}",
            "Use secateur init.",
        )
    state = read_state(folder / "model.safetensors")
    shape, features = _shape(config, state, folder)
    model = ACT(shape).eval()
    fill(model, _for_robots(under(state, "model."), model), f"the ACT in {folder}")
    known = _statistics(folder, state) if statistics is None else statistics
    modes = config.get("normalization_mapping") or {}
    inputs = {
        own: _affine(feature, kind, modes, known, statistics is not None, False)
        for own, (feature, kind) in features.items()
    }
    action = _affine("action", "ACTION", modes, known, statistics is not None, True)
    module = ACTPolicy(model, inputs, action).eval()
    examples = {"state": torch.zeros(1, shape.state), "environment_state": torch.zeros(1, shape.environment)}
    examples = {own: example for own, example in examples.items() if own in features}
    examples |= {own: torch.full((1, 3, *size), 0.5) for own, size in shape.cameras.items()}
    return Policy(name, module, _components(model), (Entry("act", ACTPolicy.act, examples),))


def _components(model: ACT) -> tuple[Component, ...]:
    parts = {
        "perception": ("backbone", "encoder_img_feat_input_proj"),
        "proprioception": ("encoder_robot_state_input_proj", "encoder_env_state_input_proj"),
        "fusion": ("encoder", "encoder_latent_input_proj", "encoder_1d_feature_pos_embed"),
        "decoder": ("decoder", "decoder_pos_embed"),
        "head": ("action_head",),
    }
    there = {name: [f"model.{one}" for one in paths if hasattr(model, one)] for name, paths in parts.items()}
    return tuple(Component(name, tuple(paths)) for name, paths in there.items() if paths)


def _shape(
    config: Mapping[str, Any], state: State, folder: Path
) -> tuple[ACTShape, dict[str, tuple[str, str]]]:
    """The network's sizes, and input name → feature and kind, in the order in which the network reads them."""
    try:
        backbone, activation = str(config["vision_backbone"]), str(config["feedforward_activation"])
        features = dict[str, tuple[str, str]]()
        sizes, cameras = {"STATE": 0, "ENV": 0}, dict[str, tuple[int, int]]()
        for feature, told in config["input_features"].items():
            own = feature.removeprefix("observation.").replace(".", "_").replace("-", "_")
            features[own] = (feature, str(told["type"]))
            if told["type"] == "VISUAL":
                channels, high, wide = (int(n) for n in told["shape"])
                if channels != 3:
                    raise ValueError(f"{feature} has {channels} channels")
                cameras[own] = high, wide
            elif (
                told["type"] in sizes and own == {"STATE": "state", "ENV": "environment_state"}[told["type"]]
            ):
                (sizes[told["type"]],) = (int(n) for n in told["shape"])
            else:
                raise ValueError(f"{feature} is {told['type']}")
        (action,) = (int(n) for n in config["output_features"]["action"]["shape"])
        numbers = {
            key: int(config[key])
            for key in (
                *("chunk_size", "dim_model", "n_heads", "dim_feedforward"),
                *("n_encoder_layers", "n_decoder_layers"),
            )
        }
        if (
            backbone not in _BLOCKS
            or activation not in ACTIVATIONS
            or config.get("replace_final_stride_with_dilation")
        ):
            raise ValueError(f"{backbone} with {activation}")
        if min(numbers.values()) < 1 or max(*numbers.values(), *sizes.values(), action) > 1 << 16:
            raise ValueError(f"sizes are {numbers}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SecateurError(
            "config.json is of an ACT with a ResNet-18 or -34, relu or gelu, and known features",
            f"{folder}: {type(error).__name__}: {error}",
            "Write a policy.py around LeRobot's own class: secateur init.",
        ) from error
    width, heads = numbers["dim_model"], numbers["n_heads"]
    if width % heads or width % 4:
        raise SecateurError(
            "dim_model is a multiple of n_heads and 4", f"{folder}: {width}, {heads}", "Correct it."
        )
    shape = ACTShape(
        *(sizes["STATE"], sizes["ENV"], cameras, action, numbers["chunk_size"], width, heads),
        *(numbers["dim_feedforward"], numbers["n_encoder_layers"], numbers["n_decoder_layers"]),
        *(_BLOCKS[backbone], bool(config.get("pre_norm")), activation),
    )
    return shape, features


def _for_robots(state: State, model: ACT) -> State:
    """The weights that are used on a robot: no encoder of the latent, and of its projection the bias."""
    kept = {k: t for k, t in state.items() if not k.startswith(_TRAINING)}
    kept.pop("encoder_latent_input_proj.weight", None)
    counters = {k: t for k, t in model.state_dict().items() if k.endswith("num_batches_tracked")}
    return {**counters, **kept}  # LeRobot's batch norms are frozen and count nothing


def _statistics(folder: Path, state: State) -> dict[str, dict[str, torch.Tensor]]:
    """Feature → its numbers, from the processors' files or from among the weights."""
    found = dict[str, dict[str, torch.Tensor]]()
    flat = State()
    for processor in ("policy_preprocessor.json", "policy_postprocessor.json"):
        if (folder / processor).is_file():
            told = read_json(read_file(folder / processor, LARGEST_TEXT_BYTES), folder / processor)
            for step in told.get("steps") or ():
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


def _affine(
    feature: str, kind: str, modes: Mapping[str, str], known: Statistics, given: bool, back: bool
) -> nn.Module:
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
