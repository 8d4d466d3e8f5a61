"""The ResNet of basic blocks (He et al. 2016, arXiv 1512.03385) of LeRobot's policies, by torchvision's names."""

from collections.abc import Callable

import torch
from torch import nn

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
"""Name → blocks of each stage."""

WIDTH = 64
"""Channels of the first stage, in every ResNet that has been published."""

Norm = Callable[[int], nn.Module]
"""Channels → the layer that normalises them."""


class GroupNorm(nn.GroupNorm):
    """torch's (Wu and He 2018, arXiv 1803.08494), written with channels last, as converters lay images out.

    For torch's own they put channels in front of places and back, around every norm. Means go over places and then over
    a group's channels, because kernels have no mean over axes that are apart.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, channels, height, width]`` → the same shape."""
        last = x.permute(0, 2, 3, 1)
        grouped = last.reshape(len(x), -1, self.num_groups, x.shape[1] // self.num_groups)
        apart = grouped - _mean(grouped)
        spread = _mean(apart * apart)
        normal = (apart * torch.rsqrt(spread + self.eps)).reshape(last.shape)
        return (normal * self.weight + self.bias).permute(0, 3, 1, 2)


def _mean(grouped: torch.Tensor) -> torch.Tensor:
    """Over places and channels of ``[batch, places, groups, channels]``."""
    return grouped.mean(1, keepdim=True).mean(3, keepdim=True)


def group_norm(width: int) -> GroupNorm:
    """Sixteen channels to a group, as diffusion policies have it in place of a batch norm."""
    return GroupNorm(width // 16, width)


class Block(nn.Module):
    """Two convolutions beside a shortcut (figure 5 left)."""

    def __init__(self, before: int, width: int, stride: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = norm(width)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), norm(width))
            if stride != 1 or before != width
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, before, h, w]`` → ``[batch, width, h / stride, w / stride]``."""
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(inner + self.downsample(x))


class ResNet(nn.Module):
    """A ResNet of basic blocks up to its last feature map, a 32nd of the image on each side.

    Args:
        blocks: of each stage; every stage but the first halves both sides and doubles the channels.
        width: channels of the first stage.
        norm: behind every convolution.
    """

    def __init__(self, blocks: tuple[int, ...], width: int = WIDTH, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), norm(width)
        self.pool = nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, 2))  # after a ReLU zero is no maximum
        before = width
        for stage, count in enumerate(blocks):
            wide = width << stage
            layer = [
                Block(before if n == 0 else wide, wide, 2 if n == 0 < stage else 1, norm)
                for n in range(count)
            ]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layer))
            before = wide
        self.stages = len(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, 3, height, width]`` → ``[batch, channels, height / 32, width / 32]``."""
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return x
