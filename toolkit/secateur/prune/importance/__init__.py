"""What each channel is worth. One criterion, one file; all of them in one table."""

from collections.abc import Callable

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy, Tensors
from secateur.prune.importance.magnitude import l1, l2
from secateur.prune.importance.taylor import taylor

Scores = dict[str, torch.Tensor]
"""Pruning group → score of each channel, float ``[width]``, not negative; higher is worth more."""

Importance = Callable[[Policy, ComponentGraph, Tensors, torch.Generator], Scores]
"""(policy, graph, visited states, generator) → scores. The policy is left unchanged."""

IMPORTANCE: dict[str, Importance] = {"l1": l1, "l2": l2, "taylor": taylor}
