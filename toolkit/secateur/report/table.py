"""A summary on the screen."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from secateur.report.wording import (
    COLUMNS,
    cost_rows,
    device_line,
    duration,
    loop_lines,
    parameters_line,
    parity_line,
    part_lines,
    planner_lines,
)


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Prints costs, parity, episodes and verdict of a run, from the content of its ``summary.json``."""
    console.print(render(summary))


def render(summary: Mapping[str, Any]) -> Group:
    """The same as something rich can print."""
    return Group(
        cost_table(summary),
        Text(""),
        Text(f"Before and after are predicted. {device_line(summary)}"),
        Text(parameters_line(summary)),
        Text(""),
        *([_labelled("Rates", rates)] if (rates := part_lines(summary)) else []),
        *([_labelled("Planner", lines)] if (lines := planner_lines(summary)) else []),
        _labelled("Parity", [parity_line(summary)]),
        _labelled("Closed loop", loop_lines(summary)),
        Text(""),
        verdict_text(summary),
    )


def cost_table(summary: Mapping[str, Any]) -> Table:
    """Per component and total: before, after, measured, allowed."""
    title = f"{summary['policy']} on {summary['target']}, {summary['strategy']}, seed {summary['seed']}"
    table = Table(
        title=title, title_justify="left", pad_edge=False, box=None, padding=(0, 1, 0, 0), header_style="bold"
    )
    table.add_column("", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for row in cost_rows(summary):
        if row.first:
            table.add_row(Text(row.part, style="bold"))
        style = {"budget": "dim", "measured": "bold"}.get(row.stage, "")
        table.add_row(Text(f"  {row.stage}"), *map(Text, row.cells), style=style)
    return table


def verdict_text(summary: Mapping[str, Any]) -> Text:
    """``PASSED``, or ``FAILED`` and why."""
    verdict = summary["verdict"]
    took = f" after {duration(summary['wall_s'])}"
    if verdict["passed"]:
        return Text.assemble(
            ("PASSED", "bold green"), took + ": within the budget, and still doing its task."
        )
    text = Text.assemble(("FAILED", "bold red"), took + ":")
    for violation in verdict["violations"]:
        text.append(f"\n  • {violation}")
    return text


def _labelled(label: str, lines: list[str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", min_width=11)
    grid.add_column()
    for index, line in enumerate(lines):
        grid.add_row(label if index == 0 else "", Text(line))
    return grid
