"""The deployed operator graph as a function of widths: price any widths without surgery or conversion.

The converter fuses and folds as it likes, so its output is not guessed: the policy is converted twice, once as it
is and once at probe widths that differ from group to group. Every dimension of every tensor is then one of the
sizes that the component graph knows, and the pair of values says which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from secateur.errors import SecateurError
from secateur.graph import axes
from secateur.graph.axes import Axis
from secateur.graph.groups import ComponentGraph
from secateur.network import Network, Tensor
from secateur.records import Widths

Size = Callable[[Widths], int]


@dataclass(frozen=True, eq=False)
class Template:
    """A network whose shapes are functions of widths.

    Attributes:
        network: at full width, without the data of weights.
        sizes: (tensor index, axis) → the traced axis whose size it is; axes not listed are constant.
        components: operator index → the component it belongs to.
    """

    graph: ComponentGraph
    network: Network
    sizes: Mapping[tuple[int, int], Axis]
    components: tuple[str, ...]

    def at(self, widths: Widths) -> Network:
        """The network at the given widths: shapes and types, no data."""
        tensors = list(self.network.tensors)
        for index in {index for index, _ in self.sizes}:
            tensor = tensors[index]
            shape = tuple(
                self.graph.size(self.sizes[index, a], widths) if (index, a) in self.sizes else n
                for a, n in enumerate(tensor.shape)
            )
            tensors[index] = replace(tensor, shape=shape)
        return replace(self.network, tensors=tuple(tensors))


def probe_widths(graph: ComponentGraph) -> dict[str, int]:
    """Widths below full at which different sizes are told apart: (full, probe) pairs that differ by group.

    Where a policy has more groups of one width than there are smaller widths, some share a pair; ``fit_template``
    then refuses what it cannot tell apart.
    """
    probe: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for position, group in enumerate(graph.groups):
        wanted = max(1, group.width * 3 // 4 - position % 7)
        others = sorted(range(1, group.width), key=lambda width: (abs(width - wanted), width))
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
    sizes: dict[tuple[int, int], Axis] = {}
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
            sizes[index, position] = axis
    bare = replace(
        full, tensors=tuple(_without_weights(one, two) for one, two in zip(full.tensors, probe.tensors))
    )
    return Template(graph, bare, sizes, _components(graph, bare, sizes, deployed))


def _without_weights(one: Tensor, two: Tensor) -> Tensor:
    """Weights go; small integers that say what an operator does (paddings, axes) stay where no width changes them."""
    settings = one.constant and one.quantization is None and one.dtype in ("int32", "int64")
    same = one.data is not None and two.data is not None and np.array_equal(one.data, two.data)
    return one if settings and same else replace(one, data=None)


def _known_sizes(graph: ComponentGraph, probe_at: Widths) -> dict[tuple[int, int], Axis | None]:
    """(full, probe) → the traced axis of these sizes, single groups before sums; None where several could be."""
    found: dict[tuple[int, int], Axis | None] = {}
    seen: dict[tuple[int, int], tuple[int, tuple[tuple[str, ...], ...]]] = {}
    traced = [axis for shape in graph.trace.weights.values() for axis in shape]
    traced += [axis for site in graph.trace.sites for axis in site.axes]
    traced.sort(key=lambda axis: len(axes.normal(axis)))
    for axis in traced:
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


def _components(
    graph: ComponentGraph, network: Network, sizes: Mapping[tuple[int, int], Axis], deployed: str
) -> tuple[str, ...]:
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
            wanted = _volume(network.tensors[weights[0]])
            for ahead in range(cursor, len(uses)):
                shape = graph.shape(uses[ahead].weight, graph.full)
                if _product(shape) == wanted:
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


def _volume(tensor: Tensor) -> int:
    return _product(tensor.shape)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
