"""The comprehensive dependency graph: torch-pruning's own groups over the whole policy, components unseen.

It serves the ``global`` strategy, the baseline that component-aware pruning is measured against, and the tests
hold our groups against it.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch

from secateur.errors import SecateurError
from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy, Tensors
from secateur.policy.unroll import run_entries


@dataclass(frozen=True)
class ComprehensiveGroup:
    """A group as torch-pruning enumerates it: width, and the (parameter, axis) pairs that it cuts."""

    width: int
    members: frozenset[tuple[str, int]]


def _analyse(policy: Policy) -> tuple[Any, list[Any]]:
    """torch-pruning's dependency graph of one unrolled step of all entries, and its groups."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_pruning

    module = policy.module

    def unrolled(model: torch.nn.Module, visited: Tensors) -> list[torch.Tensor]:
        return [tensor for call in run_entries(policy, model, visited) for tensor in call.outputs.values()]

    examples = dict(policy.entry().example_inputs)
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch_pruning.DependencyGraph().build_dependency(
                module, example_inputs=examples, forward_fn=unrolled
            )
            return graph, list(graph.get_all_groups())
    except Exception as error:  # it raises whatever it meets
        raise SecateurError(
            "torch-pruning can analyse the policy",
            f"{policy.name}: {type(error).__name__}: {error}",
            "Take --strategy component-aware or uniform.",
        ) from error


def comprehensive_groups(policy: Policy) -> tuple[ComprehensiveGroup, ...]:
    """Groups of ``torch_pruning.DependencyGraph`` on one unrolled step of all entries.

    The entries run twice over, as ``run_entries`` unrolls them, so that the graph that autograd records holds the
    whole model: encode → act → next, reward and value of the latent and of the next one.

    Raises:
        SecateurError: torch-pruning cannot analyse the policy.
    """
    graph, groups = _analyse(policy)
    return tuple(ComprehensiveGroup(len(group[0].idxs), _members(policy, graph, group)) for group in groups)


def _members(policy: Policy, graph: Any, group: Any) -> frozenset[tuple[str, int]]:
    owners = {id(parameter): path for path, parameter in policy.module.named_parameters()}
    members = set()
    for dependency, _ in group:
        layer, cut = dependency.target.module, dependency.handler
        axis = 0 if graph.is_out_channel_pruning_fn(cut) else 1
        for parameter in layer.parameters(recurse=False) if isinstance(layer, torch.nn.Module) else [layer]:
            if id(parameter) in owners and parameter.dim() > axis:
                members.add((owners[id(parameter)], axis))
    return frozenset(members)


def magnitude_scores(policy: Policy, own: ComponentGraph) -> dict[str, torch.Tensor]:
    """Scores of torch-pruning's own criterion as it comes, for the groups that it shares with ours.

    ``GroupMagnitudeImportance``, what its ``BasePruner`` takes by default: Euclidean norms, mean over the members of a
    group, divided by the group's mean.

    Raises:
        SecateurError: torch-pruning cannot analyse the policy.
    """
    graph, groups = _analyse(policy)
    import torch_pruning

    criterion = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    names = {
        (
            group.width,
            frozenset((m.parameter, m.axis) for m in group.members if m.parameter in own.component_of),
        ): group.name
        for group in own.groups
    }
    scores = {}
    for group in groups:
        name = names.get((len(group[0].idxs), _members(policy, graph, group)))
        if name is not None:
            scores[name] = criterion(group).detach().float()
    return {group.name: scores[group.name] for group in own.groups if group.name in scores}


def matching_groups(policy: Policy, graph: ComponentGraph) -> tuple[str, ...]:
    """Names of our groups that torch-pruning enumerates as well, width and members alike."""
    theirs = {(group.width, group.members) for group in comprehensive_groups(policy)}
    own = set(graph.component_of)
    return tuple(
        group.name
        for group in graph.groups
        if (group.width, frozenset((m.parameter, m.axis) for m in group.members if m.parameter in own))
        in theirs
    )
