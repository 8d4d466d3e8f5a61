"""A policy's components, groups and flows, on the screen or as JSON."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy
from secateur.records import Cost
from secateur.target.target import Target
from secateur.units import format_bytes, format_seconds


def describe(
    policy: Policy, graph: ComponentGraph, target: Target | None = None, cost: Cost | None = None
) -> dict[str, Any]:
    """The component graph as plain data.

    Args:
        policy: what was traced.
        graph: of it.
        target: a board, or None.
        cost: predicted on that board, of the deployed entry.
    """
    counts = graph.parameter_counts(graph.full)
    macs: dict[str, dict[str, int]] = {name: {} for name in graph.components}
    for use in graph.contractions:
        of = macs[graph.component_of[use.weight]]
        of[use.entry] = of.get(use.entry, 0) + use.macs
    described: dict[str, Any] = {
        "policy": policy.name,
        "deployed": policy.deployed,
        "entries": [
            {
                "name": e.name,
                "calls_per_step": e.calls_per_step,
                "batch": e.batch,
                "feeds": {n: list(s) for n, s in e.feeds.items()},
            }
            for e in policy.entries
        ],
        "components": [
            {"name": c.name, "parameters": counts[c.name], "macs": macs[c.name], "rate_hz": c.rate_hz}
            for c in policy.components
        ],
        "groups": [
            {
                "name": g.name,
                "width": g.width,
                "coupling": g.coupling,
                "components": list(g.components),
                "flows": [list(flow) for flow in g.flows],
                "members": [
                    {"parameter": m.parameter, "axis": m.axis, "offset": m.offset} for m in g.members
                ],
            }
            for g in graph.groups
        ],
        "whole": [
            {"parameter": w.parameter, "axis": w.axis, "width": w.width, "why": w.why} for w in graph.whole
        ],
    }
    if target is not None and cost is not None:
        described["target"] = target.name
        described["predicted"] = {
            "flash_bytes": cost.flash_bytes,
            "ram_bytes": cost.ram_bytes,
            "instructions": cost.instructions,
            "latency_range_s": [cost.latency_s.low, cost.latency_s.high],
            "flash_share": cost.flash_bytes / target.network_flash_bytes,
            "ram_share": cost.ram_bytes / target.network_ram_bytes,
            "components": {
                name: {
                    "flash_bytes": part.flash_bytes,
                    "ram_bytes": part.ram_bytes,
                    "instructions": part.instructions,
                    "latency_range_s": [part.latency_s.low, part.latency_s.high],
                }
                for name, part in cost.components.items()
            },
        }
    return described


def print_structure(described: Mapping[str, Any], console: Console) -> None:
    """Three tables: components, groups, and what is left whole with the reason."""
    parts = Table(
        "component", "parameters", "MACs by entry", box=None, title="Components", title_justify="left"
    )
    for part in described["components"]:
        macs = ", ".join(f"{entry} {count:,}" for entry, count in part["macs"].items())
        parts.add_row(part["name"], f"{part['parameters']:,}", macs)
    groups = Table(
        "group",
        "width",
        "kind",
        "components",
        "flows",
        box=None,
        title="Pruning groups",
        title_justify="left",
    )
    for group in described["groups"]:
        kind = "coupling" if group["coupling"] else "inside"
        flows = ", ".join(f"{a} → {b}" for a, b in group["flows"])
        groups.add_row(group["name"], str(group["width"]), kind, ", ".join(group["components"]), flows)
    whole = Table("parameter", "axis", "width", "why", box=None, title="Left whole", title_justify="left")
    for entry in described["whole"]:
        whole.add_row(entry["parameter"], str(entry["axis"]), str(entry["width"]), entry["why"])
    tables = [parts, groups, whole]
    if "predicted" in described:
        tables.insert(1, _costs(described))
    for table in tables:
        console.print(table)
        console.print()


def _costs(described: Mapping[str, Any]) -> Table:
    """What the deployed entry would cost as it is, by component and in all; predicted."""
    title = f"Predicted on {described['target']}, entry {described['deployed']}, as it is"
    table = Table(
        "component", "flash", "RAM", "instructions", "latency", box=None, title=title, title_justify="left"
    )
    whole = described["predicted"]
    for name, part in [*whole["components"].items(), ("total", whole)]:
        sizes = (format_bytes(part["flash_bytes"]), format_bytes(part["ram_bytes"]))
        low, high = part["latency_range_s"]
        table.add_row(
            name, *sizes, f"{part['instructions']:,}", f"{format_seconds(low)} – {format_seconds(high)}"
        )
    table.add_row("of the board", f"{whole['flash_share']:.1%}", f"{whole['ram_share']:.1%}", "", "")
    return table
