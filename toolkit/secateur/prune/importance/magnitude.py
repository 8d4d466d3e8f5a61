"""Magnitude: the norm of all weights that a channel owns or is read by."""

import torch

from secateur.graph.groups import ComponentGraph
from secateur.graph.members import per_channel
from secateur.policy.policy import Policy
from secateur.prune.importance.evidence import Evidence


def l2(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """Euclidean norm over every member of the group (Li et al. 2017, arXiv 1608.08710, over whole groups)."""
    return {name: total.sqrt() for name, total in per_channel(policy, graph, torch.square).items()}


def l1(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """Sum of absolute weights over every member of the group."""
    return per_channel(policy, graph, torch.abs)
