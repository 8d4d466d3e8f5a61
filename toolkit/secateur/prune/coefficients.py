"""Soft coefficients: one number per group that weighs its scores against those of the other groups.

Scores of different groups have different scales, so a ranking over all channels needs them in one unit. The
mean of each group's scores is one answer, the same for every policy and task. Sundaram, Ulmen, Haider and
Görges 2025 (arXiv 2507.14882) find the answer for the application instead: a pruning coefficient for each
group, sought by grid or by gradient, such that a wanted sparsity is met and the task suffers least. Confirmed
from the abstract and from reviews: soft coefficients per dependency group, the wanted sparsity within a
tolerance, grid search or a constrained gradient-based search, task metrics as the judge (PSNR, episode
reward). The formulas were not at hand; those here are ours.

A group's scores are divided by their mean and multiplied by its coefficient: twice the coefficient, and the
group keeps its channels down to scores half as high. Coefficients have a geometric mean of 1, for only their
ratios count::

    coefficients = gradient_coefficients(policy, graph, scores, visited, kept_share=0.1)
    widths = global_ranking(graph, scores, price, budget, coefficients)
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, log

import torch
from torch import nn

from secateur.graph import axes
from secateur.graph.axes import Axis
from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy, Tensors
from secateur.policy.unroll import Call, run_entries
from secateur.prune.states import weight_of

Scores = Mapping[str, torch.Tensor]
Coefficients = dict[str, float]
"""Pruning group → factor of its scores, positive, of geometric mean 1."""

GRID = (0.25, 0.5, 1.0, 2.0, 4.0)

SOFTNESS = 0.5
"""Over how many e-folds of score a channel fades from kept to cut, in the search by gradient."""

SMALLEST = 1e-6
"""Below this share of its group's mean a score is nothing."""


def weighted(scores: Scores, coefficients: Mapping[str, float]) -> dict[str, torch.Tensor]:
    """Scores in one unit: of each group over their mean, times its coefficient (1 where there is none)."""
    return {
        name: score / score.mean().clamp_min(1e-12) * coefficients.get(name, 1.0)
        for name, score in scores.items()
    }


def grid_coefficients(
    scores: Scores,
    quality: Callable[[Coefficients], float],
    values: Sequence[float] = GRID,
    sweeps: int = 1,
) -> Coefficients:
    """Coefficients by search along a grid, one group after the other, the others held.

    It costs groups × values trials; the whole grid would cost values to the power of groups.

    Args:
        scores: whose groups get coefficients.
        quality: coefficients → how good a policy they lead to, higher is better (a mean return; minus a
            distance).
        values: factors that are tried on each coefficient. 1 need not be among them: what is already there
            stays unless something is better.
        sweeps: times that all groups are gone through.
    """
    best = dict.fromkeys(scores, 1.0)
    reached = quality(best)
    for _ in range(sweeps):
        for name in scores:
            centre = best
            for value in values:
                tried = _normal({**centre, name: centre[name] * value})
                if value != 1.0 and (found := quality(tried)) > reached:
                    best, reached = tried, found
    return best


def gradient_coefficients(
    policy: Policy,
    graph: ComponentGraph,
    scores: Scores,
    visited: Tensors,
    kept_share: float,
    steps: int = 60,
    learning_rate: float = 0.1,
) -> Coefficients:
    """Coefficients by gradient descent on the distance to the original, at a fixed share of parameters.

    A channel is kept to the degree m = sigmoid((log weighted score − t) / SOFTNESS). The threshold t is solved for at
    every step, so that the parameters kept are the wanted share, and its derivative by the coefficients is
    that of the solution (implicit function theorem): a group gains channels only at the others' cost. Members
    of a group are multiplied by m, and the outputs of all entries compared with the original's, as in
    recovery, on what is left.

    Args:
        policy: left unchanged.
        graph: of the policy.
        scores: whose groups get coefficients; other groups stay whole.
        visited: states to compare on, name → ``[states, ...]``; a few hundred do.
        kept_share: parameters kept / all parameters of the policy, in (0, 1).
        steps: of descent.
        learning_rate: on log coefficients.
    """
    names = list(scores)
    log_scores = {n: (s / s.mean().clamp_min(1e-12) + SMALLEST).log().float() for n, s in scores.items()}
    logs = torch.zeros(len(names), requires_grad=True)
    optimizer = torch.optim.Adam([logs], lr=learning_rate)
    sizes = _Sizes(graph)
    soft = _SoftlyMasked(policy, graph, visited)
    best, least = [0.0] * len(names), float("inf")
    for _ in range(steps):
        levels = {n: log_scores[n] + logs[i] for i, n in enumerate(names)}
        masks = _masks(levels, _threshold(levels, sizes, kept_share))
        loss = soft.distance(masks)
        if float(loss.detach()) < least:
            best, least = logs.tolist(), float(loss.detach())
        (logs.grad,) = torch.autograd.grad(loss, [logs])
        optimizer.step()
    return _normal({name: exp(value) for name, value in zip(names, best)})


