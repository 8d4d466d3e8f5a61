"""What is known of a policy before anything is done to it, as plain data: components, flows, groups, what stays."""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from secateur.graph import axes
from secateur.graph.axes import Axis
from secateur.graph.groups import ComponentGraph, Group
from secateur.graph.views import Axes
from secateur.policy.policy import Entry, Policy
from secateur.records import ComponentCost, Cost, Widths
from secateur.target.computer import Computer
from secateur.target.target import Target


def describe(
    policy: Policy,
    graph: ComponentGraph,
    control_hz: float | None = None,
    board: "OnBoard | None" = None,
    widths: Widths | None = None,
) -> dict[str, Any]:
    """The component graph as plain data.

    Args:
        policy: what was traced.
        graph: of it.
        control_hz: of its task; the rate of every component without one of its own.
        board: what it costs on a board, where one was asked for.
        widths: that it is pruned to; then parameters, widths and shapes are told of the pruned policy too, by keys
            that end in ``_after``.
    """
    order = list(graph.components)
    described: dict[str, Any] = {
        "policy": policy.name,
        "deployed": policy.deployed,
        "control_hz": control_hz,
        "entries": [
            {
                "name": e.name,
                "calls_per_step": e.calls_per_step,
                "batch": e.batch,
                "feeds": {n: list(s) for n, s in e.feeds.items()},
            }
            for e in policy.entries
        ],
        "components": _components(policy, graph, control_hz, widths),
        "flows": [
            {"producer": producer, "consumer": consumer, **flow}
            for producer, consumer, flow in sorted(
                _flows(graph, graph.trace.crossings, widths),
                key=lambda flow: tuple(map(order.index, flow[:2])),
            )
        ],
        "inputs": [
            {"input": name, "consumer": consumer, **flow}
            for name, consumer, flow in _flows(graph, graph.trace.inlets, widths)
        ],
        "outputs": [
            {"producer": producer, "output": name, **flow}
            for producer, name, flow in _flows(graph, graph.trace.outlets, widths)
        ],
        "groups": [_group(graph, group, widths) for group in graph.groups],
        "whole": [
            {"parameter": w.parameter, "axis": w.axis, "width": w.width, "why": w.why} for w in graph.whole
        ],
    }
    if board is not None:
        described["target"] = board.target.name
        described["predicted"] = board.describe(policy.entry(), described["components"])
    return described


