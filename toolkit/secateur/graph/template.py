"""The deployed operator graph as a function of widths: price any widths without surgery or conversion.

The converter fuses and folds as it likes, so its output is not guessed: the policy is converted twice, once as it
is and once at probe widths that differ from group to group. Every dimension of every tensor is then one of the
sizes that the component graph knows, and the pair of values says which.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import gcd, prod

import numpy as np

from secateur.errors import SecateurError
from secateur.graph.groups import ComponentGraph
from secateur.graph.probe import Pair, traced_sizes
from secateur.graph.sizes import Size, groups_in, size_at
from secateur.network import Network, Operator, Tensor
from secateur.records import Widths


@dataclass(frozen=True, eq=False)
class Template:
    """A network whose shapes are functions of widths.

    Attributes:
        network: at full width, without the data of weights.
        sizes: (tensor index, axis) → the size of a traced axis; axes not listed are constant.
        components: operator index → the component it belongs to.
        values: constant of integers that depends on widths (where the gates of a GRU are sliced) → its elements.
    """

    graph: ComponentGraph
    network: Network
    sizes: Mapping[tuple[int, int], Size]
    components: tuple[str, ...]
    values: Mapping[int, tuple[int | Size, ...]] = field(default_factory=dict)

    def at(self, widths: Widths) -> Network:
        """The network at the given widths: shapes and types, no data."""
        tensors = list(self.network.tensors)
        for index, shape in self._shapes.items():
            at = tuple([n if isinstance(n, int) else size_at(n, widths) for n in shape])
            full = tensors[index]
            tensors[index] = Tensor(full.name, at, full.dtype, full.quantization, full.constant, full.data)
        for index, elements in self.values.items():
            numbers = [n if isinstance(n, int) else size_at(n, widths) for n in elements]
            full = tensors[index]
            tensors[index] = replace(full, data=np.array(numbers, full.dtype).reshape(full.shape))
        return replace(self.network, tensors=tuple(tensors))

    def output_bytes(self, output: str, widths: Widths) -> int:
        """What one call's output takes, at the widths of all groups."""
        index = self.network.outputs[output]
        tensor = self.network.tensors[index]
        shape = [self.sizes.get((index, axis), n) for axis, n in enumerate(tensor.shape)]
        return np.dtype(tensor.dtype).itemsize * prod(
            n if isinstance(n, int) else size_at(n, widths) for n in shape
        )

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
        numbers = [n for elements in self.values.values() for n in elements if not isinstance(n, int)]
        return tuple(sorted({name for size in (*self.sizes.values(), *numbers) for name in groups_in(size)}))

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
        components = tuple(self.components[index] for index in operators)
        values = {place[t]: elements for t, elements in self.values.items() if t in place}
        return Template(self.graph, network, sizes, components, values)


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
    network, others = aligned(full, probe)
    known = _known_sizes(graph, probe_at)
    sizes: dict[tuple[int, int], Size] = {}
    for index, (one, two) in enumerate(zip(network.tensors, others)):
        for position, pair in enumerate(zip(one.shape, two.shape)):
            if pair[0] == pair[1]:
                continue
            if pair not in known:
                raise SecateurError(
                    "every size in the converted network follows from the policy's groups",
                    f"{one.name}: axis {position} is {pair[0]} at full width and {pair[1]} at the probe's",
                    "Report this policy: it cannot be priced.",
                )
            size = known[pair]
            if size is None:
                raise SecateurError(
                    "sizes of different groups can be told apart",
                    f"{one.name}: axis {position} of {pair[0]} could be any of several sizes",
                    "Give layers of the policy different widths.",
                )
            sizes[index, position] = size
    pairs = list(zip(network.tensors, others))
    values = {
        index: found for index, pair in enumerate(pairs) if (found := _numbers(*pair, known)) is not None
    }
    tensors = (
        one if index in values else _without_weights(one, two) for index, (one, two) in enumerate(pairs)
    )
    bare = replace(network, tensors=tuple(tensors))
    return Template(graph, bare, sizes, _components(graph, bare, deployed), values)