def _normal(coefficients: Coefficients) -> Coefficients:
    """The same ratios, with a geometric mean of 1."""
    mean = sum(log(value) for value in coefficients.values()) / max(1, len(coefficients))
    return {name: value / exp(mean) for name, value in coefficients.items()}


def _masks(levels: Mapping[str, torch.Tensor], threshold: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: torch.sigmoid((level - threshold) / SOFTNESS) for name, level in levels.items()}


def _threshold(levels: Mapping[str, torch.Tensor], sizes: "_Sizes", kept_share: float) -> torch.Tensor:
    """The threshold at which the wanted share is kept, with the derivative of the exact solution."""
    fixed = {name: level.detach() for name, level in levels.items()}
    low = min(float(level.min()) for level in fixed.values()) - 20 * SOFTNESS
    high = max(float(level.max()) for level in fixed.values()) + 20 * SOFTNESS
    for _ in range(40):
        middle = (low + high) / 2
        too_much = float(sizes.share(_masks(fixed, torch.tensor(middle)))) > kept_share
        low, high = (middle, high) if too_much else (low, middle)
    solved = torch.tensor((low + high) / 2, requires_grad=True)
    (slope,) = torch.autograd.grad(sizes.share(_masks(fixed, solved)), solved)
    kept = sizes.share(_masks(levels, solved.detach()))
    return solved.detach() - (kept - kept.detach()) / slope.clamp(max=-1e-12)


class _Sizes:
    """The share of parameters that soft masks keep."""

    def __init__(self, graph: ComponentGraph) -> None:
        self.parameters = [
            [
                [[(graph.dims.get(dim), dim.size) for dim in segment] for segment in axes.normal(axis)]
                for axis in graph.trace.weights[path]
            ]
            for path in graph.parameters
        ]
        self.total = sum(graph.parameter_counts(graph.full).values())

    def share(self, masks: Mapping[str, torch.Tensor]) -> torch.Tensor:
        widths = {name: mask.sum() for name, mask in masks.items()}
        kept = torch.zeros(())
        for its_axes in self.parameters:
            count = torch.ones(())
            for segments in its_axes:
                size = torch.zeros(())
                for segment in segments:
                    part = torch.ones(())
                    for name, whole in segment:
                        part = part * widths.get(name or "", whole)
                    size = size + part
                count = count * size
            kept = kept + count
        return kept / self.total


class _SoftlyMasked:
    """The policy with members of its groups multiplied by masks, held against the original."""

    def __init__(self, policy: Policy, graph: ComponentGraph, visited: Tensors) -> None:
        self.policy, self.graph, self.visited = policy, graph, visited
        self.runner = _Runner(policy.module)
        self.weights = {path: p.detach() for path, p in policy.module.named_parameters()}
        with torch.no_grad():
            self.wanted = self._outputs({})

    def distance(self, masks: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Squared difference of outputs, in units of their spread, weighted by entry."""
        total = torch.zeros(())
        for (call, name), (before, _) in zip(self._outputs(masks), self.wanted):
            wanted = before.outputs[name]
            change = (call.outputs[name] - wanted) / wanted.std(correction=0).clamp_min(1e-3)
            for position, axis in enumerate(self.graph.trace.outputs[call.entry.name, name]):
                if self.graph.groups_on(axis):
                    change = change * _along(
                        axis_mask(self.graph, axis, masks).detach(), position, change.dim()
                    )
            weight = weight_of(self.policy, self.policy.entry(call.entry.name), name, call.outputs)
            total = total + weight * change.square().mean()
        return total

    def _outputs(self, masks: Mapping[str, torch.Tensor]) -> list[tuple[Call, str]]:
        changed = {}
        for path, weight in self.weights.items():
            for position, axis in enumerate(self.graph.trace.weights[path]):
                if any(name in masks for name in self.graph.groups_on(axis)):
                    weight = weight * _along(axis_mask(self.graph, axis, masks), position, weight.dim())
            changed[f"module.{path}"] = weight
        training = [part for part in self.policy.module.modules() if part.training]
        for part in training:
            part.training = False
        try:
            calls = torch.func.functional_call(
                self.runner, changed, (lambda module: run_entries(self.policy, module, self.visited),)
            )
        finally:
            for part in training:
                part.training = True
        return [(call, name) for call in calls for name in call.outputs]


class _Runner(nn.Module):
    """Applies a function to a module, as a module itself: ``functional_call`` swaps the parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = module.training

    def forward(self, function: Callable[[nn.Module], object]) -> object:
        return function(self.module)


def axis_mask(graph: ComponentGraph, axis: Axis, masks: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The masks of the groups along an axis, spread over its positions, ``[size]``; 1 where none stands."""
    parts = []
    for segment in axes.normal(axis):
        along = torch.ones(1)
        for dim in segment:
            name = graph.dims.get(dim)
            mask = masks[name] if name is not None and name in masks else torch.ones(dim.size)
            along = (along[:, None] * mask[None, :]).reshape(-1)
        parts.append(along)
    return torch.cat(parts)


def _along(vector: torch.Tensor, position: int, dims: int) -> torch.Tensor:
    return vector.reshape([-1 if d == position else 1 for d in range(dims)])
