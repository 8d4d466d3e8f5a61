"""A front of sizes, on the screen and as a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.table import Table

from secateur.report import wording
from secateur.report.charts import front

COLUMNS = ("Parameters", "Flash", "RAM", "Latency", "Return kept")
COST = {"flash_bytes": "flash, B", "ram_bytes": "RAM, B", "latency_s": "worst latency, s"}


def front_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row a point, as text."""
    rows: list[tuple[str, ...]] = []
    for point in document["points"]:
        predicted = point["predicted"]
        low, high = point["ci95"]
        rows.append(
            (
                wording.count(predicted["parameters"]),
                wording.size(predicted["flash_bytes"]),
                wording.size(predicted["ram_bytes"]),
                wording.duration(predicted["latency_s"]),
                f"{point['return_kept']:.1%} ({low:.1%} to {high:.1%})",
            )
        )
    return rows


def print_front(document: Mapping[str, Any], console: Console) -> None:
    """The front as a table."""
    console.print(f"{document['policy']} on {document['target']}, {document['strategy']}")
    table = Table(*COLUMNS, box=None)
    for row in front_rows(document):
        table.add_row(*row)
    console.print(table)
    console.print(
        f"Cost is predicted; returns are of the recovered policy in torch, over {document['episodes']} "
        "paired episodes (95 % interval).",
        soft_wrap=True,
    )


def render_front(document: Mapping[str, Any]) -> str:
    """The front as a page that stands alone."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    resource = document["resource"]
    drawn = front(
        [(point["predicted"][resource], point["return_kept"]) for point in document["points"]],
        COST[resource],
        "share of the return kept",
    )
    template = environment.get_template("front.html.j2")
    return template.render(document=document, columns=COLUMNS, rows=front_rows(document), drawing=drawn)
