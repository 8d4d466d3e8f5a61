"""Activation: how loud a channel is on visited states, whatever becomes of it."""

from collections.abc import Callable

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.importance.activations import by_channel, in_weights, observe
from secateur.prune.importance.evidence import Evidence


def activation(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """E |a| per channel over visited states, in the spirit of Hu et al. 2016 (arXiv 1607.03250).

    Seen behind normalisation and activation functions where these are modules; a function called on the
    tensor (``torch.relu(self.layer(x))``) is not seen. A group that no module's output shows is scored by Σ
    |w|.
    """
    return _mean(policy, graph, evidence, torch.abs)


def activation_rms(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """√E a² per channel over visited states: rare but strong activations count. Else as ``activation``."""
    return {name: mean.sqrt() for name, mean in _mean(policy, graph, evidence, torch.square).items()}


def _mean(
    policy: Policy, graph: ComponentGraph, evidence: Evidence, measure: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    totals = {group.name: torch.zeros(group.width) for group in graph.groups}
    times = dict.fromkeys(totals, 0)
    with observe(policy, graph, evidence.visited, gradients=False) as observation:
        for seen in observation.seen:
            for name, by_state in by_channel(graph, seen.place, measure(seen.activation), observation.states):
                totals[name] += by_state.mean(dim=0)
                times[name] += 1
        by_weight = in_weights(graph, {path: measure(w.detach()) for path, w in observation.weights.items()})
    return {name: total / times[name] if times[name] else by_weight[name] for name, total in totals.items()}