def aligned(full: Network, probe: Network) -> tuple[Network, tuple[Tensor, ...]]:
    """The full network with a tensor for each use that the two make of theirs; and the probe's tensors beside it.

    Tensors have no order that both keep: a converter makes one of all constants that are alike, and what is alike at
    one width is not at another. What does have one is their operators, and the places of tensors in them.

    Raises:
        SecateurError: the operators, or what they read, differ.
    """
    place: dict[tuple[int, int], int] = {(-1, -1): -1}

    def put(one: int, two: int) -> int:
        return place.setdefault((one, two), len(place) - 1)

    inputs = {name: put(tensor, probe.inputs[name]) for name, tensor in full.inputs.items()}
    operators = []
    for one, two in zip(full.operators, probe.operators):
        reads, writes = list(zip(one.inputs, two.inputs)), list(zip(one.outputs, two.outputs))
        alike = (one.kind, len(one.inputs), len(one.outputs)) == (two.kind, len(two.inputs), len(two.outputs))
        if not alike or any(_differ(full, probe, *pair) for pair in reads):
            raise _not_by_widths(f"{one.kind} {_name(full, one)} at full width is {two.kind} at the probe's")
        operators.append(
            Operator(
                one.kind,
                tuple(put(*pair) for pair in reads),
                tuple(put(*pair) for pair in writes),
                one.options,
            )
        )
    outputs = {name: put(tensor, probe.outputs[name]) for name, tensor in full.outputs.items()}
    pairs = list(place)[1:]
    made = [pair for pair in pairs if not full.tensors[pair[0]].constant]
    if len(full.operators) != len(probe.operators) or any(len({*side}) < len(made) for side in zip(*made)):
        raise _not_by_widths(
            f"{len(full.operators)} operators at full width, {len(probe.operators)} at the probe's"
        )
    tensors = tuple(full.tensors[one] for one, _ in pairs)
    whole = Network(tensors, tuple(operators), inputs, outputs, full.states)
    return whole, tuple(probe.tensors[two] for _, two in pairs)


def _differ(full: Network, probe: Network, one: int, two: int) -> bool:
    """Whether two tensors cannot be the same one at different widths."""
    if -1 in (one, two):
        return one != two
    first, second = full.tensors[one], probe.tensors[two]
    return len(first.shape) != len(second.shape) or first.constant != second.constant


def _name(network: Network, operator: Operator) -> str:
    return network.tensors[operator.outputs[0]].name if operator.outputs else ""


def _not_by_widths(seen: str) -> SecateurError:
    return SecateurError(
        "the operators that a policy converts to do not depend on its widths",
        seen,
        "Report this policy: it cannot be priced.",
    )


def _without_weights(one: Tensor, two: Tensor) -> Tensor:
    """Weights go; small integers that say what an operator does (paddings, axes) stay where no width changes them."""
    settings = one.constant and one.quantization is None and one.dtype in ("int32", "int64")
    same = one.data is not None and two.data is not None and np.array_equal(one.data, two.data)
    return one if settings and same else replace(one, data=None)


def _numbers(one: Tensor, two: Tensor, known: Mapping[Pair, Size | None]) -> tuple[int | Size, ...] | None:
    """The elements of a constant of integers as functions of widths; None for others, or where they follow from none.

    A number that depends on widths is a size, or a multiple of one: where the gates of a recurrent cell begin.
    """
    if one.quantization is not None or one.dtype not in ("int32", "int64") or one.shape != two.shape:
        return None
    if one.data is None or two.data is None or np.array_equal(one.data, two.data):
        return None
    pairs = zip(one.data.reshape(-1).tolist(), two.data.reshape(-1).tolist())
    found = [first if first == second else _multiple((first, second), known) for first, second in pairs]
    return None if None in found else tuple(n for n in found if n is not None)


def _multiple(pair: Pair, known: Mapping[Pair, Size | None]) -> Size | None:
    """The least whole multiple of a known size that has these values; None for none."""
    for factor in range(1, abs(gcd(*pair)) + 1):
        if pair[0] % factor or pair[1] % factor:
            continue
        size = known.get((pair[0] // factor, pair[1] // factor))
        if size is not None:
            return tuple((factor * count, groups) for count, groups in size)
    return None


def _known_sizes(graph: ComponentGraph, probe_at: Widths) -> dict[Pair, Size | None]:
    """(full, probe) → the traced size of these values; None where several could be.

    Axes of weights and of what modules give come first. What only operators in between have, such as the number of
    heads, is asked where those do not explain a pair.
    """
    outside, between = traced_sizes(graph)
    return _sizes_among(graph, between, probe_at) | _sizes_among(graph, outside, probe_at)


def _sizes_among(graph: ComponentGraph, sizes: Sequence[Size], probe_at: Widths) -> dict[Pair, Size | None]:
    found: dict[Pair, Size | None] = {}
    for size in sizes:
        pair = (size_at(size, graph.full), size_at(size, probe_at))
        if pair[0] != pair[1]:
            found[pair] = None if pair in found else size
    return found


def _components(graph: ComponentGraph, network: Network, deployed: str) -> tuple[str, ...]:
    """Operators with weights follow the traced uses of weights, in order; the rest belong to what they read.

    A converter may take the products that depend on the same tensor in another order, so that a use that was passed
    over is looked at once more.
    """
    uses = [c for c in graph.contractions if c.entry == deployed]
    component_of_tensor: dict[int, str] = {}
    result: list[str] = []
    left, cursor = list(range(len(uses))), 0
    for op in network.operators:
        weights = [
            i
            for i in op.inputs
            if i >= 0 and network.tensors[i].constant and len(network.tensors[i].shape) > 1
        ]
        name = ""
        if weights:
            wanted = prod(network.tensors[weights[0]].shape)
            ahead = [i for i in left if i >= cursor] + [i for i in left if i < cursor]
            found = next((i for i in ahead if uses[i].elements == wanted), None)
            if found is not None:
                left.remove(found)
                name, cursor = graph.component_of[uses[found].weight], max(cursor, found + 1)
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
