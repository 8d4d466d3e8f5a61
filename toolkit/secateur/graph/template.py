"""The deployed operator graph as a function of widths: price any widths without surgery or conversion.

The converter fuses and folds as it likes, so its output is not guessed: the policy is converted twice, once as it
is and once at probe widths that differ from group to group. Every dimension of every tensor is then one of the
sizes that the component graph knows, and the pair of values says which.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from secateur.errors import SecateurError
from secateur.graph import axes
from secateur.graph.axes import Axis
from secateur.graph.groups import ComponentGraph
from secateur.network import Network, Operator, Tensor
from secateur.records import Widths

Size = tuple[tuple[int, tuple[tuple[str, int], ...]], ...]
"""A sum of products: (factor, the groups whose widths it is multiplied by, each with its full width)."""


def size_at(size: Size, widths: Widths) -> int:
    """The number that a size is at the given widths; groups not named are whole."""
    total = 0
    for factor, groups in size:
        for name, full in groups:
            factor *= widths.get(name, full)
        total += factor
    return total


def size_of(graph: ComponentGraph, traced: Sequence[Axis]) -> Size:
    """The product of traced axes, multiplied out; their normal forms no longer change once a policy is traced."""
    terms: Counter[tuple[tuple[str, int], ...]] = Counter({(): 1})
    for axis in traced:
        before, terms = terms, Counter()
        for segment in axes.normal(axis):
            named = [(graph.dims[dim], dim.size) for dim in segment if dim in graph.dims]
            rest = prod(dim.size for dim in segment if dim not in graph.dims)
            for groups, factor in before.items():
                terms[tuple(sorted([*groups, *named]))] += factor * rest
    return tuple((factor, groups) for groups, factor in terms.items())


def parameter_sizes(graph: ComponentGraph) -> dict[str, Size]:
    """Component → its number of parameters, as torch counts them."""
    terms: dict[str, Counter[tuple[tuple[str, int], ...]]] = {name: Counter() for name in graph.components}
    for path in graph.parameters:
        for factor, groups in size_of(graph, graph.trace.weights[path]):
            terms[graph.component_of[path]][groups] += factor
    return {name: tuple((factor, groups) for groups, factor in of.items()) for name, of in terms.items()}


@dataclass(frozen=True, eq=False)
class Template:
    """A network whose shapes are functions of widths.

    Attributes:
        network: at full width, without the data of weights.
        sizes: (tensor index, axis) → the size of a traced axis; axes not listed are constant.
        components: operator index → the component it belongs to.
    """

    graph: ComponentGraph
    network: Network
    sizes: Mapping[tuple[int, int], Size]
    components: tuple[str, ...]

    def at(self, widths: Widths) -> Network:
        """The network at the given widths: shapes and types, no data."""
        tensors = list(self.network.tensors)
        for index, shape in self._shapes.items():
            at = tuple([n if isinstance(n, int) else size_at(n, widths) for n in shape])
            full = tensors[index]
            tensors[index] = Tensor(full.name, at, full.dtype, full.quantization, full.constant, full.data)
        return Network(tuple(tensors), self.network.operators, self.network.inputs, self.network.outputs)

    @cached_property
    def _shapes(self) -> dict[int, tuple[int | Size, ...]]:
        """Tensor whose shape depends on widths → its axes."""
        return {
            index: tuple(
                self.sizes.get((index, axis), n) for axis, n in enumerate(self.network.tensors[index].shape)
            )
            for index in sorted({index for index, _ in self.sizes})
        }

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups whose widths any shape depends on."""
        return tuple(
            sorted({name for size in self.sizes.values() for _, groups in size for name, _ in groups})
        )

    def part(self, operators: Sequence[int], kept: Collection[int]) -> "Template":
        """Some of the operators alone.

        Args:
            operators: indices, ascending.
            kept: tensors that others need: they are its outputs. All it reads and does not write is its input.
        """
        chosen = [self.network.operators[index] for index in operators]
        written = {tensor for operator in chosen for tensor in operator.outputs}
        touched = [tensor for operator in chosen for tensor in (*operator.inputs, *operator.outputs)]
        indices = [tensor for tensor in dict.fromkeys(touched) if tensor != -1]
        place = {-1: -1, **{tensor: position for position, tensor in enumerate(indices)}}
        tensors = self.network.tensors
        network = Network(
            tuple(tensors[tensor] for tensor in indices),
            tuple(
                Operator(
                    operator.kind,
                    tuple(place[tensor] for tensor in operator.inputs),
                    tuple(place[tensor] for tensor in operator.outputs),
                    operator.options,
                )
                for operator in chosen
            ),
            {str(t): place[t] for t in indices if t not in written and not tensors[t].constant},
            {str(t): place[t] for t in indices if t in kept},
        )
        sizes = {(place[t], axis): size for (t, axis), size in self.sizes.items() if t in place}
        return Template(self.graph, network, sizes, tuple(self.components[index] for index in operators))


