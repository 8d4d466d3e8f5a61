"""Which groups can really be cut: all of them are, once, on trial, before anything rests on them.

The trace sees what torch computes, not what the code around it assumes. Code that has a width written into it
(``view(batch, 4, 16)``) traces well and fails, or computes something else, once it is cut; surgery notices either. So
every group is cut a little, all together; where that fails, the trial is halved until the culprits are found, and
those are left whole.
"""

from collections.abc import Sequence

import torch

from secateur.errors import SecateurError
from secateur.graph.groups import ComponentGraph, Group, build_graph
from secateur.policy.policy import Policy
from secateur.prune.surgery import cut


def analyse(policy: Policy) -> ComponentGraph:
    """The component graph of ``policy``, of groups that surgery can cut in any combination.

    Raises:
        SecateurError: an entry cannot be called with its example inputs.
    """
    graph = build_graph(policy)
    cut(policy, graph, {})  # an entry that is not the same twice is an error of its own, not one of a group
    refused = _refused(policy, graph, graph.groups, {})
    return graph.leaving_whole(refused) if refused else graph


def _refused(
    policy: Policy, graph: ComponentGraph, groups: Sequence[Group], cut_before: dict[str, torch.Tensor]
) -> dict[str, str]:
    """Group → why it cannot be cut; those that can are added to ``cut_before``."""
    keep = {group.name: _fewer(group.width, graph.groups.index(group)) for group in groups}
    try:
        if keep:
            cut(policy, graph, {**cut_before, **keep})
    except SecateurError as error:
        if len(groups) == 1:
            return {groups[0].name: f"the code has a width written into it ({error.seen.partition(': ')[2]})"}
        half = len(groups) // 2
        first = _refused(policy, graph, groups[:half], cut_before)
        return first | _refused(policy, graph, groups[half:], cut_before)
    cut_before.update(keep)
    return {}


def _fewer(width: int, position: int) -> torch.Tensor:
    """All channels but the first one to three, by position, so that widths that were equal differ."""
    return torch.arange(min(1 + position % 3, width - 1), width)
