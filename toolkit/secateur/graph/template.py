"""The deployed operator graph as a function of widths: price any widths without surgery or conversion.

The converter fuses and folds as it likes, so its output is not guessed: the policy is converted twice, once as it
is and once at probe widths that differ from group to group. Every dimension of every tensor is then one of the
sizes that the component graph knows, and the pair of values says which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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
        network: at full width, without data.
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


def probe_widths(graph: ComponentGraph, seed: int = 1) -> dict[str, int]:
    """Widths below full at which different sizes are told apart: (full, probe) pairs that differ by group."""
    probe: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for position, group in enumerate(graph.groups):
        width = max(1, group.width * 3 // 4 - seed - position % 7)
        while width > 1 and (group.width, width) in taken:
            width -= 1
        taken.add((group.width, width))
        probe[group.name] = width
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
            "Report this policy; price it by conversion instead.",
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
                    "Report this policy; price it by conversion instead.",
                )
            sizes[index, position] = known[pair]
    bare = replace(full, tensors=tuple(replace(t, data=None) for t in full.tensors))
    return Template(graph, bare, sizes, _components(graph, bare, sizes, deployed))


def _known_sizes(graph: ComponentGraph, probe_at: Widths) -> dict[tuple[int, int], Axis]:
    """(full, probe) → the first traced axis with these sizes. Single groups win over sums of several."""
    found: dict[tuple[int, int], Axis] = {}
    traced = [axis for shape in graph.trace.weights.values() for axis in shape]
    traced += [axis for site in graph.trace.sites for axis in site.axes]
    traced.sort(key=lambda axis: len(axes.normal(axis)))
    for axis in traced:
        found.setdefault((graph.size(axis, graph.full), graph.size(axis, probe_at)), axis)
    return found


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
