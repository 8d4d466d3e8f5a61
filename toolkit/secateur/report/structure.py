"""A policy's components, groups and flows, on the screen or as JSON."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from secateur.graph.groups import ComponentGraph


def describe(graph: ComponentGraph) -> dict[str, Any]:
    """The component graph as plain data."""
    counts = graph.parameter_counts(graph.full)
    macs: dict[str, dict[str, int]] = {name: {} for name in graph.components}
    for use in graph.contractions:
        of = macs[graph.component_of[use.weight]]
        of[use.entry] = of.get(use.entry, 0) + use.macs
    return {
        "components": [{"name": n, "parameters": counts[n], "macs": macs[n]} for n in graph.components],
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
    for table in (parts, groups, whole):
        console.print(table)
        console.print()
