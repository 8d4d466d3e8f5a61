"""The networks of Diffusion Policy (Chi et al. 2023, arXiv 2303.04137) as LeRobot's ``DiffusionPolicy`` has them.

A ResNet with a spatial softmax (Finn et al. 2016, arXiv 1509.06113) sees; a U-Net over time takes noise out of a
trajectory of actions, conditioned on what is seen by FiLM (Perez et al. 2018, arXiv 1709.07871). Parameters carry
LeRobot's names. A trajectory is an image of one row, its convolutions have a window of one row: converters
keep channels last in images, and put a transpose before and behind every convolution of one dimension.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from secateur.adapters.resnet import WIDTH, GroupNorm, Norm, ResNet, group_norm

LONGEST_WAVE = 10_000.0
"""Of the positions of steps, in steps / 2π."""


@dataclass(frozen=True)
class DiffusionShape:
    """Sizes of the network.

    Attributes:
        vectors: input name → how many numbers, in the order in which LeRobot puts them together; pictures are after the
            first, ``state``.
        cameras: input name → (height, width).
        observations: steps of observations that are given at once.
        action, horizon: numbers of one action, and actions of a trajectory.
        times: t of each step of the sampler.
        downs: channels of the U-Net's levels.
        kernel, groups: of its convolutions and group norms.
        embedding: numbers that tell a step.
        scaled: FiLM scales as well as shifts.
        keypoints: of each picture.
        apart: a ResNet for each camera.
        crop: (height, width) of the middle that is looked at; None for all.
        blocks, width, grouped: of the ResNet; group norms in place of batch norms.
    """

    vectors: Mapping[str, int]
    cameras: Mapping[str, tuple[int, int]]
    observations: int
    action: int
    horizon: int
    times: Sequence[int]
    downs: Sequence[int]
    kernel: int
    groups: int
    embedding: int
    scaled: bool
    keypoints: int
    apart: bool = False
    crop: tuple[int, int] | None = None
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    width: int = WIDTH
    grouped: bool = True

    @property
    def condition(self) -> int:
        """Numbers that the U-Net is conditioned on."""
        seen = 2 * self.keypoints * len(self.cameras)
        return self.observations * (sum(self.vectors.values()) + seen)


class SpatialSoftmax(nn.Module):
    """Where in the picture each keypoint is: the mean place, weighed by a softmax over places."""

    def __init__(self, channels: int, size: tuple[int, int], keypoints: int) -> None:
        super().__init__()
        self.nets = nn.Conv2d(channels, keypoints, 1)
        self.register_buffer("pos_grid", torch.zeros(size[0] * size[1], 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, channels, h, w]`` → x and y of every keypoint, ``[batch, 2 · keypoints]``, −1 to 1."""
        return (torch.softmax(self.nets(x).flatten(2), -1) @ self.get_buffer("pos_grid")).flatten(1)


class RgbEncoder(nn.Module):
    """A ResNet, a spatial softmax, and a linear layer."""

    def __init__(self, shape: DiffusionShape, size: tuple[int, int]) -> None:
        super().__init__()
        high, wide = shape.crop or size
        top, left = round((size[0] - high) / 2), round((size[1] - wide) / 2)
        self.middle = (slice(top, top + high), slice(left, left + wide)) if shape.crop else None
        norm: Norm = group_norm if shape.grouped else nn.BatchNorm2d
        self.backbone = ResNet(shape.blocks, shape.width, norm)
        places = math.ceil(high / 32), math.ceil(wide / 32)
        self.pool = SpatialSoftmax(shape.width << len(shape.blocks) - 1, places, shape.keypoints)
        self.out = nn.Linear(2 * shape.keypoints, 2 * shape.keypoints)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, 3, height, width]`` → features ``[batch, 2 · keypoints]``, not below 0."""
        if self.middle is not None:
            x = x[:, :, self.middle[0], self.middle[1]]
        return torch.relu(self.out(self.pool(self.backbone(x))))


class ConvBlock(nn.Module):
    """A convolution over time, a group norm, and Mish."""

    def __init__(self, before: int, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(before, width, (1, kernel), padding=(0, kernel // 2)),
            GroupNorm(groups, width),
            nn.Mish(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, before, 1, time]`` → ``[batch, width, 1, time]``."""
        return self.block(x)


class ResidualBlock(nn.Module):
    """Two of these, the condition taken in between them, beside a shortcut."""

    def __init__(self, before: int, width: int, condition: int, shape: DiffusionShape) -> None:
        super().__init__()
        self.conv1 = ConvBlock(before, width, shape.kernel, shape.groups)
        told = nn.Linear(condition, 2 * width if shape.scaled else width)
        self.cond_encoder = nn.Sequential(nn.Identity(), told)  # its Mish is the same for all blocks
        self.conv2 = ConvBlock(width, width, shape.kernel, shape.groups)
        self.residual_conv = nn.Conv2d(before, width, 1) if before != width else nn.Identity()
        self.scaled = shape.scaled

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """``[batch, before, 1, time]`` and the condition behind its Mish → ``[batch, width, 1, time]``."""
        inner, told = self.conv1(x), self.cond_encoder(condition)[:, :, None, None]
        if self.scaled:
            scale, shift = told.chunk(2, 1)
            inner = scale * inner + shift
        else:
            inner = inner + told
        return self.conv2(inner) + self.residual_conv(x)


