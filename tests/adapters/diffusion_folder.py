"""A diffusion policy with random weights, in a folder as LeRobot writes it: its structure, a tenth of its channels."""

import json
import math

import torch
from safetensors.torch import save_file

from secateur.adapters.diffusion import Diffusion, DiffusionShape

SHAPE = DiffusionShape(
    vectors={"state": 4},
    cameras={"images_top": (64, 72)},
    observations=2,
    action=3,
    horizon=8,
    times=(75, 50, 25, 0),
    downs=(16, 24),
    kernel=3,
    groups=4,
    embedding=12,
    scaled=True,
    keypoints=5,
    crop=(60, 64),
    width=16,
)
CONFIG = {
    "type": "diffusion",
    "input_features": {
        "observation.images.top": {"type": "VISUAL", "shape": [3, 64, 72]},
        "observation.state": {"type": "STATE", "shape": [4]},
    },
    "output_features": {"action": {"type": "ACTION", "shape": [3]}},
    **{"n_obs_steps": 2, "horizon": 8, "n_action_steps": 4, "vision_backbone": "resnet18"},
    **{"crop_shape": [60, 64], "use_group_norm": True, "spatial_softmax_num_keypoints": 5},
    **{"use_separate_rgb_encoder_per_camera": False, "down_dims": [16, 24], "kernel_size": 3, "n_groups": 4},
    **{"diffusion_step_embed_dim": 12, "use_film_scale_modulation": True, "noise_scheduler_type": "DDIM"},
    **{
        "num_train_timesteps": 100,
        "beta_schedule": "squaredcos_cap_v2",
        "beta_start": 1e-4,
        "beta_end": 0.02,
    },
    **{"prediction_type": "epsilon", "clip_sample": True, "clip_sample_range": 1.0, "num_inference_steps": 4},
}
STAGES = {"conv1": "0", "bn1": "1", **{f"layer{n}": str(3 + n) for n in range(1, 5)}}


def as_lerobot(state):
    """Names and shapes as LeRobot has them."""
    found = {}
    for name, tensor in state.items():
        before, mark, after = name.partition("backbone.")
        place, dot, rest = after.partition(".")
        name = f"{before}{mark}{STAGES[place]}{dot}{rest}" if mark else name
        if ".up_modules." in f".{name}" and name.endswith(".2.bias"):
            tensor = tensor[: len(tensor) // 2].clone()
        elif ".up_modules." in f".{name}" and name.endswith(".2.weight"):
            even, odd = tensor[:, :, 0].transpose(0, 1).chunk(2, 1)
            tensor = torch.stack([odd[..., 2], even[..., 1], odd[..., 1], even[..., 0]], -1)
        flat = tensor.dim() == 4 and name.startswith("unet.")
        found[f"diffusion.{name}"] = tensor[:, :, 0].clone() if flat else tensor
    return found


def saved(folder, shape=SHAPE, weights=None, **config):
    """A policy with random weights in a folder as LeRobot writes it."""
    torch.manual_seed(0)
    state = as_lerobot(Diffusion(shape).state_dict())
    for name, tensor in state.items():
        if name.endswith("pos_grid"):
            high, wide = (math.ceil(n / 32) for n in shape.crop or next(iter(shape.cameras.values())))
            rows, columns = torch.meshgrid(
                torch.linspace(-1, 1, high), torch.linspace(-1, 1, wide), indexing="ij"
            )
            state[name] = torch.stack([columns.flatten(), rows.flatten()], 1)
        elif tensor.dim() == 1 and tensor.is_floating_point():
            state[name] = tensor + 0.1 * torch.randn_like(tensor)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    state |= weights or {}
    save_file(
        {name: tensor for name, tensor in state.items() if tensor is not None}, folder / "model.safetensors"
    )
    return folder
