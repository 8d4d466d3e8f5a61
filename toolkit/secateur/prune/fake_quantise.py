"""Int8 weights and activations while training, so that a recovered policy loses little when it is quantised.

Weights are rounded as the converter will (symmetric, one scale per output channel), activations to one scale and zero
point per tensor over the range seen so far. Gradients pass straight through (Bengio et al. 2013, arXiv 1308.3432).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

LAYERS = (nn.Linear, nn.modules.conv._ConvNd)
FADE = 0.99
"""How slowly a range forgets."""


@contextmanager
def fake_quantised(module: nn.Module) -> Iterator[None]:
    """Within it, linear and convolutional layers of ``module`` compute with int8 weights and inputs."""
    hooks = []
    for layer in module.modules():
        if isinstance(layer, LAYERS):
            state = _Range()
            hooks.append(layer.register_forward_pre_hook(lambda m, args, s=state: _before(m, args, s)))
            hooks.append(layer.register_forward_hook(_after))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Range:
    """Lowest and highest value of an activation, fading."""

    def __init__(self) -> None:
        self.low = self.high = 0.0

    def see(self, values: torch.Tensor) -> tuple[float, float]:
        low, high = (float(bound) for bound in torch.aminmax(values.detach()))
        self.low, self.high = min(low, FADE * self.low), max(high, FADE * self.high)
        return self.low, self.high


def _before(layer: nn.Module, args: tuple[Any, ...], seen: _Range) -> tuple[Any, ...]:
    low, high = seen.see(args[0])
    scale = max(high - low, 1e-8) / 255
    zero = round(-128 - low / scale)
    stored = (args[0] / scale + zero).round().clamp(-128, 127)
    layer._exact_weight = weight = layer._parameters["weight"]  # type: ignore[assignment]
    assert weight is not None
    largest = weight.detach().abs().flatten(1).amax(1).clamp_min(1e-8) / 127
    steps = largest.reshape(-1, *[1] * (weight.dim() - 1))
    layer._parameters["weight"] = _through(weight, (weight / steps).round() * steps)  # type: ignore[assignment]
    return (_through(args[0], (stored - zero) * scale), *args[1:])


def _after(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    layer._parameters["weight"] = layer._exact_weight  # type: ignore[assignment]
    del layer._exact_weight


def _through(exact: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """The rounded value, with the gradient of the exact one."""
    return exact + (rounded - exact).detach()
