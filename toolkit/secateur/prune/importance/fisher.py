"""Fisher information: how much the outputs on visited states say about the weights of a channel."""

from dataclasses import replace

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.prune.importance.activations import gradients_of_outputs, in_weights, observe
from secateur.prune.importance.evidence import Evidence

CHUNK = 32
"""States whose gradients are estimated together."""


def fisher(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """Trace of the Fisher matrix over the weights of the channel that are not zero, per state.

    The Fisher matrix is that of a Gaussian around the outputs, with their spread over visited states as its
    deviation: F_ww = E Σ_o (∂o/∂w)², estimated from random signs (``weight_information``). Named after "Fisher
    Information" of Sundaram, Ulmen and Görges 2026 (arXiv 2601.19794). Confirmed from its abstract and from
    reviews of it: the metric measures loss sensitivity, as curvature, from squared gradients. Not confirmed,
    because its formulas were not at hand: its smoothing over time, and whether squares are taken per sample
    or per batch. The weights themselves do not enter; ``bayesian`` and ``taylor2`` are where they do.
    """
    information = weight_information(policy, graph, evidence)
    weights = policy.module.named_parameters()
    return in_weights(graph, {p: information[p] * (w.detach() != 0) / evidence.states for p, w in weights})


def weight_information(policy: Policy, graph: ComponentGraph, evidence: Evidence) -> dict[str, torch.Tensor]:
    """Diagonal of the Fisher matrix summed over the visited states: path → tensor of the parameter's shape.

    With independent random signs per state and output, the mean of the squared total gradient is the sum of
    the squared gradients, so that no state needs a backward pass of its own. States are taken CHUNK at a
    time: as many independent estimates as there are chunks, at the price of one pass over all states.
    """
    totals = {path: torch.zeros_like(weight) for path, weight in policy.module.named_parameters()}
    with observe(policy, graph, evidence.visited, gradients=False) as whole:
        units = whole.units
    for start in range(0, evidence.states, CHUNK):
        part = {name: rows[start : start + CHUNK] for name, rows in evidence.visited.items()}
        with observe(policy, graph, part) as observation:
            chunk = replace(observation, units=units)
            for gradients in gradients_of_outputs(policy, chunk, evidence.generator, count=1, per_state=True):
                for path, found in gradients.weights.items():
                    totals[path] += found.square()
    return {path: total.detach() for path, total in totals.items()}
