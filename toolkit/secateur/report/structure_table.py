"""A policy's structure in tables: the same on the screen and in the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secateur.report.wording import MISSING, count, share, size, span

SHOWN = 6
"""On the screen, how many members of a group are named before the rest is counted."""


@dataclass(frozen=True)
class Section:
    """A table: title, a sentence about it (or ``""``), columns, and rows of as many texts.

    ``words`` are the columns of running text, which wrap; the others are names and numbers.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    words: tuple[int, ...] = ()


def print_structure(described: Mapping[str, Any], console: Console) -> None:
    """Prints every section; text is taken as it is, brackets are no markup."""
    for section in sections(described, SHOWN):
        console.print(Text(section.title, style="bold"))
        if section.note:
            console.print(Text(section.note))
        if section.rows:
            table = Table(box=None, pad_edge=False)
            for column in section.columns:
                table.add_column(Text(column))
            for row in section.rows:
                table.add_row(*map(Text, row))
            console.print(table)
        console.print()


def sections(described: Mapping[str, Any], shown: int | None = None) -> list[Section]:
    """All there is to say about ``report.structure.describe``'s answer.

    Args:
        described: that answer.
        shown: how many members of a group, or parameters left whole, are named; None for all.
    """
    return [
        Section(
            "Components",
            "",
            ("Component", "Parameters", "Share", "Rate", "MACs per row, by entry"),
            _component_rows(described),
            (4,),
        ),
        *([_costs(described)] if "predicted" in described else []),
        Section("Flows", "", ("Flow", "Width", "Shape", "Group"), _flow_rows(described), (3,)),
        Section(
            "Pruning groups",
            "A member is parameter[axis], @ where its channels start if not at 0, how wide each is if not 1.",
            ("Group", "Width", "Kind", "Members"),
            [
                (g["name"], count(g["width"]), _kind(g), _shortened(map(_member, g["members"]), shown))
                for g in described["groups"]
            ],
            (2, 3),
        ),
        Section(
            "Left whole",
            "" if described["whole"] else "Nothing is.",
            ("Why", "Channels, parameter[axis]"),
            [(why, _shortened(parameters, shown)) for why, parameters in _whole(described).items()],
            (0, 1),
        ),
    ]


def _component_rows(described: Mapping[str, Any]) -> list[tuple[str, ...]]:
    times = {e["name"]: e["calls_per_step"] * e["batch"] for e in described["entries"]}
    return [
        (
            part["name"],
            count(part["parameters"]),
            share(part["parameter_share"]),
            MISSING if part["rate_hz"] is None else f"{part['rate_hz']:g} Hz",
            ", ".join(
                f"{entry} {count(macs)}" + (f" × {times[entry]} a step" if times[entry] != 1 else "")
                for entry, macs in part["macs"].items()
            ),
        )
        for part in described["components"]
    ]


def _costs(described: Mapping[str, Any]) -> Section:
    whole, target = described["predicted"], described["target"]
    columns: tuple[str, ...] = ("Component", "Flash", "RAM", "Instructions", "Latency", "Of the period")
    if "unknown" in whole:
        return Section("Cost", f"What it costs on {target} is not known: {whole['unknown']}", columns, ())
    counted = whole["instructions"] is not None  # on a computer none are
    total = "total, with shared code" if counted else "total, with the program around it"
    rows: list[tuple[str, ...]] = [
        (
            name,
            size(part["flash_bytes"]),
            size(part["ram_bytes"]),
            count(part["instructions"]),
            span(part["latency_range_s"]),
            share(part["time_share"]),
        )
        for name, part in [*whole["components"].items(), (total, whole)]
    ]
    flash = "" if whole["flash_share"] is None else share(whole["flash_share"])
    rows.append(
        (f"of what {target} has", flash, share(whole["ram_share"]), "", "", share(whole["time_share"]))
    )
    if not counted:
        columns = ("Component", "File", "RAM", *columns[4:])
        rows = [(*row[:3], *row[4:]) for row in rows]
    note = f"Predicted on {target}, {whole['dtype']}, one call of entry {described['deployed']}, as it is."
    if parts := whole.get("parts"):
        note = (
            f"Predicted on {target}, {whole['dtype']}, all calls in a control step of each of {', '.join(parts)}, as "
            "they are; the total's latency is that of what runs at the control rate."
        )
    return Section("Cost", note, columns, rows)


def _flow_rows(described: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What comes from the outside, what passes between components, and what goes out."""
    return [
        (
            f"{flow[start]} → {flow[end]}",
            count(flow["width"]),
            " × ".join(map(str, flow["shape"])),
            ", ".join(flow["groups"]) or "left whole",
        )
        for kind, start, end in (
            ("inputs", "input", "consumer"),
            ("flows", "producer", "consumer"),
            ("outputs", "producer", "output"),
        )
        for flow in described[kind]
    ]


def _kind(group: Mapping[str, Any]) -> str:
    """Inside one component or coupling several, and what it counts, if it does."""
    where = ", ".join(group["components"])
    kind = f"couples {where}" if group["coupling"] else f"inside {where}"
    return kind + (f"; counts {', '.join(group['counts'])}" if group["counts"] else "")


def _member(member: Mapping[str, Any]) -> str:
    words = f"{member['parameter']}[{member['axis']}]"
    if member["offset"] or member["stride"] > 1 or member["repeats"] > 1:
        words += f"@{member['offset']}"
    if member["stride"] > 1:
        words += f" {member['stride']} each"
    return words + (f" {member['repeats']} times" if member["repeats"] > 1 else "")


def _whole(described: Mapping[str, Any]) -> dict[str, list[str]]:
    """Reason → everything that it holds for."""
    found: dict[str, list[str]] = {}
    for entry in described["whole"]:
        words = f"{count(entry['width'])} of {entry['parameter']}[{entry['axis']}]"
        found.setdefault(entry["why"], []).append(words)
    return found


def _shortened(words: Any, shown: int | None) -> str:
    every = list(words)
    rest = 0 if shown is None else len(every) - shown
    return "; ".join(every[:shown]) + (f"; and {rest} more" if rest > 0 else "")
