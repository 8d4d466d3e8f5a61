"""``DiffusionPolicy`` as LeRobot saved it; see ``lerobot.py``. Nothing of LeRobot is imported.

On a robot a decision is one ``encode`` and as many ``denoise`` as the sampler has steps. What is between two of them,
and the noise that the first begins with, is arithmetic on a trajectory of actions: ``DiffusionPolicy.steps``.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.adapters.archive import State, under
from secateur.adapters.denoising import Denoising, denoising_steps
from secateur.adapters.diffusion import Diffusion, DiffusionShape, of_transposed
from secateur.adapters.layers import fill
from secateur.adapters.lerobot_folder import (
    LARGEST_PICTURES,
    LARGEST_SIZE,
    ODD,
    Features,
    Statistics,
    another_kind,
    counted,
    examples_of,
    normalisation,
    open_folder,
    whole_numbers,
)
from secateur.adapters.resnet import BLOCKS, WIDTH
from secateur.policy.policy import Component, Entry, Policy

_STAGES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Of a ResNet: place in LeRobot's sequence of its children → torchvision's name."""


class DiffusionPolicy(nn.Module):
    """The networks with their normalisation, and the sampler's steps."""

    def __init__(
        self,
        model: Diffusion,
        inputs: Mapping[str, nn.Module],
        action: nn.Module,
        steps: Sequence[Denoising],
        acted: slice,
    ) -> None:
        """Puts them together; ``acted`` is the part of the trajectory that a robot acts by."""
        super().__init__()
        self.model, self.inputs, self.action = model, nn.ModuleDict(dict(inputs)), action
        self.steps, self.acted = tuple(steps), acted

    def forward(self, noise: torch.Tensor, **observation: torch.Tensor) -> torch.Tensor:
        """The same as ``act``."""
        return self.act(noise, None, **observation)

    def encode(self, **observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """``NAME_0``, the oldest observation, ``NAME_1``, …, pictures in 0–1 → ``condition`` ``[batch, condition]``."""
        normal = {name: self.inputs[name.rpartition("_")[0]](x) for name, x in observation.items()}
        return {"condition": self.model.encode(normal)}

    def denoise(
        self, sample: torch.Tensor, step: torch.Tensor, condition: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Noisy actions ``[batch, horizon, action]`` → ``prediction``, of the same shape.

        ``step`` ``[batch, steps]`` is 1 at the number of the sampler's step, 0 being the noisiest, and 0 elsewhere: a
        time as one number would not survive int8, of which the sine is taken.
        """
        return {"prediction": self.model.unet(sample, step, condition)}

    def act(
        self, noise: torch.Tensor, generator: torch.Generator | None = None, **observation: torch.Tensor
    ) -> torch.Tensor:
        """A whole decision → the actions that the robot acts by, ``[batch, actions, action]``, in its units.

        Args:
            noise: normal, ``[batch, horizon, action]``.
            generator: of the noise that the steps of DDPM add.
            observation: as ``encode`` takes it.
        """
        condition, sample = self.encode(**observation)["condition"], noise
        for number, one in enumerate(self.steps):
            step = torch.zeros(len(noise), len(self.steps))
            step[:, number] = 1.0
            answer = self.denoise(sample, step, condition)["prediction"]
            start = (one.sample_share * sample + one.answer_share * answer).clamp(-one.limit, one.limit)
            sample = one.start_kept * start + one.sample_kept * sample + one.answer_kept * answer
            if one.noise_added:
                sample = sample + one.noise_added * torch.randn(sample.shape, generator=generator)
        return self.action(sample[:, self.acted])


def load_diffusion(
    folder: str | Path,
    *,
    statistics: Statistics | None = None,
    inference_steps: int | None = None,
    name: str = "diffusion",
) -> Policy:
    """A ``DiffusionPolicy``: ``encode`` once a decision, ``denoise``, the deployed entry, at each step of the sampler.

    Components are perception (one for each camera where they have encoders of their own) and unet.

    Args:
        folder: with ``config.json`` and ``model.safetensors``, as ``save_pretrained`` writes it.
        statistics: of the data set, where the folder has none; ``{}`` for no normalisation.
        inference_steps: of the sampler; by default what the configuration says.
        name: of the policy.

    Raises:
        SecateurError: not such a folder, another kind of policy, weights of other shapes, or no statistics.
    """
    folder = Path(folder)
    config, saved = open_folder(folder, "diffusion")
    try:
        state, features = _renamed(under(saved, "diffusion.")), Features(config)
        told = config.get("num_inference_steps") if inference_steps is None else inference_steps
        steps = denoising_steps(config, int(config["num_train_timesteps"] if told is None else told))
        shape = _shape(config, features, [one.time for one in steps], state)
        with torch.device("meta"):  # nothing is made at a configuration's word: weights come from the file
            model = Diffusion(shape).eval()
    except ODD as error:
        rule = "a diffusion policy with a ResNet-18 or -34, and known features"
        raise another_kind(folder, rule, error) from error
    fill(model, counted(state, model), f"the diffusion policy in {folder}")
    inputs, action = normalisation(folder, config, saved, features, statistics)
    first = shape.observations - 1
    acted = slice(first, first + int(config["n_action_steps"]))
    module = DiffusionPolicy(model, inputs, action, steps, acted).eval()
    observed = {
        f"{key}_{time}": example
        for time in range(shape.observations)
        for key, example in examples_of(features).items()
    }
    noisy = {
        "sample": torch.zeros(1, shape.horizon, shape.action),
        "step": torch.eye(len(steps))[:1],
        "condition": torch.zeros(1, shape.condition),
    }
    entries = (
        Entry("encode", DiffusionPolicy.encode, observed),
        Entry(
            *("denoise", DiffusionPolicy.denoise, noisy),
            feeds={"condition": ("encode",)},
            calls_per_step=len(steps),
        ),
    )
    return Policy(name, module, _components(shape), entries, "denoise")


def _components(shape: DiffusionShape) -> tuple[Component, ...]:
    apart = {f"perception_{name}": f"model.rgb_encoder.{n}" for n, name in enumerate(shape.cameras)}
    seen = (apart if shape.apart else {"perception": "model.rgb_encoder"}) if shape.cameras else {}
    return tuple(Component(name, (path,)) for name, path in {**seen, "unet": "model.unet"}.items())


def _shape(
    config: Mapping[str, Any], features: Features, times: Sequence[int], state: State
) -> DiffusionShape:
    names = ("n_obs_steps", "horizon", "n_action_steps", "kernel_size", "n_groups")
    widths = ("diffusion_step_embed_dim", "spatial_softmax_num_keypoints")
    sizes = whole_numbers(config, (*names, *widths))
    levels = [str(n) for n in range(len(config["down_dims"]))]
    downs = whole_numbers(dict(zip(levels, config["down_dims"])), tuple(levels))
    backbone, grouped = str(config["vision_backbone"]), bool(config["use_group_norm"])
    crop = config.get("crop_shape")
    cameras = {name: size[1:] for name, size in features.cameras.items()}
    if not features.vectors["state"] or any(channels != 3 for channels, _, _ in features.cameras.values()):
        raise ValueError("it reads no observation.state, or a camera has other than 3 channels")
    if backbone not in BLOCKS or config.get("resize_shape"):
        raise ValueError(f"{backbone}, resized to {config.get('resize_shape')}")
    if sizes["horizon"] % (1 << len(downs) - 1):
        raise ValueError("the horizon is no multiple of what the levels halve")
    pictures = sizes["n_obs_steps"] * sum(math.prod(camera) for camera in features.cameras.values())
    if pictures > LARGEST_PICTURES or sizes["horizon"] * features.action > LARGEST_SIZE:
        raise ValueError("observations or trajectories are larger than a small computer's")
    if sizes["n_action_steps"] > sizes["horizon"] - sizes["n_obs_steps"] + 1:
        raise ValueError("more actions are used than the horizon has")
    if any(n % sizes["n_groups"] for n in downs.values()) or downs["0"] % 8:
        raise ValueError("down_dims are no multiples of n_groups, or the first is none of 8")
    if not sizes["kernel_size"] % 2 or sizes["diffusion_step_embed_dim"] not in range(4, LARGEST_SIZE + 1, 2):
        raise ValueError("kernel_size is even, or diffusion_step_embed_dim is odd or 2")
    if crop is not None:
        crop = int(crop[0]), int(crop[1])
        if any(not 0 < n <= m for size in cameras.values() for n, m in zip(crop, size)):
            raise ValueError(f"crop_shape is {crop}, and cameras are {cameras}")
    elif len(set(cameras.values())) > 1 and not config["use_separate_rgb_encoder_per_camera"]:
        raise ValueError("cameras of several sizes share an encoder")
    vectors = {key: n for key, n in features.vectors.items() if n}
    seeing = [tensor for key, tensor in state.items() if key.endswith("backbone.conv1.weight")]
    width = len(seeing[0]) if seeing else WIDTH
    if not width or (grouped and width % 16):
        raise ValueError(f"{width} channels in groups of 16")
    told = state["unet.diffusion_step_encoder.1.weight"]
    if told.shape[-1] != sizes["diffusion_step_embed_dim"]:
        raise ValueError("diffusion_step_embed_dim is not what the weights have")
    return DiffusionShape(
        vectors=vectors,
        cameras=cameras,
        observations=sizes["n_obs_steps"],
        action=features.action,
        horizon=sizes["horizon"],
        times=times,
        downs=tuple(downs.values()),
        kernel=sizes["kernel_size"],
        groups=sizes["n_groups"],
        embedding=sizes["diffusion_step_embed_dim"],
        scaled=bool(config["use_film_scale_modulation"]),
        keypoints=sizes["spatial_softmax_num_keypoints"],
        apart=bool(config["use_separate_rgb_encoder_per_camera"]) and bool(cameras),
        crop=crop,
        blocks=BLOCKS[backbone],
        width=width,
        grouped=grouped,
    )


def _renamed(state: State) -> State:
    """With torchvision's names of a ResNet's stages; convolutions over time as of one row, none of them transposed."""
    found = State()
    for name, tensor in state.items():
        before, mark, after = name.partition("backbone.")
        if mark:
            place, dot, rest = after.partition(".")
            name = f"{before}{mark}{_STAGES.get(place, place)}{dot}{rest}"
        if re.fullmatch(r"unet\.up_modules\.\d+\.2\.bias", name):
            tensor = tensor.repeat(2)
        elif re.fullmatch(r"unet\.up_modules\.\d+\.2\.weight", name) and tensor.shape[2:] == (4,):
            tensor = of_transposed(tensor)
        found[name] = tensor[:, :, None] if tensor.dim() == 3 else tensor
    return found
