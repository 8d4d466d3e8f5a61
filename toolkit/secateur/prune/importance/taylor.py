"""First-order Taylor on visited states: how far the outputs move when a channel's activation goes to zero."""

from typing import Any

import torch

from secateur.graph.groups import ComponentGraph
from secateur.graph.members import axis_channels
from secateur.graph.rules import Axes
from secateur.policy.policy import Policy, Tensors
from secateur.policy.unroll import run_entries
from secateur.prune.states import weight_of

PROJECTIONS = 4
"""Random sign projections of the outputs; their mean estimates the sum over outputs."""


def taylor(policy: Policy, graph: ComponentGraph, visited: Tensors, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """E |a · ∂L/∂a| per channel, over visited states (Molchanov et al. 2017, arXiv 1611.06440).

    L is a random ±1 projection of the outputs of all entries, each divided by its standard deviation: at the
    original policy any distance to itself has no gradient, so the outputs themselves take its place. A group that
    no module's output shows (a parameter outside modules) is scored by its weights, |w · ∂L/∂w|.
    """
    module = policy.module
    sites = _first_sites(graph)
    seen: list[tuple[str, torch.Tensor]] = []
    modules = dict(module.named_modules())
    handles = [modules[path].register_forward_hook(_keep(path, seen)) for path in sites]
    shown = {name for _, names in sites.values() for name in names}
    was_training = module.training
    module.eval()
    totals = {group.name: torch.zeros(group.width) for group in graph.groups}
    try:
        calls = run_entries(policy, module, visited)
        for number in range(PROJECTIONS):
            loss = torch.zeros(())
            for call in calls:
                for output in call.outputs.values():
                    signs = torch.randint(0, 2, output.shape[1:], generator=generator) * 2.0 - 1.0
                    spread = output.detach().std(dim=0) + 1e-6
                    loss = loss + weight_of(policy, call.entry) * (output / spread * signs).sum()
            activations = [activation for _, activation in seen]
            weights = list(module.parameters())
            last = number == PROJECTIONS - 1
            grads = torch.autograd.grad(loss, activations + weights, retain_graph=not last, allow_unused=True)
            for (path, activation), grad in zip(seen, grads):
                if grad is not None:
                    _add_activation(graph, totals, *sites[path], activation.detach() * grad)
            _add_weights(graph, totals, policy, grads[len(activations) :], graph.full.keys() - shown)
    finally:
        for handle in handles:
            handle.remove()
        module.train(was_training)
    return {name: total / PROJECTIONS for name, total in totals.items()}


def _first_sites(graph: ComponentGraph) -> dict[str, tuple[Axes, set[str]]]:
    """Module → axes of its output, and the groups that no earlier module of the same entry shows."""
    found: dict[str, tuple[Axes, set[str]]] = {}
    shown: set[tuple[str, str]] = set()
    for site in graph.trace.sites:
        names = {name for axis in site.axes for name in graph.groups_on(axis)}
        new = {name for name in names if (site.entry, name) not in shown}
        shown |= {(site.entry, name) for name in new}
        if new:
            found.setdefault(site.module, (site.axes, set()))[1].update(new)
    return found


def _keep(path: str, seen: list[tuple[str, torch.Tensor]]) -> Any:
    def hook(module: Any, inputs: Any, output: torch.Tensor) -> None:
        if output.requires_grad:
            seen.append((path, output))

    return hook


def _add_activation(
    graph: ComponentGraph, totals: dict[str, torch.Tensor], its_axes: Axes, names: set[str], moved: torch.Tensor
) -> None:
    """Adds E |a · ∂L/∂a| of one activation, ``[batch, ...]``; places of one channel are summed before the modulus."""
    for position, axis in enumerate(its_axes):
        if position == 0:
            continue
        others = [d for d in range(1, moved.dim()) if d != position]
        along = (moved.sum(dim=others) if others else moved).abs().mean(dim=0)
        for name, part in axis_channels(graph, axis, along):
            if name in names:
                totals[name] += part


def _add_weights(graph: ComponentGraph, totals: dict[str, torch.Tensor], policy: Policy, grads: Any, hidden: set[str]) -> None:
    for (path, parameter), grad in zip(policy.module.named_parameters(), grads):
        if grad is None or not hidden:
            continue
        moved = (parameter.detach() * grad).abs()
        for position, axis in enumerate(graph.trace.weights[path]):
            along = moved.sum(dim=[d for d in range(moved.dim()) if d != position]) if moved.dim() > 1 else moved
            for name, part in axis_channels(graph, axis, along):
                if name in hidden:
                    totals[name] += part
