"""Which groups can really be cut: they are cut on trial, once, before anything rests on them.

The trace sees what torch computes, not what the code around it assumes. Code that has a width written into it
(``view(batch, 4, 16)``) traces well and fails, or computes something else, once it is cut; surgery notices either. So
every group is cut a little, all together; where that fails, the trial is halved until the culprits are found, and
those are left whole. Where the policy's own code meets no size at all (``graph/code.py``), it has no place for a width,
and there is nothing to try.
"""

from collections.abc import Collection

from secateur.errors import SecateurError
from secateur.graph.groups import ComponentGraph, build_graph
from secateur.policy.policy import Policy
from secateur.prune.surgery import try_widths
from secateur.records import Widths


def analyse(policy: Policy, acted_on: Collection[str] = ()) -> ComponentGraph:
    """The component graph of ``policy``, of groups that surgery can cut in any combination.

    Args:
        policy: the original.
        acted_on: states that the deployed entry feeds back to itself and the task's ``to_action`` reads as well.

    Raises:
        SecateurError: an entry cannot be called with its example inputs, or does not do the same twice.
    """
    graph = build_graph(policy)
    graph = graph.leaving_whole(
        {
            group: f"to_action reads {output}"
            for output in acted_on
            for axis in graph.trace.outputs[policy.deployed, output]
            for group in graph.groups_on(axis)
        }
    )
    return try_groups(policy, graph) if graph.trace.sized else graph


def try_groups(policy: Policy, graph: ComponentGraph) -> ComponentGraph:
    """The graph without groups that surgery cannot cut, by trial."""
    fewer = {group.name: _fewer(group.width, index) for index, group in enumerate(graph.groups)}
    accepted: dict[str, int] = {}
    refused = _refused(policy, graph, fewer, accepted)
    if not refused:
        return graph
    try_widths(policy, graph, {})
    return graph.leaving_whole(refused)


def _refused(
    policy: Policy, graph: ComponentGraph, fewer: Widths, accepted: dict[str, int]
) -> dict[str, str]:
    """Group → why it cannot have ``fewer`` channels; those that can are added to ``accepted``."""
    try:
        try_widths(policy, graph, {**accepted, **fewer})
    except SecateurError as error:
        if len(fewer) == 1:
            what = error.seen.partition(": ")[2]
            return {name: f"the code has a width written into it ({what})" for name in fewer}
        names = list(fewer)
        refused: dict[str, str] = {}
        for half in (names[: len(names) // 2], names[len(names) // 2 :]):
            refused |= _refused(policy, graph, {name: fewer[name] for name in half}, accepted)
        return refused
    accepted.update(fewer)
    return {}


def _fewer(width: int, position: int) -> int:
    """One to three channels less, by position, so that widths that were equal differ."""
    return max(1, width - 1 - position % 3)
