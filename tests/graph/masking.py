"""What cutting must equal: the whole policy with the same channels at zero, everywhere.

Two operators know how many channels there are, so for them a channel at zero is not a channel less. A norm over
channels takes mean and variance of what is there: it is held against the same norm over the kept channels alone. And
``scaled_dot_product_attention`` divides by the root of the head width: it is held against the kept width's.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.surgery import cut, kept_indices


def random_keep(graph: ComponentGraph, seed: int, but: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """Random channels of random number for every group."""
    generator = torch.Generator().manual_seed(seed)
    keep = {}
    for group in graph.groups:
        width = int(torch.randint(1, group.width + 1, (1,), generator=generator))
        if group.name not in but:
            keep[group.name] = torch.sort(torch.randperm(group.width, generator=generator)[:width]).values
    return keep


def masked(policy: Policy, graph: ComponentGraph, keep: Mapping[str, torch.Tensor]) -> Policy:
    """The policy with everything that surgery would cut set to zero instead."""
    module = deepcopy(policy.module)
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    with torch.no_grad():
        for path, its_axes in graph.trace.weights.items():
            for position, axis in enumerate(its_axes):
                gone = torch.ones(tensors[path].shape[position], dtype=torch.bool)
                gone[kept_indices(graph, axis, keep)] = False
                tensors[path].index_fill_(position, gone.nonzero().flatten(), 0.0)
    return replace(policy, module=module)


def on_kept(graph: ComponentGraph, keep: Mapping[str, torch.Tensor], its_axes, tensor: torch.Tensor):
    """What is left of an input or output."""
    for position, axis in enumerate(its_axes):
        if graph.groups_on(axis):
            tensor = tensor.index_select(position, kept_indices(graph, axis, keep))
    return tensor


def assert_cut_equals_masked(
    policy: Policy, graph: ComponentGraph, keep: Mapping[str, torch.Tensor], tolerance: float = 1e-4
) -> None:
    """Every entry, on fresh inputs: the pruned policy gives what the masked one gives on the kept channels."""
    pruned, zeroed = cut(policy, graph, keep), masked(policy, graph, keep)
    for small_entry, entry in zip(pruned.entries, zeroed.entries):
        inputs = {n: _fresh(e) for n, e in entry.example_inputs.items()}
        small = {n: on_kept(graph, keep, graph.trace.inputs[entry.name, n], t) for n, t in inputs.items()}
        with torch.no_grad():
            answers = small_entry.run(pruned.module, small)
            with OverKeptChannels():
                wanted = entry.run(zeroed.module, inputs)
        for name, answer in answers.items():
            left = on_kept(graph, keep, graph.trace.outputs[entry.name, name], wanted[name])
            assert answer.shape == left.shape
            torch.testing.assert_close(answer, left, rtol=tolerance, atol=tolerance / 10)


def _fresh(example: torch.Tensor) -> torch.Tensor:
    return torch.randn_like(example) if example.is_floating_point() else example


class OverKeptChannels(TorchFunctionMode):
    """Norms and attention over the channels that are not at zero."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.__name__
        if name == "layer_norm":
            return _layer_norm(*args, **kwargs)
        if name == "rms_norm":
            return _rms_norm(*args, **kwargs)
        if name == "group_norm":
            return _group_norm(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            kept = int(_varying(args[0]).sum())
            return func(*args, **{**kwargs, "scale": max(kept, 1) ** -0.5})
        if name == "_weight_norm":  # 0 / 0 where a whole row is gone
            return func(*args, **kwargs).nan_to_num(0.0)
        return func(*args, **kwargs)


def _varying(x: torch.Tensor) -> torch.Tensor:
    """Which channels of the last axis are not the same everywhere; a channel at zero never varies."""
    flat = x.reshape(-1, x.shape[-1])
    return (flat != flat[0]).any(0)


def _kept(x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return (weight != 0).to(x) if weight is not None else _varying(x).to(x)


def _layer_norm(x, shape, weight=None, bias=None, eps=1e-5, *ignored, **also):
    kept = _kept(x, weight)
    mean = (x * kept).sum(-1, keepdim=True) / kept.sum()
    variance = ((x - mean) ** 2 * kept).sum(-1, keepdim=True) / kept.sum()
    y = (x - mean) / torch.sqrt(variance + eps) * kept
    return y if weight is None else y * weight + bias


def _rms_norm(x, shape, weight=None, eps=None):
    kept = _kept(x, weight)
    square = (x**2 * kept).sum(-1, keepdim=True) / kept.sum()
    y = x * torch.rsqrt(square + (torch.finfo(x.dtype).eps if eps is None else eps)) * kept
    return y if weight is None else y * weight


def _group_norm(x, groups, weight, bias, eps=1e-5, *ignored):
    parts = []
    for channels, w, b in zip(x.chunk(groups, 1), weight.chunk(groups), bias.chunk(groups)):
        if (w != 0).any():
            flat, at = channels.flatten(2) if channels.dim() > 2 else channels[:, :, None], w != 0
            y = torch.zeros_like(flat)
            y[:, at] = functional.layer_norm(flat[:, at], flat[:, at].shape[1:], eps=eps)
            parts.append((y * w[:, None] + b[:, None]).reshape(channels.shape))
        else:
            parts.append(torch.zeros_like(channels))
    return torch.cat(parts, 1)
