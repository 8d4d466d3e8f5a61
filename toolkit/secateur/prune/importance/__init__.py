"""What each channel is worth. One criterion, one file; all of them in one table."""

from collections.abc import Callable

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.importance.activation import activation, activation_rms
from secateur.prune.importance.bayesian import bayesian
from secateur.prune.importance.chance import chance
from secateur.prune.importance.closed_loop import closed_loop
from secateur.prune.importance.evidence import Evidence
from secateur.prune.importance.fisher import fisher
from secateur.prune.importance.gradient import gradient
from secateur.prune.importance.magnitude import l1, l2
from secateur.prune.importance.taylor import taylor
from secateur.prune.importance.taylor2 import taylor2

Scores = dict[str, torch.Tensor]
"""Pruning group → score of each channel, float ``[width]``, not negative; higher is worth more."""

Importance = Callable[[Policy, ComponentGraph, Evidence], Scores]
"""(policy, graph, evidence) → scores. The policy is left unchanged."""

IMPORTANCE: dict[str, Importance] = {
    "taylor": taylor,
    "taylor2": taylor2,
    "l1": l1,
    "l2": l2,
    "activation": activation,
    "activation-rms": activation_rms,
    "gradient": gradient,
    "fisher": fisher,
    "bayesian": bayesian,
    "closed-loop": closed_loop,
    "random": chance,
}

__all__ = ["IMPORTANCE", "Evidence", "Importance", "Scores"]
