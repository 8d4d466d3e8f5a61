"""Chance, as a control: what allocation alone is worth."""

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.importance.evidence import Evidence


def chance(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """Uniform in [0, 1), whatever the policy does."""
    return {group.name: torch.rand(group.width, generator=evidence.generator) for group in graph.groups}
