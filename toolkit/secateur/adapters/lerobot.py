"""Policies that LeRobot saved: ``ACTPolicy``, ``TDMPCPolicy``, ``DiffusionPolicy``. Nothing of LeRobot is imported.

A policy takes joint angles and pixels in 0–1 and gives joint targets: normalisation is in it. Inputs are called as
LeRobot's features without ``observation.``, with ``_`` for a point: ``state``, ``images_top``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.adapters.act import ACT, ACTIVATIONS, ACTShape
from secateur.adapters.archive import State, under
from secateur.adapters.layers import fill
from secateur.adapters.lerobot_diffusion import load_diffusion
from secateur.adapters.lerobot_folder import (
    ODD,
    Features,
    Statistics,
    another_kind,
    components_of_paths,
    counted,
    examples_of,
    normalisation,
    open_folder,
    whole_numbers,
)
from secateur.adapters.resnet import BLOCKS
from secateur.adapters.told import TOLD, TOLDShape
from secateur.policy.policy import Entry, Policy

__all__ = ["ACTPolicy", "TDMPCPolicy", "load_act", "load_diffusion", "load_tdmpc"]


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


class TDMPCPolicy(nn.Module):
    """TOLD with its normalisation."""

    def __init__(self, model: TOLD, inputs: Mapping[str, nn.Module], action: nn.Module) -> None:
        """Puts networks, normalisation of each input, and that of the action together."""
        super().__init__()
        self.model, self.inputs, self.action = model, nn.ModuleDict(dict(inputs)), action

    def forward(self, **observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same as ``act``."""
        return self.act(**observation)

    def act(self, **observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """A camera ``[batch, channels, height, width]`` and vectors → ``robot_action`` in the robot's units."""
        return {"robot_action": self.action(self.choose(self.encode(**observation)))}

    def encode(self, **observation: torch.Tensor) -> torch.Tensor:
        """Observation → latent ``[batch, latent]``."""
        return self.model.encode({name: self.inputs[name](x) for name, x in observation.items()})

    def next(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Latent and action in (−1, 1) → the next latent."""
        return self.model.next(latent, action)

    def reward(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Latent and action → reward ``[batch, 1]``."""
        return self.model.reward_of(latent, action)

    def value(self, latent: torch.Tensor, action: torch.Tensor) -> dict[str, torch.Tensor]:
        """Latent and action → ``q0``, …, ``[batch, 1]``."""
        return self.model.value_of(latent, action)

    def state_value(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent → value of the state ``[batch, 1]``."""
        return self.model.state_value_of(latent)

    def choose(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent → action in (−1, 1)."""
        return self.model.action_of(latent)


def load_act(folder: str | Path, *, statistics: Statistics | None = None, name: str = "act") -> Policy:
    """An ``ACTPolicy``, with the latent at zero as on a robot.

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
    config, state = open_folder(folder, "act")
    shape, features = _act_shape(config, folder)
    with torch.device("meta"):  # nothing is made at a configuration's word: weights come from the file
        model = ACT(shape).eval()
    fill(model, _for_robots(under(state, "model."), model), f"the ACT in {folder}")
    inputs, action = normalisation(folder, config, state, features, statistics)
    module = ACTPolicy(model, inputs, action).eval()
    parts = {
        "perception": ("backbone", "encoder_img_feat_input_proj"),
        "proprioception": ("encoder_robot_state_input_proj", "encoder_env_state_input_proj"),
        "fusion": ("encoder", "encoder_latent_input_proj", "encoder_1d_feature_pos_embed"),
        "decoder": ("decoder", "decoder_pos_embed"),
        "head": ("action_head",),
    }
    entries = (Entry("act", ACTPolicy.act, examples_of(features)),)
    return Policy(name, module, components_of_paths(model, parts), entries)


def load_tdmpc(folder: str | Path, *, statistics: Statistics | None = None, name: str = "tdmpc") -> Policy:
    """A ``TDMPCPolicy`` (FOWM); its policy is deployed, and gives actions in the robot's units.

    Components are encoder, dynamics, reward, policy and values. There is no planner of secateur's around it: LeRobot's
    weighs how far the values differ.

    Arguments and errors are those of ``load_act``.
    """
    folder = Path(folder)
    config, state = open_folder(folder, "tdmpc")
    try:
        features = Features(config)
        names = (
            "latent_dim",
            "mlp_dim",
            "image_encoder_hidden_dim",
            "state_encoder_hidden_dim",
            "q_ensemble_size",
        )
        numbers = whole_numbers(config, names)
        if len(features.cameras) > 1 or not features.named or set(features.cameras) - {"image"}:
            raise ValueError(f"it reads {', '.join(features.named) or 'nothing'}")
        vectors = features.vectors["environment_state"], features.vectors["state"]
        shape = TOLDShape(features.cameras.get("image"), *vectors, features.action, *numbers.values())
        with torch.device("meta"):  # as for ACT
            model = TOLD(shape).eval()
    except ODD as error:
        raise another_kind(
            folder, "a TDMPC with observation.image, observation.state or both", error
        ) from error
    fill(model, under(state, "model."), f"the TDMPC in {folder}")
    inputs, action = normalisation(folder, config, state, features, statistics)
    module = TDMPCPolicy(model, inputs, action).eval()
    parts = {
        "encoder": ("_encoder",),
        "dynamics": ("_dynamics",),
        "reward": ("_reward",),
        "policy": ("_pi",),
        "values": ("_Qs", "_V"),
    }
    examples = examples_of(features)
    with torch.no_grad():
        latent = module.encode(**examples)
        both = {"latent": latent, "action": module.choose(latent)}
    known, foreseen = {"latent": latent}, {"latent": ("encode", "next"), "action": ("choose",)}
    of_latent = {"latent": ("encode", "next")}
    entries = (
        Entry("act", TDMPCPolicy.act, examples),
        Entry("encode", TDMPCPolicy.encode, examples),
        Entry("choose", TDMPCPolicy.choose, known, feeds={"latent": ("encode",)}),
        Entry("next", TDMPCPolicy.next, both, feeds=foreseen),
        Entry("reward", TDMPCPolicy.reward, both, feeds=foreseen),
        Entry("value", TDMPCPolicy.value, both, feeds=foreseen),
        Entry("state_value", TDMPCPolicy.state_value, known, feeds=of_latent),
    )
    return Policy(name, module, components_of_paths(model, parts), entries)


def _act_shape(config: Mapping[str, Any], folder: Path) -> tuple[ACTShape, Features]:
    try:
        features = Features(config)
        backbone, activation = str(config["vision_backbone"]), str(config["feedforward_activation"])
        names = (
            "chunk_size",
            "dim_model",
            "n_heads",
            "dim_feedforward",
            "n_encoder_layers",
            "n_decoder_layers",
        )
        numbers = whole_numbers(config, names)
        if any(channels != 3 for channels, _, _ in features.cameras.values()):
            raise ValueError("a camera has other than 3 channels")
        if (
            backbone not in BLOCKS
            or activation not in ACTIVATIONS
            or config.get("replace_final_stride_with_dilation")
        ):
            raise ValueError(f"{backbone} with {activation}")
        if numbers["dim_model"] % numbers["n_heads"] or numbers["dim_model"] % 4:
            raise ValueError("dim_model is no multiple of n_heads and 4")
    except ODD as error:
        raise another_kind(
            folder, "an ACT with a ResNet-18 or -34, relu or gelu, and known features", error
        ) from error
    shape = ACTShape(
        state=features.vectors["state"],
        environment=features.vectors["environment_state"],
        cameras={name: size[1:] for name, size in features.cameras.items()},
        action=features.action,
        chunk=numbers["chunk_size"],
        width=numbers["dim_model"],
        heads=numbers["n_heads"],
        feedforward=numbers["dim_feedforward"],
        encoder_layers=numbers["n_encoder_layers"],
        decoder_layers=numbers["n_decoder_layers"],
        blocks=BLOCKS[backbone],
        pre_norm=bool(config.get("pre_norm")),
        activation=activation,
    )
    return shape, features


def _for_robots(state: State, model: ACT) -> State:
    """The weights that are used on a robot: no encoder of the latent, and of its projection the bias."""
    kept = {k: t for k, t in state.items() if not k.startswith("vae_encoder")}
    kept.pop("encoder_latent_input_proj.weight", None)
    return counted(kept, model)
