"""Sizes as functions of widths: sums of products of groups, worked out once and evaluated often."""

from collections import Counter
from collections.abc import Sequence
from math import prod

from secateur.graph import axes
from secateur.graph.axes import Axis
from secateur.graph.groups import ComponentGraph
from secateur.records import Widths

Size = tuple[tuple[int, tuple[tuple[str, int], ...]], ...]
"""A sum of products: (factor, the groups whose widths it is multiplied by, each with its full width), in order."""


def size_at(size: Size, widths: Widths) -> int:
    """The number that a size is at the given widths; groups not named are whole."""
    total = 0
    for factor, groups in size:
        for name, full in groups:
            factor *= widths.get(name, full)
        total += factor
    return total


def size_of(graph: ComponentGraph, traced: Sequence[Axis]) -> Size:
    """The product of traced axes, multiplied out; equal where the function is, however it was written.

    Normal forms of axes no longer change once a policy is traced.
    """
    terms: Counter[tuple[tuple[str, int], ...]] = Counter({(): 1})
    for axis in traced:
        before, terms = terms, Counter()
        for segment in axes.normal(axis):
            named = [(graph.dims[dim], dim.size) for dim in segment if dim in graph.dims]
            rest = prod(dim.size for dim in segment if dim not in graph.dims)
            for groups, factor in before.items():
                terms[tuple(sorted([*groups, *named]))] += factor * rest
    return tuple((factor, groups) for groups, factor in sorted(terms.items()))


def groups_in(size: Size) -> frozenset[str]:
    """The groups whose widths a size depends on."""
    return frozenset(name for _, groups in size for name, _ in groups)


def parameter_sizes(graph: ComponentGraph) -> dict[str, Size]:
    """Component → its number of parameters, as torch counts them."""
    terms: dict[str, Counter[tuple[tuple[str, int], ...]]] = {name: Counter() for name in graph.components}
    for path in graph.parameters:
        for factor, groups in size_of(graph, graph.trace.weights[path]):
            terms[graph.component_of[path]][groups] += factor
    return {name: tuple((factor, groups) for groups, factor in of.items()) for name, of in terms.items()}