class Upsample(nn.Conv2d):
    """Twice as many places: a transposed convolution of window 4, stride 2, padding 1, as one that is not transposed.

    Each place makes its two by a window of three, in which the one or the other end is zero; with channels last the two
    are neighbours as they are. So no device needs an operator for it.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, 2 * width, (1, 3), padding=(0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, width, 1, time]`` → ``[batch, width, 1, 2 · time]``."""
        pairs = super().forward(x).permute(0, 2, 3, 1)
        return pairs.reshape(len(x), 1, 2 * x.shape[3], -1).permute(0, 3, 1, 2)


def of_transposed(weight: torch.Tensor) -> torch.Tensor:
    """Weights ``[in, out, 4]`` of the transposed convolution → ``[2 · out, in, 1, 3]`` of ``Upsample``."""
    zero, taps = torch.zeros_like(weight[..., 0]), weight.unbind(-1)
    even, odd = torch.stack([taps[3], taps[1], zero], -1), torch.stack([zero, taps[2], taps[0]], -1)
    return torch.cat([even.transpose(0, 1), odd.transpose(0, 1)])[:, :, None]


class UNet(nn.Module):
    """Noisy actions, the step, and the condition → what the noise is, or the actions without it."""

    table: torch.Tensor

    def __init__(self, shape: DiffusionShape) -> None:
        super().__init__()
        wide, first = shape.embedding, shape.downs[0]
        self.register_buffer("table", step_positions(shape.times, wide), persistent=False)
        self.diffusion_step_encoder = nn.Sequential(
            nn.Identity(), nn.Linear(wide, 4 * wide), nn.Mish(), nn.Linear(4 * wide, wide)
        )
        condition = wide + shape.condition

        def block(before: int, after: int) -> ResidualBlock:
            return ResidualBlock(before, after, condition, shape)

        pairs = list(zip((shape.action, *shape.downs), shape.downs))
        self.down_modules, self.up_modules = nn.ModuleList(), nn.ModuleList()
        for before, after in pairs:
            level: list[nn.Module] = [block(before, after), block(after, after)]
            if len(self.down_modules) < len(pairs) - 1:
                level.append(nn.Conv2d(after, after, (1, 3), (1, 2), (0, 1)))
            self.down_modules.append(nn.ModuleList(level))
        self.mid_modules = nn.ModuleList(block(shape.downs[-1], shape.downs[-1]) for _ in range(2))
        for after, before in reversed(pairs[1:]):
            level = [block(2 * before, after), block(after, after), Upsample(after)]
            self.up_modules.append(nn.ModuleList(level))
        self.final_conv = nn.Sequential(
            ConvBlock(first, first, shape.kernel, 8), nn.Conv2d(first, shape.action, 1)
        )

    def forward(self, sample: torch.Tensor, step: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Actions ``[batch, horizon, action]``, step ``[batch, steps]``, condition → ``[batch, horizon, action]``."""
        told = self.diffusion_step_encoder(step @ self.table)
        told = nn.functional.mish(torch.cat([told, condition], 1))
        x, skips = sample.transpose(1, 2)[:, :, None], []
        for level in self.down_modules:
            x = level[1](level[0](x, told), told)  # type: ignore[index, operator]
            skips.append(x)
            x = level[2](x) if len(level) > 2 else x  # type: ignore[arg-type, index, operator]
        for block in self.mid_modules:
            x = block(x, told)
        for level in self.up_modules:
            x = level[0](torch.cat([x, skips.pop()], 1), told)  # type: ignore[index, operator]
            x = level[2](level[1](x, told))  # type: ignore[index, operator]
        return self.final_conv(x)[:, :, 0].transpose(1, 2)


class Diffusion(nn.Module):
    """Both, on observations and actions that are normalised already."""

    def __init__(self, shape: DiffusionShape) -> None:
        """Builds them, with weights as torch makes them."""
        super().__init__()
        self.vectors, self.cameras = tuple(shape.vectors), tuple(shape.cameras)
        self.observations = shape.observations
        sizes = list(shape.cameras.values())
        if shape.apart:
            self.rgb_encoder: nn.Module = nn.ModuleList(RgbEncoder(shape, size) for size in sizes)
        elif sizes:
            self.rgb_encoder = RgbEncoder(shape, sizes[0])
        self.apart = shape.apart
        self.unet = UNet(shape)

    def encode(self, observation: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """``NAME_0``, the oldest, ``NAME_1``, … of every observation → condition ``[batch, condition]``."""
        told: list[torch.Tensor] = []
        for time in range(self.observations):
            numbers = [observation[f"{name}_{time}"] for name in self.vectors]
            seen = [
                (self.rgb_encoder[n] if self.apart else self.rgb_encoder)(observation[f"{name}_{time}"])  # type: ignore[index]
                for n, name in enumerate(self.cameras)
            ]
            told += [*numbers[:1], *seen, *numbers[1:]]
        return torch.cat(told, 1)


def step_positions(times: Sequence[int], width: int) -> torch.Tensor:
    """Sines and then cosines of each time, ``[times, width]``; their rates fall geometrically from 1 to 1 / 10,000."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device="cpu") * (-math.log(LONGEST_WAVE) / (half - 1)))
    phase = torch.tensor(times, device="cpu").float()[:, None] * rates
    return torch.cat([phase.sin(), phase.cos()], 1)
