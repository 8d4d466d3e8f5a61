"""Small torch networks of the kinds that policies are made of, converted and quantised as users do."""

import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from secateur.export.quantize import quantize


class Residual(nn.Module):
    """A residual block; the first convolution may halve the image."""

    def __init__(self, channels, rows, stride):
        super().__init__()
        self.one = nn.Conv2d(channels, rows, 3, stride, 1, bias=False)
        self.norm_one = nn.BatchNorm2d(rows)
        self.two = nn.Conv2d(rows, rows, 3, 1, 1, bias=False)
        self.norm_two = nn.BatchNorm2d(rows)
        self.short = nn.Conv2d(channels, rows, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        y = F.relu(self.norm_one(self.one(x)))
        return F.relu(self.norm_two(self.two(y)) + self.short(x))


class ResidualCnn(nn.Module):
    """Three blocks, mean over the image, five classes."""

    shape = (1, 3, 16, 16)

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1),
            nn.ReLU(),
            Residual(16, 16, 1),
            Residual(16, 24, 2),
            Residual(24, 32, 2),
        )
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return torch.softmax(self.head(self.body(x).mean((2, 3))), -1)


class SeparableCnn(nn.Module):
    """As the keyword spotters: a convolution, depthwise and pointwise ones, an average pool."""

    shape = (1, 1, 25, 10)

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(1, 32, (10, 4), 2, (5, 1)), nn.BatchNorm2d(32), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Conv2d(32, 32, 3, 1, 1, groups=32), nn.BatchNorm2d(32), nn.ReLU()]
            layers += [nn.Conv2d(32, 32, 1), nn.BatchNorm2d(32), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AvgPool2d((13, 5)))
        self.head = nn.Linear(32, 12)

    def forward(self, x):
        return torch.softmax(self.head(self.body(x).flatten(1)), -1)


class Autoencoder(nn.Module):
    """Nine fully connected layers."""

    shape = (1, 96)

    def __init__(self):
        super().__init__()
        widths = [96, 64, 64, 32, 8, 32, 64, 64, 96]
        layers = []
        for columns, rows in pairwise(widths):
            layers += [nn.Linear(columns, rows), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.body(x)


class Gru(nn.Module):
    """A GRU cell unrolled over its input, from a state of zero."""

    shape = (1, 12)

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 16), nn.Linear(16, 3)

    def forward(self, x):
        state = torch.tanh(x[:, :4].repeat(1, 4))
        for step in range(3):
            state = self.cell(x[:, 4 * step : 4 * step + 4], state)
        return torch.tanh(self.head(state))


class Pixels(nn.Module):
    """An encoder of camera pixels with grouped softmax, as latent world models have."""

    shape = (1, 3, 32, 32)

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2),
            nn.ReLU(),
            nn.Conv2d(16, 13, 3, 2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Linear(13 * 9, 32)

    def forward(self, x):
        return torch.softmax(self.head(self.body(x - 0.5)).view(-1, 4, 8), -1).flatten(1)


NETWORKS = (ResidualCnn, SeparableCnn, Autoencoder, Gru, Pixels)


def int8_model(kind: type[nn.Module]) -> bytes:
    """The .tflite of a network with random weights, calibrated on random inputs."""
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    import litert_torch

    torch.manual_seed(0)
    module = kind().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    if hasattr(module, "head"):
        module.head.weight.data *= 8  # so that outputs of random networks differ
    example = torch.zeros(kind.shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        litert_torch.convert(module, sample_kwargs={"x": example}).export(str(path))
        model = path.read_bytes()
    samples = np.random.default_rng(0).normal(size=(16, *kind.shape[1:])).astype(np.float32)
    return quantize(model, {"x": samples})


class Block(nn.Module):
    """An activation between two linear layers."""

    shape = (1, 16)

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(16, 24), nn.Linear(24, 4)
        self.norm = nn.Identity()

    def curve(self, x):
        return x

    def forward(self, x):
        return self.two(self.curve(self.norm(self.one(x))))


class Elu(Block):
    """Which converters take to pieces, and choose by SELECT."""

    def curve(self, x):
        return F.elu(x)


class Mish(Block):
    """As ELU, with a logarithm."""

    def curve(self, x):
        return F.mish(x)


class Where(Block):
    """One branch or the other."""

    def curve(self, x):
        return torch.where(x > 0.2, x, 0.1 * x)


class Clamp(Block):
    """By MAXIMUM and MINIMUM."""

    def curve(self, x):
        return x.clamp(-0.5, 0.5)


class Normed(Block):
    """A layer norm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(24)


class Encoder(nn.Module):
    """A transformer's encoder over six vectors."""

    shape = (1, 6, 16)

    def __init__(self):
        super().__init__()
        self.body = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="relu")
        self.head = nn.Linear(96, 4)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


class Dilated(nn.Module):
    """A convolution over time that leaves out every other step."""

    shape = (1, 4, 16)

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv1d(4, 8, 3, dilation=2), nn.Linear(8 * 12, 3)

    def forward(self, x):
        return self.head(F.relu(self.body(x)).flatten(1))


BLOCKS = (Elu, Mish, Where, Clamp, Normed, Encoder, Dilated)
