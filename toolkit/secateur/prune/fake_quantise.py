"""Int8 weights and activations while training, so that a recovered policy loses little when it is quantised.

Weights are rounded as the converter will (symmetric, one scale per output channel), activations to one scale and zero
point per tensor over the range seen so far. Gradients pass straight through (Bengio et al. 2013, arXiv 1308.3432).
Attention and recurrent layers that take whole sequences stay in float: they are none of ``LAYERS``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

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


class Hold(Protocol):
    """Holds all ranges as they are, or lets them follow what is seen again."""

    def __call__(self, still: bool = True) -> None:
        """``still`` or not."""
        ...


@contextmanager
def fake_quantised(module: nn.Module) -> Iterator[Hold]:
    """Within it, linear, convolutional and recurrent layers of ``module`` compute with int8 weights and inputs.

    Gives a function that holds all ranges as they are, as an artifact's are: a policy that acts for long without much
    happening would else be rounded ever more finely.
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

    def hold(still: bool = True) -> None:
        for each in ranges:
            each.held = still

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
        steps = _steps(layer, weight.detach().abs())
        layer._parameters[name] = _through(weight, (weight / steps).round() * steps)  # type: ignore[assignment]
    ranges = [*seen.values(), *[None] * len(args)]
    return tuple(_stored(values, known) for values, known in zip(args, ranges))


def _steps(layer: nn.Module, sizes: torch.Tensor) -> torch.Tensor:
    """Sizes of weights → the scale of each, one per output channel.

    Outputs are the first axis; of a transposed convolution, ``[in, out of a group, ...]``, the second, in each group.
    """
    if not getattr(layer, "transposed", False):
        largest = sizes.amax(tuple(range(1, sizes.dim())), keepdim=True)
    else:
        grouped = sizes.unflatten(0, (layer.groups, -1))  # type: ignore[arg-type]
        largest = grouped.amax((1, *range(3, grouped.dim())), keepdim=True).expand_as(grouped).flatten(0, 1)
    return largest.clamp_min(1e-8) / 127


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
