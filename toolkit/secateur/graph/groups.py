"""The component graph: pruning groups inside one component, groups that couple several, and the flows between.

A worked example. ``encoder = Linear(5, 256) → ReLU → Linear(256, 50)`` and ``policy = Linear(50, 512) → …``:

    encoder.0   256 channels   rows of encoder.0, columns of encoder.2        inside encoder
    encoder.2    50 channels   rows of encoder.2, columns of policy.0, …      couples encoder, policy, …

The first can be cut with nobody else noticing. The second is the latent: cutting it touches every component.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from secateur.errors import SecateurError
from secateur.graph import axes
from secateur.graph.axes import Axis, Dim
from secateur.graph.found import Contraction, Trace
from secateur.graph.trace import trace_policy
from secateur.policy.policy import Policy
from secateur.records import Widths


@dataclass(frozen=True)
class Member:
    """One appearance of a group: ``parameter``'s ``axis``, from ``offset``.

    Channel *c* stands at ``offset + c·stride + k`` and again every ``stride·width``, ``repeats`` times in all,
    for each *k* below ``stride``. A plain axis has stride 1, a flattened image the number of its places.
    """

    parameter: str
    axis: int
    offset: int
    stride: int
    repeats: int


@dataclass(frozen=True)
class Group:
    """Channels that must be cut together.

    Attributes:
        name: the first weight whose output they are.
        width: how many channels there are.
        members: every place in every parameter and buffer where they appear.
        components: whose parameters these are, in the policy's order.
        flows: ``producer → consumer`` where the channels pass from one component to another.
    """

    name: str
    width: int
    members: tuple[Member, ...]
    components: tuple[str, ...]
    flows: tuple[tuple[str, str], ...]

    @property
    def coupling(self) -> bool:
        """True where cutting it touches more than one component."""
        return len(self.components) > 1


@dataclass(frozen=True)
class Whole:
    """Channels that are left as they are, and why."""

    parameter: str
    axis: int
    width: int
    why: str


@dataclass(frozen=True, eq=False)
class ComponentGraph:
    """Groups, flows and uses of weights of a policy. Sizes are functions of widths; nothing here needs the module."""

    components: tuple[str, ...]
    groups: tuple[Group, ...]
    whole: tuple[Whole, ...]
    contractions: tuple[Contraction, ...]
    trace: Trace
    dims: dict[Dim, str]
    component_of: dict[str, str]
    parameters: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[str, Group]:
        """Group by its name."""
        return {group.name: group for group in self.groups}

    @property
    def full(self) -> dict[str, int]:
        """The widths of the policy as it is."""
        return {group.name: group.width for group in self.groups}

    def leaving_whole(self, refused: Mapping[str, str]) -> "ComponentGraph":
        """The graph without some of its groups.

        Args:
            refused: group → why it is left whole.
        """
        lost = [group for group in self.groups if group.name in refused]
        whole = tuple(
            Whole(member.parameter, member.axis, group.width, refused[group.name])
            for group in lost
            for member in group.members
            if member.parameter in self.component_of
        )
        return replace(
            self,
            groups=tuple(group for group in self.groups if group.name not in refused),
            whole=self.whole + whole,
            dims={dim: name for dim, name in self.dims.items() if name not in refused},
        )

    def size(self, axis: Axis, widths: Widths) -> int:
        """Channels along a traced axis at the given widths."""
        total = 0
        for segment in axes.normal(axis):
            count = 1
            for dim in segment:
                name = self.dims.get(dim)
                count *= dim.size if name is None else widths.get(name, dim.size)
            total += count
        return total

    def sizes_at(self, widths: Widths) -> Callable[[Axis], int]:
        """``size`` at some widths, for many axes: each is worked out once. The axes must be those of the trace."""
        known: dict[int, int] = {}

        def size(axis: Axis) -> int:
            found = known.get(id(axis))
            if found is None:
                found = known[id(axis)] = self.size(axis, widths)
            return found

        return size

    def groups_on(self, axis: Axis) -> list[str]:
        """Names of the groups that stand along a traced axis."""
        return [self.dims[dim] for segment in axes.normal(axis) for dim in segment if dim in self.dims]

    def shape(self, parameter: str, widths: Widths) -> tuple[int, ...]:
        """The shape of a parameter or buffer at the given widths."""
        return tuple(self.size(axis, widths) for axis in self.trace.weights[parameter])

    def parameter_counts(self, widths: Widths) -> dict[str, int]:
        """Component → parameters at the given widths."""
        counts = dict.fromkeys(self.components, 0)
        for path in self.parameters:
            count = 1
            for n in self.shape(path, widths):
                count *= n
            counts[self.component_of[path]] += count
        return counts


def build_graph(policy: Policy) -> ComponentGraph:
    """Traces the policy and collects its groups, in time about linear in its size.

    Raises:
        SecateurError: an entry cannot be called with its example inputs.
    """
    owner = policy.component_of()
    try:
        trace = trace_policy(policy, owner)
    except SecateurError:
        raise
    except Exception as error:  # whatever a policy's code may raise
        raise SecateurError(
            "every entry runs on its example inputs",
            f"{policy.name}: {type(error).__name__}: {error}",
            "Correct the entry's call or example_inputs.",
        ) from error
    order = [c.name for c in policy.components]
    places: dict[Dim, list[Member]] = {}
    whole: list[Whole] = []
    for path, its_axes in trace.weights.items():
        for position, axis in enumerate(its_axes):
            for dim, offset, stride, repeats in _places(axis):
                if not dim.fixed:
                    places.setdefault(dim, []).append(Member(path, position, offset, stride, repeats))
                elif dim.size > 1 and path in owner:
                    whole.append(Whole(path, position, dim.size, dim.why))
    flows: dict[Dim, set[tuple[str, str]]] = {}
    for producer, consumer, its_axes in trace.crossings:
        for axis in its_axes:
            for segment in axes.normal(axis):
                for dim in segment:
                    flows.setdefault(dim, set()).add((producer, consumer))
    groups, names = [], {}
    taken: set[str] = set()
    for dim, members in places.items():
        touched = {owner[m.parameter] for m in members if m.parameter in owner}
        if not touched:
            continue
        name = _name(members, taken)
        taken.add(name)
        names[dim] = name
        crossing = tuple(
            sorted(flows.get(dim, ()), key=lambda flow: (order.index(flow[0]), order.index(flow[1])))
        )
        groups.append(
            Group(name, dim.size, tuple(members), tuple(c for c in order if c in touched), crossing)
        )
    return ComponentGraph(
        components=tuple(order),
        groups=tuple(groups),
        whole=tuple(whole),
        contractions=tuple(trace.contractions),
        trace=trace,
        dims=names,
        component_of=owner,
        parameters=tuple(owner),
    )


def _places(axis: Axis) -> list[tuple[Dim, int, int, int]]:
    """Every dim along an axis with its offset, stride and repeats."""
    found = []
    offset = 0
    normal = axes.normal(axis)
    if len(normal) == 1 and len(normal[0]) == 1:  # as most are
        return [(normal[0][0], 0, 1, 1)]
    for segment in normal:
        total = stride = axes.segment_size(segment)
        repeats = 1
        for dim in segment:
            stride //= dim.size
            found.append((dim, offset, stride, repeats))
            repeats *= dim.size
        offset += total
    return found


def _name(members: list[Member], taken: set[str]) -> str:
    """The first weight that makes the channels; numbered where one weight makes several groups."""
    first = next((m for m in members if m.axis == 0), members[0])
    base = first.parameter.removesuffix(".weight").removesuffix(".bias")
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}#{count}"
    return name
