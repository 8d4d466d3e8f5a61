"""The Action Chunking Transformer (Zhao et al. 2023, arXiv 2304.13705) as it runs on a robot.

Parameters carry the names that LeRobot's ``ACTPolicy`` gives them. What only training needs, the encoder of the latent,
is not here: on a robot the latent is zero, so that of its projection the bias alone is left. Layers have their norm
behind them (or before, ``pre_norm``), as in DETR; positions are added to queries and keys.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from secateur.adapters.resnet import ResNet

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}


@dataclass(frozen=True)
class ACTShape:
    """Sizes of the network.

    Attributes:
        state, environment: numbers of these observations, 0 where there is none.
        cameras: input name → (height, width).
        action: numbers of one action.
        chunk: actions given at once.
        width, heads, feedforward: of the transformer.
        encoder_layers, decoder_layers: how many.
        blocks: of each stage of the ResNet; (2, 2, 2, 2) is ResNet-18.
        pre_norm: norms before the layers.
        activation: a key of ``ACTIVATIONS``.
    """

    state: int
    environment: int
    cameras: Mapping[str, tuple[int, int]]
    action: int
    chunk: int
    width: int
    heads: int
    feedforward: int
    encoder_layers: int
    decoder_layers: int
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    pre_norm: bool = False
    activation: str = "relu"


class EncoderLayer(nn.Module):
    """Self-attention and two linear layers."""

    def __init__(self, shape: ACTShape) -> None:
        super().__init__()
        width = shape.width
        self.self_attn = nn.MultiheadAttention(width, shape.heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, shape.feedforward), nn.Linear(shape.feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation, self.pre_norm = ACTIVATIONS[shape.activation](), shape.pre_norm

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Tokens ``[batch, n, width]`` and their positions → tokens."""
        y = self.norm1(x) if self.pre_norm else x
        x = x + self.self_attn(y + position, y + position, y, need_weights=False)[0]
        x, y = (x, self.norm2(x)) if self.pre_norm else (self.norm1(x),) * 2
        x = x + self.linear2(self.activation(self.linear1(y)))
        return x if self.pre_norm else self.norm2(x)


class DecoderLayer(nn.Module):
    """Self-attention, attention to what the encoder gave, and two linear layers."""

    def __init__(self, shape: ACTShape) -> None:
        super().__init__()
        width = shape.width
        self.self_attn = nn.MultiheadAttention(width, shape.heads, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(width, shape.heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, shape.feedforward), nn.Linear(shape.feedforward, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.activation, self.pre_norm = ACTIVATIONS[shape.activation](), shape.pre_norm

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, position: torch.Tensor, of_memory: torch.Tensor
    ) -> torch.Tensor:
        """Tokens ``[batch, chunk, width]``, encoded ones, and the positions of both → tokens."""
        y = self.norm1(x) if self.pre_norm else x
        x = x + self.self_attn(y + position, y + position, y, need_weights=False)[0]
        x, y = (x, self.norm2(x)) if self.pre_norm else (self.norm1(x),) * 2
        x = x + self.multihead_attn(y + position, memory + of_memory, memory, need_weights=False)[0]
        x, y = (x, self.norm3(x)) if self.pre_norm else (self.norm2(x),) * 2
        x = x + self.linear2(self.activation(self.linear1(y)))
        return x if self.pre_norm else self.norm3(x)


class Layers(nn.Module):
    """Layers and the norm behind the last."""

    def __init__(self, layers: list[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.layers, self.norm = nn.ModuleList(layers), norm

    def forward(self, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """Tokens → tokens; the others are given to every layer."""
        for layer in self.layers:
            x = layer(x, *others)
        return self.norm(x)


class Table(nn.Module):
    """Learnt vectors, ``weight`` ``[n, width]``, all of which are used."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, width))


class Bias(nn.Module):
    """What is left of a projection whose input is zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))


class ACT(nn.Module):
    """The network, on observations that are normalised already."""

    def __init__(self, shape: ACTShape) -> None:
        """Builds it, with weights as torch makes them."""
        super().__init__()
        width = shape.width
        self.cameras = tuple(shape.cameras)
        if shape.cameras:
            self.backbone = ResNet(shape.blocks)
            self.encoder_img_feat_input_proj = nn.Conv2d(64 << len(shape.blocks) - 1, width, 1)
        self.encoder_latent_input_proj = Bias(width)
        vectors = {"state": shape.state, "environment_state": shape.environment}
        self.vectors = tuple(name for name, count in vectors.items() if count)
        if shape.state:
            self.encoder_robot_state_input_proj = nn.Linear(shape.state, width)
        if shape.environment:
            self.encoder_env_state_input_proj = nn.Linear(shape.environment, width)
        self.encoder_1d_feature_pos_embed = Table(1 + len(self.vectors), width)
        norm = nn.LayerNorm(width) if shape.pre_norm else nn.Identity()
        self.encoder = Layers([EncoderLayer(shape) for _ in range(shape.encoder_layers)], norm)
        layers = [DecoderLayer(shape) for _ in range(shape.decoder_layers)]
        self.decoder = Layers([*layers], nn.LayerNorm(width))
        self.decoder_pos_embed = Table(shape.chunk, width)
        self.action_head = nn.Linear(width, shape.action)
        for number, (high, wide) in enumerate(shape.cameras.values()):
            position = sine_positions(math.ceil(high / 32), math.ceil(wide / 32), width)
            self.register_buffer(f"position{number}", position, persistent=False)

    def forward(self, observation: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Input name → tensor, to actions ``[batch, chunk, action]``."""
        rows = next(iter(observation.values())).shape[0]
        tokens = [self.encoder_latent_input_proj.bias[None, None].expand(rows, -1, -1)]
        for name in self.vectors:
            project = {
                "state": "encoder_robot_state_input_proj",
                "environment_state": "encoder_env_state_input_proj",
            }
            tokens.append(self.get_submodule(project[name])(observation[name])[:, None])
        positions = [self.encoder_1d_feature_pos_embed.weight[None]]
        for number, name in enumerate(self.cameras):
            seen = self.encoder_img_feat_input_proj(self.backbone(observation[name]))
            tokens.append(seen.flatten(2).transpose(1, 2))
            positions.append(self.get_buffer(f"position{number}"))
        position = torch.cat(positions, 1)
        memory = self.encoder(torch.cat(tokens, 1), position)
        asked = self.decoder_pos_embed.weight[None].expand(rows, -1, -1)
        return self.action_head(self.decoder(asked * 0.0, memory, asked, position))


def sine_positions(high: int, wide: int, width: int) -> torch.Tensor:
    """Positions of a feature map, ``[1, high · wide, width]``: sines and cosines of the row, then of the column.

    Rows and columns are counted from 1 and scaled to 2π at the last (DETR, Carion et al. 2020).
    """
    half = width // 2
    rate = 10000.0 ** (2 * (torch.arange(half, device="cpu") // 2) / half)

    def waves(count: int) -> torch.Tensor:
        angle = torch.arange(1, count + 1, device="cpu") / (count + 1e-6) * 2 * math.pi
        phase = angle[:, None] / rate
        return torch.stack([phase[:, 0::2].sin(), phase[:, 1::2].cos()], -1).flatten(1)

    rows = waves(high)[:, None].expand(high, wide, half)
    columns = waves(wide)[None].expand(high, wide, half)
    return torch.cat([rows, columns], -1).reshape(1, high * wide, 2 * half)