class OnBoard:
    """The predicted cost of the deployed policy on a board or a computer, and its shares of what that has.

    Args:
        target: the board.
        cost: predicted for one call of one row, or of a policy in parts for a control step; or why it cannot be, in
            words.
        dtype: that it is for.
    """

    def __init__(self, target: Target | Computer, cost: Cost | str, dtype: str = "int8") -> None:
        self.target, self.cost, self.dtype = target, cost, dtype

    def describe(self, entry: Entry, components: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Costs and shares, in total and by component; ``{"unknown": why}`` where there are none.

        ``time_share`` is the share of a control period that the worst latency takes, calls and rows counted.
        """
        if isinstance(self.cost, str):
            return {"unknown": self.cost}
        rates = {part["name"]: part["rate_hz"] for part in components}
        several = bool(self.cost.parts)  # whose calls are counted already
        calls = 1 if several else entry.calls_per_step * entry.batch
        parts = {
            name: {**self._part(part), "time_share": _time_share(part.latency_s.high, rates[name], calls)}
            for name, part in self.cost.components.items()
        }
        shares = [part["time_share"] for part in parts.values()]
        known = bool(shares) and None not in shares
        described = {**self._part(self.cost), "dtype": self.dtype, "components": parts}
        if several:
            described["parts"] = [part.name for part in self.cost.parts]
            return described | {"time_share": self.cost.utilisation if known else None}
        between = self.cost.latency_s.high - sum(p.latency_s.high for p in self.cost.components.values())
        rate = max((rates[name] or 0.0 for name in parts), default=0.0)
        beside = _time_share(max(0.0, between), rate, calls) or 0.0
        return described | {"time_share": sum(shares) + beside if known else None}

    def _part(self, cost: Cost | ComponentCost) -> dict[str, Any]:
        flash = self.target.network_flash_bytes if isinstance(self.target, Target) else None
        return {
            "flash_bytes": cost.flash_bytes,
            "ram_bytes": cost.ram_bytes,
            "instructions": cost.instructions,
            "latency_range_s": [cost.latency_s.low, cost.latency_s.high],
            "flash_share": None if flash is None else cost.flash_bytes / flash,
            "ram_share": cost.ram_bytes / self.target.network_ram_bytes,
        }


def _time_share(latency_s: float, rate_hz: float | None, calls: int) -> float | None:
    return None if rate_hz is None else latency_s * rate_hz * calls


def _components(
    policy: Policy, graph: ComponentGraph, control_hz: float | None, widths: Widths | None
) -> list[dict[str, Any]]:
    """Parameters, MACs per row of each entry and per control step, calls, rate."""
    counts = graph.parameter_counts(graph.full)
    after = None if widths is None else graph.parameter_counts(widths)
    macs: dict[str, dict[str, int]] = {name: {} for name in graph.components}
    rows = {entry.name: _rows(entry) for entry in policy.entries}
    uses = [(graph.component_of[use.weight], use.entry, use.macs) for use in graph.contractions]
    uses += [(made.component, made.entry, made.macs) for made in graph.trace.products]
    for component, entry, count in uses:
        macs[component][entry] = macs[component].get(entry, 0) + count // rows[entry]
    per_step = {entry.name: entry.calls_per_step * entry.batch for entry in policy.entries}
    whole = sum(counts.values())
    return [
        {
            "name": c.name,
            "parameters": counts[c.name],
            "parameter_share": counts[c.name] / whole if whole else 0.0,
            "macs": macs[c.name],
            "macs_per_step": {name: n * per_step[name] for name, n in macs[c.name].items()},
            "rate_hz": c.rate_hz if c.rate_hz is not None else control_hz,
            **({} if after is None else {"parameters_after": after[c.name]}),
        }
        for c in policy.components
    ]


def _rows(entry: Entry) -> int:
    """Rows of the example inputs; 1 where they do not agree."""
    rows = {len(example) for example in entry.example_inputs.values() if example.dim()}
    return rows.pop() if len(rows) == 1 else 1


def _flows(
    graph: ComponentGraph, crossings: Iterable[tuple[str, str, Axes]], widths: Widths | None
) -> list[tuple[str, str, dict[str, Any]]]:
    """Each flow once: its shape, its groups, and how many channels it is wide."""
    found: dict[tuple[Any, ...], tuple[str, str, dict[str, Any]]] = {}
    for start, end, its_axes in crossings:
        names = list(dict.fromkeys(name for axis in its_axes for name in graph.groups_on(axis)))
        width, shape = _wide(graph, its_axes, graph.full)
        flow: dict[str, Any] = {"width": width, "shape": shape, "groups": names}
        if widths is not None:
            flow["width_after"], flow["shape_after"] = _wide(graph, its_axes, widths)
        found.setdefault((start, end, tuple(shape[1:]), tuple(names)), (start, end, flow))
    return list(found.values())


def _wide(graph: ComponentGraph, its_axes: Axes, widths: Widths) -> tuple[int, list[int]]:
    """Channels and shape of a flow at some widths."""
    shape = [graph.size(axis, widths) for axis in its_axes]
    likely = shape[1:2] if len(shape) > 3 else shape[-1:]  # of an image, of anything else
    channels = [_channels(graph, axis, widths) for axis in its_axes if graph.groups_on(axis)] or likely
    return prod(channels), shape


def _channels(graph: ComponentGraph, axis: Axis, widths: Widths) -> int:
    """Channels along an axis that can be cut one by one: a flattened image has as many as before."""
    return sum(
        prod(widths.get(graph.dims[dim], dim.size) for dim in segment if dim in graph.dims)
        for segment in axes.normal(axis)
    )


def _group(graph: ComponentGraph, group: Group, widths: Widths | None) -> dict[str, Any]:
    return {
        "name": group.name,
        "width": group.width,
        **({} if widths is None else {"width_after": widths.get(group.name, group.width)}),
        "coupling": group.coupling,
        "components": list(group.components),
        "flows": [list(flow) for flow in group.flows],
        "counts": [
            ".".join(source)
            for source, axis in graph.trace.counts.items()
            if graph.groups_on(axis) == [group.name]
        ],
        "members": [
            {
                "parameter": m.parameter,
                "axis": m.axis,
                "offset": m.offset,
                "stride": m.stride,
                "repeats": m.repeats,
            }
            for m in group.members
        ],
    }
