"""What the criteria share: where activations are seen, which way outputs move, and sums over a channel.

A worked example. ``encoder = Linear(5, 256) → ReLU → Linear(256, 50)``: the 256 channels are first seen at the
output of ``encoder.0``, and once more, unchanged in number, behind the ReLU. They are read by ``encoder.2``.
The place that counts is the last before that reading: there, a channel that is zero is a channel that is
gone.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from secateur.graph.found import Site
from secateur.graph.groups import ComponentGraph
from secateur.graph.members import axis_channels
from secateur.graph.rules import Axes
from secateur.policy.policy import Entry, Policy, Tensors
from secateur.policy.unroll import Call, run_entries
from secateur.prune.states import weight_of

PROJECTIONS = 4
"""Random sign projections of the outputs; their mean estimates the sum over outputs."""

Key = tuple[str, str, int]
"""(entry, module, which call of that module within the entry, from 0)."""


@dataclass(frozen=True)
class Place:
    """Groups that are looked at in one output of a module, and that output's axes; axis 0 is the batch."""

    axes: Axes
    names: frozenset[str]


@dataclass(frozen=True, eq=False)
class Seen:
    """An activation ``[states, ...]`` at a place."""

    place: Place
    activation: torch.Tensor


@dataclass(frozen=True, eq=False)
class Observation:
    """One run of all entries on visited states.

    Attributes:
        calls: of the entries, in order.
        units: of each output of each call, in order, what its elements are divided by before they are added
            up.
        seen: what was seen at the places, in order.
        weights: path → parameter.
        hidden: groups that no module's output shows.
        states: how many.
    """

    calls: list[Call]
    units: list[torch.Tensor]
    seen: list[Seen]
    weights: dict[str, nn.Parameter]
    hidden: frozenset[str]
    states: int


@dataclass(frozen=True, eq=False)
class Gradients:
    """∂L/∂a for each of ``Observation.seen`` (None where L does not depend on it), and ∂L/∂w by path."""

    activations: tuple[torch.Tensor | None, ...]
    weights: Tensors


def places(policy: Policy, graph: ComponentGraph) -> dict[Key, Place]:
    """Where each group is looked at, in each entry that shows it.

    A group counts where it is first seen, moved on behind the normalisations, activation functions and
    reshapings that directly follow (modules without a weight matrix that show the same groups).
    """
    modules = dict(policy.module.named_modules())
    sites: dict[str, list[tuple[Key, Site, frozenset[str]]]] = {}
    for site in graph.trace.sites:
        here = sites.setdefault(site.entry, [])
        count = sum(key[1] == site.module for key, _, _ in here)
        names = frozenset(name for axis in site.axes for name in graph.groups_on(axis))
        here.append(((site.entry, site.module, count), site, names))
    found: dict[Key, Place] = {}
    for here in sites.values():
        known: set[str] = set()
        for index, (_, site, names) in enumerate(here):
            new = names - known
            if not new:
                continue
            known |= new
            last = index
            while (
                last + 1 < len(here)
                and here[last + 1][2] == names
                and _no_matrix(modules[here[last + 1][1].module])
            ):
                last += 1
            key, site, _ = here[last]
            before = found[key].names if key in found else frozenset()
            found[key] = Place(site.axes, before | new)
    return found


def _no_matrix(module: nn.Module) -> bool:
    return all(parameter.dim() <= 1 for parameter in module.parameters())


@contextmanager
def observe(
    policy: Policy, graph: ComponentGraph, visited: Tensors, gradients: bool = True
) -> Iterator[Observation]:
    """Runs every entry in evaluation mode and keeps what the places show. Everything is as before afterwards.

    Args:
        policy: its module is run itself, not a copy.
        graph: of the policy.
        visited: the deployed entry's inputs, name → ``[states, ...]``.
        gradients: whether derivatives will be asked for; also by weights that the policy has frozen.
    """
    wanted = places(policy, graph)
    seen: list[Seen] = []
    weights = dict(policy.module.named_parameters())
    modules = dict(policy.module.named_modules())
    position: dict[str, Any] = {"entry": "", "counts": {}}

    def follow(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, torch.Tensor):
                return
            number = position["counts"].get(path, 0)
            position["counts"][path] = number + 1
            place = wanted.get((position["entry"], path, number))
            if place is not None and (output.requires_grad or not gradients):
                seen.append(Seen(place, output))

        return hook

    def announced(entry: Entry) -> Entry:
        def call(module: nn.Module, **inputs: torch.Tensor) -> torch.Tensor | Tensors:
            position["entry"], position["counts"] = entry.name, {}
            return entry.call(module, **inputs)

        return replace(entry, call=call)

    watched = replace(policy, entries=tuple(announced(entry) for entry in policy.entries))
    shown = {name for place in wanted.values() for name in place.names}
    with ExitStack() as stack:
        stack.enter_context(_evaluating(policy.module, gradients))
        stack.enter_context(torch.set_grad_enabled(gradients))
        for path in {path for _, path, _ in wanted}:
            stack.callback(modules[path].register_forward_hook(follow(path)).remove)
        calls = run_entries(watched, policy.module, visited)
        states = len(next(iter(visited.values())))
        units = [_unit(graph, call, name, states) for call in calls for name in call.outputs]
        yield Observation(calls, units, seen, weights, frozenset(graph.full.keys() - shown), states)


