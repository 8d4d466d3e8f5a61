"""One component of the original at a time replaced by what became of it, all others as they were.

A pruned component has fewer channels at its interfaces than its neighbours expect. It is therefore put back into the
original's shapes: its weights stand where the channels that it kept stood, and everything else in it is zero. Its
inputs then read the kept channels only, and what it no longer gives is zero to its neighbours. Where channels that are
zero are channels that are not there (linear layers, convolutions, gates, element-wise functions, not norms over
channels) this is the pruned component exactly; ``embeds_exactly`` tries it out, on all components at once.

Three forms of a component:

    masked     the original's own weights on the kept channels: pruned, before recovery
    recovered  the pruned policy's weights: after recovery, in which it has adapted to its neighbours, who have not
    int8       the original's, computing with int8 weights and inputs of layers, scales fixed over the original's states
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from secateur.graph.groups import ComponentGraph
from secateur.policy.parts import part_names
from secateur.policy.policy import Policy, Tensors
from secateur.policy.unroll import fed_back, run_along, run_entries
from secateur.policy.weights import save_all_buffers
from secateur.prune.fake_quantise import fake_quantised
from secateur.prune.states import at_rest, in_episodes
from secateur.prune.surgery import Keep, kept_indices
from secateur.simulate.controller import acting

MASKED, RECOVERED, INT8 = "masked", "recovered", "int8"
TOLERANCE = 1e-4


def acting_components(policy: Policy, graph: ComponentGraph) -> tuple[str, ...]:
    """Components whose weights the parts on the robot compute with; all of them where a planner moves it."""
    names = [component.name for component in policy.components]
    if policy.plans:
        return tuple(names)
    parts = part_names(policy)
    used = {graph.component_of.get(c.weight) for c in graph.contractions if c.entry in parts}
    return tuple(name for name in names if name in used)


def with_pruned(
    policy: Policy,
    graph: ComponentGraph,
    keep: Keep,
    components: Collection[str],
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Policy:
    """A copy of the original in which some components have only the kept channels, in the original's shapes.

    Args:
        policy: the original.
        graph: of it.
        keep: group → channels that were kept; groups not named are whole.
        components: that are replaced.
        weights: of the pruned policy, by path; None for the original's own on the kept channels.
    """
    module = deepcopy(policy.module)
    save_all_buffers(module)
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    with torch.no_grad():
        for path, axes in graph.trace.weights.items():
            if _owner(graph, path) not in components:
                continue
            tensor = tensors[path]
            index = [kept_indices(graph, axis, keep) for axis in axes]
            if all(len(kept) == size for kept, size in zip(index, tensor.shape)) and weights is None:
                continue
            grid = torch.meshgrid(*index, indexing="ij") if index else ()
            part = tensor[grid].clone() if weights is None else weights[path].to(tensor)
            tensor.zero_()
            tensor[grid] = part
    return replace(policy, module=module)


def _owner(graph: ComponentGraph, path: str) -> str | None:
    """The component of a parameter, and of a buffer that stands beside one."""
    if path in graph.component_of:
        return graph.component_of[path]
    beside = path.rpartition(".")[0]
    return next((c for p, c in graph.component_of.items() if p.rpartition(".")[0] == beside), None)


def embeds_exactly(pruned: Policy, embedded: Policy, visited: Tensors, lengths: Sequence[int]) -> bool:
    """Whether the pruned policy answers as all its components in the original's shapes do.

    Args:
        pruned: as surgery and recovery left it.
        embedded: ``with_pruned`` of all components, with its weights.
        visited: inputs of the deployed entry, step by step.
        lengths: steps of each episode.
    """
    pairs = [
        (one[name], two[name])
        for one, two in zip(*(_answers(policy, visited, lengths) for policy in (pruned, embedded)))
        for name in one
        if one[name].shape == two[name].shape
    ]
    return bool(pairs) and all(torch.allclose(*pair, rtol=TOLERANCE, atol=TOLERANCE) for pair in pairs)


def _answers(policy: Policy, visited: Tensors, lengths: Sequence[int]) -> list[Tensors]:
    """Outputs along episodes through which the policy keeps its own states; of all entries, where it keeps none."""
    entry = policy.entry()
    with acting(policy.module):
        if not (states := fed_back(policy, entry)):
            return [call.outputs for call in run_entries(policy, policy.module, visited, passes=1)]
        seen = {name: rows for name, rows in visited.items() if name not in states}
        rest = at_rest(policy, len(lengths))
        return [run_along(entry, policy.module, states, in_episodes(seen, lengths), rest)[0]]


def with_int8(policy: Policy, components: Collection[str], visited: Tensors) -> Policy:
    """A copy of the original whose components compute with int8, scales fixed over visited states.

    Args:
        policy: the original.
        components: that do.
        visited: inputs of the deployed entry, its states among them.
    """
    module = deepcopy(policy.module)
    paths = [path for c in policy.components if c.name in components for path in c.modules]
    inside = nn.ModuleList(_submodule(module, path) for path in paths)
    copy = replace(policy, module=module)
    stack = ExitStack()  # never left: the copy stays as it is
    hold = stack.enter_context(fake_quantised(inside))
    with torch.no_grad():
        run_entries(copy, module, visited)
    hold()
    module._held = stack.pop_all()  # type: ignore[assignment]
    return copy


def _submodule(module: nn.Module, path: str) -> nn.Module:
    """The module of a path; of a parameter's path, the module that has it."""
    try:
        return module.get_submodule(path)
    except AttributeError:
        return module.get_submodule(path.rpartition(".")[0])
