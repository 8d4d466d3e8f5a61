"""Reads per-channel sums out of tensors laid out in the ways that groups appear in."""

from collections.abc import Callable

import torch

from secateur.graph import axes
from secateur.graph.axes import Axis
from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy


def per_channel(
    policy: Policy, graph: ComponentGraph, measure: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Sums ``measure(parameter)`` over all elements that belong to each channel of each group.

    Returns:
        Group → float ``[width]``. Buffers are not counted: nothing of them is learnt.
    """
    totals = {group.name: torch.zeros(group.width) for group in graph.groups}
    for path, parameter in policy.module.named_parameters():
        values = measure(parameter.detach())
        for position, axis in enumerate(graph.trace.weights[path]):
            along = (
                values.sum(dim=[d for d in range(values.dim()) if d != position])
                if values.dim() > 1
                else values
            )
            for name, part in axis_channels(graph, axis, along):
                totals[name] += part
    return totals


def axis_channels(graph: ComponentGraph, axis: Axis, along: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """Splits values along one axis, ``[size]``, into sums over the channels of each group on it."""
    found = []
    offset = 0
    for segment in axes.normal(axis):
        total = axes.segment_size(segment)
        part = along[offset : offset + total].reshape([dim.size for dim in segment])
        for position, dim in enumerate(segment):
            name = graph.dims.get(dim)
            if name is not None:
                others = [d for d in range(part.dim()) if d != position]
                found.append((name, part.sum(dim=others) if others else part))
        offset += total
    return found
