"""A front of sizes, on the screen and as a page."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from secateur.report import wording
from secateur.report.charts import front
from secateur.report.html import environment

COLUMNS = ("Parameters", "Flash", "RAM", "Latency")
COST = {"flash_bytes": "flash, B", "ram_bytes": "RAM, B", "latency_s": "worst latency, s"}
VALUE = {"pareto": "Return kept", "stability": "Stability margin"}
"""Kind of front → what is read off its points."""


def front_columns(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Heads of the table."""
    return (*COLUMNS, VALUE[document["kind"]])


def front_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row a point, as text."""
    rows: list[tuple[str, ...]] = []
    for point in document["points"]:
        predicted = point.get("predicted")
        cost = (
            (
                wording.count(predicted["parameters"]),
                wording.size(predicted["flash_bytes"]),
                wording.size(predicted["ram_bytes"]),
                wording.duration(predicted["latency_s"]),
            )
            if predicted
            else ("–",) * 4
        )
        rows.append((*cost, _value(document["kind"], point)))
    return rows


def _value(kind: str, point: Mapping[str, Any]) -> str:
    if kind == "pareto":
        low, high = point["ci95"]
        return f"{point['return_kept']:.1%} ({low:.1%} to {high:.1%})"
    if point["margin"] is None:
        return point["refused"]
    low, high = point["margin"]["ci95"]
    return (
        f"{point['margin']['margin']:+.2f} ({low:+.2f} to {high:+.2f}), {'kept' if point['kept'] else 'lost'}"
    )


def print_front(document: Mapping[str, Any], console: Console) -> None:
    """The front as a table."""
    console.print(f"{document['policy']} on {document['target']}, {document['strategy']}")
    table = Table(*front_columns(document), box=None)
    for row in front_rows(document):
        table.add_row(*row)
    console.print(table)
    for line in front_notes(document):
        console.print(line, soft_wrap=True)


def front_notes(document: Mapping[str, Any]) -> list[str]:
    """What the table means."""
    said = [
        f"Cost is predicted; the rest is of the recovered policy in torch, {document['episodes']} episodes."
    ]
    if document["kind"] == "stability":
        found = document["frontier"]
        where = wording.size(found["predicted"]["flash_bytes"]) if found else None
        said.append(
            f"Stability, judged in {document['states']}s, is kept down to {where} of flash."
            if where
            else "Stability is not kept at any size that was tried."
        )
    return said


def render_front(document: Mapping[str, Any]) -> str:
    """The front as a page that stands alone."""
    resource = document["resource"]
    points = [point for point in document["points"] if point.get("predicted")]
    values = [p["return_kept"] if document["kind"] == "pareto" else p["margin"]["margin"] for p in points]
    drawn = front(
        [(point["predicted"][resource], value) for point, value in zip(points, values)],
        COST[resource],
        VALUE[document["kind"]],
    )
    template = environment().get_template("front.html.j2")
    return template.render(
        document=document,
        columns=front_columns(document),
        rows=front_rows(document),
        notes=front_notes(document),
        value=VALUE[document["kind"]],
        drawing=drawn,
    )
