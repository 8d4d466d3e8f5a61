"""First-order Taylor on visited states: how far the outputs move when a channel's activation goes to zero."""

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.importance.activations import (
    PROJECTIONS,
    by_channel,
    gradients_of_outputs,
    in_weights,
    observe,
)
from secateur.prune.importance.evidence import Evidence


def taylor(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """E |a · ∂L/∂a| per channel, over visited states (Molchanov et al. 2017, arXiv 1611.06440).

    L is a random ±1 projection of all outputs, see ``gradients_of_outputs``. Places of one channel are summed
    before the modulus. A group that no module's output shows (a parameter outside modules, the state of a
    recurrent layer) is scored by its weights, |w · ∂L/∂w|.
    """
    totals = {group.name: torch.zeros(group.width) for group in graph.groups}
    with observe(policy, graph, evidence.visited) as observation:
        for gradients in gradients_of_outputs(policy, observation, evidence.generator):
            for seen, gradient in zip(observation.seen, gradients.activations):
                if gradient is None:
                    continue
                moved = seen.activation.detach() * gradient
                for name, by_state in by_channel(graph, seen.place, moved, observation.states):
                    totals[name] += by_state.abs().mean(dim=0)
            weights = {p: (observation.weights[p].detach() * g).abs() for p, g in gradients.weights.items()}
            by_weight = in_weights(graph, weights)
            for name in observation.hidden:
                totals[name] += by_weight[name]
    return {name: total / PROJECTIONS for name, total in totals.items()}
