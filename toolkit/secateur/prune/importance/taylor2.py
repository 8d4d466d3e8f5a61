"""Second-order Taylor on visited states, with the Gauss–Newton matrix in the Hessian's place."""

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


def taylor2(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """½ E Σ_outputs (∂o/∂gate)² per channel, where the gate multiplies the channel everywhere at once.

    The expansion of ½‖o(gate) − o(1)‖² around the policy itself: its first-order term is zero, its Hessian by
    the gates is exactly Gauss–Newton's, JᵀJ. The diagonal is kept, as LeCun, Denker and Solla did for weights
    (Optimal Brain Damage, 1989) and Liu et al. for coupled channels (arXiv 2108.00708). It is estimated from
    random signs per state and output. ∂o/∂gate is Σ a · ∂o/∂a over all places of the channel, in all calls of
    the step that starts at a state; for a group that no module's output shows it is Σ w · ∂o/∂w over its
    weights.
    """
    totals = {group.name: torch.zeros(group.width) for group in graph.groups}
    with observe(policy, graph, evidence.visited) as observation:
        for gradients in gradients_of_outputs(policy, observation, evidence.generator, per_state=True):
            by_gate: dict[str, torch.Tensor] = {}
            for seen, gradient in zip(observation.seen, gradients.activations):
                if gradient is None:
                    continue
                moved = seen.activation.detach() * gradient
                for name, by_state in by_channel(graph, seen.place, moved, observation.states):
                    by_gate[name] = by_gate[name] + by_state if name in by_gate else by_state
            for name, by_state in by_gate.items():
                totals[name] += by_state.square().mean(dim=0) / 2
            by_weight = in_weights(
                graph, {p: observation.weights[p].detach() * g for p, g in gradients.weights.items()}
            )
            for name in observation.hidden:
                totals[name] += by_weight[name].square() / observation.states / 2
    return {name: total / PROJECTIONS for name, total in totals.items()}