@contextmanager
def _evaluating(module: nn.Module, gradients: bool) -> Iterator[None]:
    training = [part for part in module.modules() if part.training]
    frozen = [p for p in module.parameters() if gradients and p.is_floating_point() and not p.requires_grad]
    try:
        for part in training:
            part.training = False
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for part in training:
            part.training = True
        for parameter in frozen:
            parameter.requires_grad_(False)


def gradients_of_outputs(
    policy: Policy,
    observation: Observation,
    generator: torch.Generator,
    count: int = PROJECTIONS,
    per_state: bool = False,
) -> Iterator[Gradients]:
    """Derivatives of random projections L of all outputs, ``count`` times.

    At the original policy any distance to itself has no gradient, so the outputs themselves take its place: L
    sums ±1 times each output, over its spread and weighted by its entry. The mean over signs of a squared
    derivative is the sum of the squared derivatives of all outputs, and so the diagonal of JᵀJ, the
    Gauss–Newton matrix of the squared distance and the Fisher matrix of a Gaussian around the outputs.

    Args:
        policy: that was observed.
        observation: with gradients.
        generator: of the signs.
        count: how many projections.
        per_state: a sign for each state and output, so that squared derivatives by *weights* too are sums
            over states of squares; otherwise one sign for each output, and states add up before the square.
    """
    activations = [seen.activation for seen in observation.seen]
    outputs = [
        (output, weight_of(policy, call.entry, name, call.outputs))
        for call in observation.calls
        for name, output in call.outputs.items()
    ]
    for number in range(count):
        loss = torch.zeros((), requires_grad=True) * 0.0
        for (output, weight), unit in zip(outputs, observation.units):
            axis = batch_axis(output, observation.states)
            shape = [n if d != axis or per_state else 1 for d, n in enumerate(output.shape)]
            signs = torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0
            loss = loss + weight * (output / unit * signs).sum()
        grads = torch.autograd.grad(
            loss,
            [*activations, *observation.weights.values()],
            retain_graph=number < count - 1,
            allow_unused=True,
        )
        by_weight = zip(observation.weights, grads[len(activations) :])
        yield Gradients(grads[: len(activations)], {path: g for path, g in by_weight if g is not None})


def _unit(graph: ComponentGraph, call: Call, name: str, states: int) -> torch.Tensor:
    """The spread of an output. What passes on inside the policy and never varies counts nothing by itself."""
    output = call.outputs[name]
    axis = batch_axis(output, states)
    unit = spread(output, axis)
    if any(graph.groups_on(its_axis) for its_axis in graph.trace.outputs[call.entry.name, name]):
        deviation = output.detach().std(dim=axis, correction=0, keepdim=True)
        unit = unit.masked_fill(deviation <= 1e-6 * deviation.mean(), torch.inf)
    return unit


def batch_axis(output: torch.Tensor, states: int) -> int:
    """Which axis of an entry's output counts states: the first of that size (an ensemble may stand before it)."""
    return next((axis for axis, n in enumerate(output.shape) if n == states), 0)


def spread(output: torch.Tensor, axis: int) -> torch.Tensor:
    """Standard deviation of each element of an output over states, none below a hundredth of their mean."""
    deviation = output.detach().std(dim=axis, correction=0, keepdim=True)
    return torch.maximum(deviation, 0.01 * deviation.mean()) + 1e-6


def by_channel(
    graph: ComponentGraph, place: Place, values: torch.Tensor, states: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """Sums values of an activation over the places of each channel: (group, ``[states, width]``) for each axis.

    Args:
        graph: of the policy.
        place: where the activation was seen; only its groups are given.
        values: ``[states, ...]``, of the activation's shape; a multiple of the states folds into them.
        states: how many.
    """
    for position, axis in enumerate(place.axes):
        names = graph.groups_on(axis)
        if position == 0 or not place.names.intersection(names):
            continue
        others = [d for d in range(1, values.dim()) if d != position]
        rows = values.sum(dim=others) if others else values
        if len(rows) % states == 0:
            rows = rows.reshape(states, -1, rows.shape[1]).sum(dim=1)
        else:
            rows = rows.sum(dim=0, keepdim=True).expand(states, -1) / states
        parts = torch.vmap(lambda row, axis=axis: tuple(part for _, part in axis_channels(graph, axis, row)))(
            rows
        )
        yield from ((name, part) for name, part in zip(names, parts) if name in place.names)


def in_weights(graph: ComponentGraph, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Sums values by weight over each channel of each group: group → ``[width]``.

    Args:
        graph: of the policy.
        values: path → tensor of the parameter's shape; paths left out count nothing.
    """
    totals = {group.name: torch.zeros(group.width) for group in graph.groups}
    for path, tensor in values.items():
        for position, axis in enumerate(graph.trace.weights[path]):
            if not graph.groups_on(axis):
                continue
            others = [d for d in range(tensor.dim()) if d != position]
            for name, part in axis_channels(graph, axis, tensor.sum(dim=others) if others else tensor):
                totals[name] += part
    return totals
