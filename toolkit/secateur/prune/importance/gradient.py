"""Gradient accumulation: how strongly visited states pull at the weights of a channel."""

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.importance.activations import PROJECTIONS, gradients_of_outputs, in_weights, observe
from secateur.prune.importance.evidence import Evidence


def gradient(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """Σ |∂L/∂w| over the weights of the channel, L averaged over states, accumulated over projections.

    A weight that is zero counts nothing: it is lost at no cost, however strong the pull.

    After "Gradient Accumulation" of Sundaram, Ulmen and Görges 2026 (arXiv 2601.19794). Confirmed from its
    abstract and from reviews of it: the metric is the gradient magnitude of a group, accumulated during
    training, as a measure of its learning activity. Not confirmed, because the paper's formulas were not at
    hand: its norm and its smoothing over time. Ours differs on purpose: a finished policy has no training
    loss, so random projections of its outputs (``gradients_of_outputs``) take the loss's place, and there is
    no schedule.
    """
    totals = {group.name: torch.zeros(group.width) for group in graph.groups}
    with observe(policy, graph, evidence.visited) as observation:
        for gradients in gradients_of_outputs(policy, observation, evidence.generator):
            alive = {
                path: g.abs() * (observation.weights[path] != 0) for path, g in gradients.weights.items()
            }
            for name, part in in_weights(graph, alive).items():
                totals[name] += part / observation.states
    return {name: total / PROJECTIONS for name, total in totals.items()}