def probe_widths(graph: ComponentGraph) -> dict[str, int]:
    """Widths below full at which different sizes are told apart: (full, probe) pairs that differ by group.

    One channel is the last choice: a converter leaves out what an axis of one does not need.
    Where a policy has more groups of one width than there are smaller widths, some share a pair; ``fit_template``
    then refuses what it cannot tell apart.
    """
    probe: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for position, group in enumerate(graph.groups):
        wanted = min(max(2, group.width * 3 // 4 - position % 7), group.width - 1)
        others = sorted(range(1, group.width), key=lambda width: (width == 1, abs(width - wanted), width))
        probe[group.name] = next((w for w in others if (group.width, w) not in taken), wanted)
        taken.add((group.width, probe[group.name]))
    return probe


def fit_template(
    graph: ComponentGraph, full: Network, probe: Network, probe_at: Widths, deployed: str
) -> Template:
    """The template that gives ``full`` at full width and ``probe`` at the probe's widths.

    Args:
        graph: of the policy.
        full: the converted policy as it is.
        probe: the policy converted at ``probe_at``.
        probe_at: group → width of the probe.
        deployed: name of the entry that was converted.

    Raises:
        SecateurError: the two conversions differ in more than shapes, or a size follows from no group.
    """
    if [op.kind for op in full.operators] != [op.kind for op in probe.operators]:
        raise SecateurError(
            "the operators that a policy converts to do not depend on its widths",
            f"{len(full.operators)} operators at full width, {len(probe.operators)} at the probe's, or other kinds",
            "Report this policy: it cannot be priced.",
        )
    known = _known_sizes(graph, probe_at)
    sizes: dict[tuple[int, int], Size] = {}
    for index, (one, two) in enumerate(zip(full.tensors, probe.tensors)):
        for position, pair in enumerate(zip(one.shape, two.shape)):
            if pair[0] == pair[1]:
                continue
            if pair not in known:
                raise SecateurError(
                    "every size in the converted network follows from the policy's groups",
                    f"{one.name}: axis {position} is {pair[0]} at full width and {pair[1]} at the probe's",
                    "Report this policy: it cannot be priced.",
                )
            axis = known[pair]
            if axis is None:
                raise SecateurError(
                    "sizes of different groups can be told apart",
                    f"{one.name}: axis {position} of {pair[0]} could be any of several groups of that width",
                    "Give layers of the policy different widths.",
                )
            sizes[index, position] = size_of(graph, (axis,))
    bare = replace(
        full, tensors=tuple(_without_weights(one, two) for one, two in zip(full.tensors, probe.tensors))
    )
    return Template(graph, bare, sizes, _components(graph, bare, deployed))


def _without_weights(one: Tensor, two: Tensor) -> Tensor:
    """Weights go; small integers that say what an operator does (paddings, axes) stay where no width changes them."""
    settings = one.constant and one.quantization is None and one.dtype in ("int32", "int64")
    same = one.data is not None and two.data is not None and np.array_equal(one.data, two.data)
    return one if settings and same else replace(one, data=None)


def _known_sizes(graph: ComponentGraph, probe_at: Widths) -> dict[tuple[int, int], Axis | None]:
    """(full, probe) → the traced axis of these sizes, single groups before sums; None where several could be.

    Axes of weights and of what modules give come first. What only operators in between have, such as the number of
    heads, is asked where those do not explain a pair.
    """
    trace = graph.trace
    traced = [axis for shape in trace.weights.values() for axis in shape]
    traced += [axis for site in trace.sites for axis in site.axes]
    between = [axis for _, results in trace.results for its_axes in results for axis in its_axes]
    return _sizes_among(graph, between, probe_at) | _sizes_among(graph, traced, probe_at)


def _sizes_among(
    graph: ComponentGraph, traced: list[Axis], probe_at: Widths
) -> dict[tuple[int, int], Axis | None]:
    found: dict[tuple[int, int], Axis | None] = {}
    seen: dict[tuple[int, int], tuple[int, tuple[tuple[str, ...], ...]]] = {}
    for axis in sorted(traced, key=lambda axis: len(axes.normal(axis))):
        pair = (graph.size(axis, graph.full), graph.size(axis, probe_at))
        if pair[0] == pair[1]:
            continue
        terms = tuple(sorted(_terms(graph, axis)))
        if pair not in found:
            found[pair], seen[pair] = axis, (len(axes.normal(axis)), terms)
        elif seen[pair] != (len(axes.normal(axis)), terms) and len(axes.normal(axis)) == seen[pair][0]:
            found[pair] = None
    return found


def _terms(graph: ComponentGraph, axis: Axis) -> list[tuple[str, ...]]:
    """The axis as a sum of products: the groups, and the size of what is fixed, of each segment."""
    return [
        tuple(sorted(graph.dims.get(dim, str(dim.size)) for dim in segment)) for segment in axes.normal(axis)
    ]


def _components(graph: ComponentGraph, network: Network, deployed: str) -> tuple[str, ...]:
    """Operators with weights follow the traced uses of weights, in order; the rest belong to what they read."""
    uses = [c for c in graph.contractions if c.entry == deployed]
    component_of_tensor: dict[int, str] = {}
    result: list[str] = []
    cursor = 0
    for op in network.operators:
        weights = [
            i
            for i in op.inputs
            if i >= 0 and network.tensors[i].constant and len(network.tensors[i].shape) > 1
        ]
        name = ""
        if weights:
            wanted = prod(network.tensors[weights[0]].shape)
            for ahead in range(cursor, len(uses)):
                shape = graph.shape(uses[ahead].weight, graph.full)
                if prod(shape) == wanted:
                    name, cursor = graph.component_of[uses[ahead].weight], ahead + 1
                    break
        if not name:
            read = [component_of_tensor[i] for i in op.inputs if i in component_of_tensor]
            name = (
                read[-1]
                if read
                else graph.component_of[uses[cursor].weight]
                if cursor < len(uses)
                else graph.components[0]
            )
        result.append(name)
        component_of_tensor.update(dict.fromkeys(op.outputs, name))
    return tuple(result)
