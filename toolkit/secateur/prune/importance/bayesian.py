"""Bayesian uncertainty: a channel is worth as much as its weights stand out of what is not known about them."""

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.importance.activations import in_weights
from secateur.prune.importance.evidence import Evidence
from secateur.prune.importance.fisher import weight_information

NOISE = 0.01
"""What a state says of an output is taken to be right to within this share of the output's spread."""


def bayesian(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """Signal-to-noise ratio √Σ (w/σ)² over all weights of the channel, with σ from a diagonal Laplace posterior.

    σ⁻² = Σ_states F_ww / NOISE² + τ: the visited states' Fisher information (``weight_information``) and the
    precision τ of a Gaussian prior, fitted to each parameter tensor as 1 / mean w². A weight that could as
    well be zero, for all that the states say, counts little (Graves 2011, "Practical variational inference
    for neural networks"; Blundell et al. 2015, arXiv 1505.05424, prune by the same ratio).

    Named after "Bayesian Uncertainty" of Sundaram, Ulmen and Görges 2026 (arXiv 2601.19794). Confirmed from
    its abstract and from reviews of it: the metric is computed from gradients during training, estimates
    long-term activity, and puts groups first that are both sensitive now and were active before. Its formula
    was not at hand, so the form above is ours, for a policy whose training is over.
    """
    information = weight_information(policy, graph, evidence)
    ratios = {}
    for path, weight in policy.module.named_parameters():
        square = weight.detach().square()
        precision = information[path] / NOISE**2 + 1 / square.mean().clamp_min(1e-12)
        ratios[path] = square * precision
    return {name: total.sqrt() for name, total in in_weights(graph, ratios).items()}
