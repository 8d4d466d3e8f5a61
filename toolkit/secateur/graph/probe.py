"""Widths at which every size in a converted network says which size it is.

A size is a function of widths: a group's channels, heads times the width of each, what a concatenation adds up to. At
probe widths no two of them have the same pair of values (whole, probe), and none has the value that it has whole, for
that would look like a constant. Small groups have few widths below their own, so the probe goes above it where it must:
a policy at greater widths is the same code with more channels.
"""

from collections.abc import Iterator

from secateur.graph.axes import Axis
from secateur.graph.groups import ComponentGraph, Group
from secateur.graph.sizes import Size, groups_in, size_at, size_of

Pair = tuple[int, int]
"""A size of the whole policy, and of the probe."""

FARTHEST = 256
"""Widths above its own that are tried for a group before two sizes are left alike."""


def traced_sizes(graph: ComponentGraph) -> tuple[list[Size], list[Size]]:
    """Sizes of axes of weights and of what modules give; and of groups alone and of what is only in between."""
    trace = graph.trace
    outside: list[Axis] = [axis for shape in trace.weights.values() for axis in shape]
    outside += [axis for site in trace.sites for axis in site.axes]
    between = [axis for _, results in trace.results for its_axes in results for axis in its_axes]
    alone: list[Size] = [((1, ((name, width),)),) for name, width in graph.full.items()]
    return (
        list(dict.fromkeys(size_of(graph, (axis,)) for axis in outside)),
        list(dict.fromkeys(alone + [size_of(graph, (axis,)) for axis in between])),
    )


def probe_widths(graph: ComponentGraph) -> dict[str, int]:
    """Group → its width in the probe: about three quarters of its own, never one channel.

    A converter leaves out what an axis of one does not need, so that one channel would give another network. Where
    there is no other way two sizes are left alike; ``fit_template`` then refuses what it cannot tell apart.
    """
    full = graph.full
    depends = {size: groups_in(size) for sizes in traced_sizes(graph) for size in sizes}
    by_group: dict[str, list[Size]] = {name: [] for name in full}
    for size, groups in depends.items():
        for name in groups:
            by_group[name].append(size)
    probe: dict[str, int] = {}
    taken: set[Pair] = set()
    for position, group in enumerate(graph.groups):
        complete = [size for size in by_group[group.name] if depends[size] <= {*probe, group.name}]
        fallback: tuple[int, list[Pair]] | None = None
        for width in _candidates(group, position):
            widths = {**probe, group.name: width}
            pairs = [(size_at(size, full), size_at(size, widths)) for size in complete]
            if any(whole == other for whole, other in pairs):
                continue
            fallback = fallback or (width, pairs)
            if len({*pairs}) == len(pairs) and not taken & {*pairs}:
                fallback = (width, pairs)
                break
        assert fallback is not None, "sizes grow with every width: some width gives another"
        probe[group.name] = fallback[0]
        taken.update(fallback[1])
    return probe


def _candidates(group: Group, position: int) -> Iterator[int]:
    """Widths to try: below its own from the wanted one, then above."""
    wanted = min(max(2, group.width * 3 // 4 - position % 7), group.width - 1)
    yield from sorted(range(2, group.width), key=lambda width: (abs(width - wanted), width))
    yield from range(group.width + 1, group.width + FARTHEST)
