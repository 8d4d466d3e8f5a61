"""Which teacher a policy has."""

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.policy.unroll import fed_back
from secateur.prune.lessons import EntryTeacher, Teacher, UnrollingTeacher
from secateur.prune.remembering import RememberingTeacher


def teacher_of(original: Policy, graph: ComponentGraph, seed: int) -> Teacher:
    """The teacher for how the policy moves the robot: by its deployed entry, with states or without, or by planning."""
    if original.plans and original.planning is not None:
        return UnrollingTeacher(original, graph, original.planning, seed)
    if fed_back(original, original.entry()):
        return RememberingTeacher(original, graph)
    return EntryTeacher(original, graph)
