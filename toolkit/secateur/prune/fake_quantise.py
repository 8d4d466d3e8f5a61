"""Int8 weights and activations while training, so that a recovered policy loses little when it is quantised.

Weights are rounded as the converter will (symmetric, one scale per output channel), activations to one scale and zero
point per tensor over the range seen so far. Gradients pass straight through (Bengio et al. 2013, arXiv 1308.3432).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

LAYERS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("weight",),
    nn.modules.conv._ConvNd: ("weight",),
    nn.RNNCellBase: ("weight_ih", "weight_hh"),
}
"""Class of a layer → its matrices, in the order of the inputs that they are multiplied with."""
FADE = 0.99
"""How slowly a range forgets."""


@contextmanager
def fake_quantised(module: nn.Module) -> Iterator[Callable[[], None]]:
    """Within it, linear, convolutional and recurrent layers of ``module`` compute with int8 weights and inputs.

    Gives a function that holds all ranges as they are from then on.
    """
    hooks: list[Any] = []
    ranges: list[_Range] = []
    for layer in module.modules():
        names = next((names for kind, names in LAYERS.items() if isinstance(layer, kind)), ())
        if names:
            seen = {name: _Range() for name in names}
            ranges.extend(seen.values())
            hooks.append(layer.register_forward_pre_hook(lambda m, args, s=seen: _before(m, args, s)))
            hooks.append(layer.register_forward_hook(_after))

    def hold() -> None:
        for each in ranges:
            each.held = True

    try:
        yield hold
    finally:
        for hook in hooks:
            hook.remove()


class _Range:
    """Lowest and highest value of an activation, fading."""

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.held = False

    def see(self, values: torch.Tensor) -> tuple[float, float]:
        if self.held:
            return self.low, self.high
        low, high = (float(bound) for bound in torch.aminmax(values.detach()))
        self.low, self.high = min(low, FADE * self.low), max(high, FADE * self.high)
        return self.low, self.high


def _before(layer: nn.Module, args: tuple[Any, ...], seen: dict[str, _Range]) -> tuple[Any, ...]:
    layer._exact_weights = {name: layer._parameters[name] for name in seen}  # type: ignore[assignment]
    for name in seen:
        weight = layer._parameters[name]
        assert weight is not None
        largest = weight.detach().abs().flatten(1).amax(1).clamp_min(1e-8) / 127
        steps = largest.reshape(-1, *[1] * (weight.dim() - 1))
        layer._parameters[name] = _through(weight, (weight / steps).round() * steps)  # type: ignore[assignment]
    ranges = [*seen.values(), *[None] * len(args)]
    return tuple(_stored(values, known) for values, known in zip(args, ranges))


def _after(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    layer._parameters.update(layer._exact_weights)  # type: ignore[arg-type]
    del layer._exact_weights


def _stored(values: Any, seen: _Range | None) -> Any:
    """An input as int8 has it; what is no tensor of one matrix (the two states of an LSTM) as it is."""
    if seen is None or not isinstance(values, torch.Tensor):
        return values
    low, high = seen.see(values)
    scale = max(high - low, 1e-8) / 255
    zero = round(-128 - low / scale)
    stored = (values / scale + zero).round().clamp(-128, 127)
    return _through(values, (stored - zero) * scale)


def _through(exact: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """The rounded value, with the gradient of the exact one."""
    return exact + (rounded - exact).detach()
