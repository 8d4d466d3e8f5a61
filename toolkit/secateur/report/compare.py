"""Finished runs beside each other: one table, and bars of each quantity on one axis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secateur.errors import SecateurError, UsageError
from secateur.report import wording
from secateur.report.html import environment

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class RunBar:
    """A run's bar: ``filled`` and the limit's ``mark`` as shares [0, 1] of the axis; ``mark`` None without a limit."""

    run: str
    value: str
    kind: str
    filled: float
    mark: float | None
    over: bool


@dataclass(frozen=True)
class Quantity:
    """A quantity of all runs on one axis."""

    label: str
    bars: tuple[RunBar, ...]


def named(paths: Sequence[Path], summaries: Sequence[Summary]) -> dict[str, Summary]:
    """Runs by what tells them apart: the folder's name, or its whole path where two are called alike.

    Raises:
        UsageError: a run was named twice.
        SecateurError: one of them is a front, not a run.
    """
    for path, summary in zip(paths, summaries):
        if "kind" in summary:
            raise SecateurError(
                "runs of secateur prune are compared", f"{path} is a front", "Open its own report.html."
            )
    if len({path.resolve() for path in paths}) < len(paths):
        twice = ", ".join(map(str, paths))
        raise UsageError("a run is compared with others", f"one of {twice} is named twice", "Leave it out.")
    names = [path.resolve().name for path in paths]
    told = [
        str(path) if names.count(name) > 1 else name for path, name in zip(paths, names)
    ]  # alike by name, so told by path
    return dict(zip(told, summaries))


def _verdict(summary: Summary) -> str:
    return "passed" if summary["verdict"]["passed"] else "failed"


def _seen(summary: Summary, key: str) -> tuple[float | None, str]:
    """A cost as it was measured, or else predicted, and which of them."""
    measured = summary["measured"] or {}
    if measured.get(key) is None:
        return summary["predicted"].get(key), "predicted"
    observed = key != "latency_s" or wording.latency_is_measured(summary["measured"])
    return measured[key], "measured" if observed else "predicted"


def _told(key: str, form: Callable[[Any], str]) -> Callable[[Summary], str]:
    def cell(summary: Summary) -> str:
        value, kind = _seen(summary, key)
        return wording.MISSING if value is None else f"{form(value)} ({kind})"

    return cell


def _kept(summary: Summary) -> str:
    loop = summary["closed_loop"]
    if loop is None:
        return wording.MISSING
    low, high = map(wording.share, loop["ci95"])
    return f"{wording.share(loop['return_ratio'])} ({low} to {high})"


def _loop(key: str, form: Callable[[Any], str]) -> Callable[[Summary], str]:
    return lambda summary: (
        wording.MISSING if summary["closed_loop"] is None else form(summary["closed_loop"][key])
    )


ROWS: dict[str, Callable[[Summary], str]] = {
    "Verdict": _verdict,
    "Policy": lambda s: s["policy"],
    "Target": lambda s: s["target"],
    "Strategy": lambda s: s["strategy"],
    "Seed": lambda s: str(s["seed"]),
    "Deployed parameters": lambda s: wording.count(s["predicted"]["parameters"]),
    "Flash": _told("flash_bytes", wording.size),
    "RAM": _told("ram_bytes", wording.size),
    "Worst latency": _told("latency_s", wording.duration),
    "Instructions": lambda s: wording.count(_seen(s, "instructions")[0]),
    "Return kept (95 % interval)": _kept,
    "Mean return": _loop("artifact_return_mean", lambda value: f"{value:.4g}"),
    "Success": _loop("success_rate", lambda value: wording.share(value, 0)),
    "Episodes": _loop("episodes", wording.count),
    "Delay of actions": _loop("delay_s", wording.duration),
    "Wall time": lambda s: wording.duration(s["wall_s"]),
}
"""Row of the table → what it says of a run."""


def rows(runs: Mapping[str, Summary]) -> list[tuple[str, ...]]:
    """The table: what a row is of, and a text for each run."""
    return [(label, *(cell(summary) for summary in runs.values())) for label, cell in ROWS.items()]


def quantities(runs: Mapping[str, Summary]) -> list[Quantity]:
    """Bars of what can be compared, each on the axis that holds all runs and limits."""
    found = [
        _quantity(label, {name: (*_seen(s, key), s["budget"].get(key)) for name, s in runs.items()}, form)
        for label, key, form in (
            ("Flash", "flash_bytes", wording.size),
            ("RAM", "ram_bytes", wording.size),
            ("Worst latency", "latency_s", wording.duration),
        )
    ]
    parameters = {name: (s["predicted"]["parameters"], "", None) for name, s in runs.items()}
    found.append(_quantity("Deployed parameters", parameters, wording.count))
    kept = {
        name: (s["closed_loop"]["return_ratio"], "", None) for name, s in runs.items() if s["closed_loop"]
    }
    found.append(_quantity("Return kept", kept, wording.share))
    return [quantity for quantity in found if quantity.bars]


def _quantity(
    label: str, values: Mapping[str, tuple[float | None, str, float | None]], form: Callable[[Any], str]
) -> Quantity:
    known = {name: (v, kind, limit) for name, (v, kind, limit) in values.items() if v is not None}
    whole = 1.05 * max((max(v, limit or 0.0, 0.0) for v, _, limit in known.values()), default=0.0) or 1.0
    return Quantity(
        label,
        tuple(
            RunBar(
                name,
                form(v),
                kind,
                max(v, 0.0) / whole,
                None if limit is None else limit / whole,
                limit is not None and v > limit,
            )
            for name, (v, kind, limit) in known.items()
        ),
    )


def widths(runs: Mapping[str, Summary]) -> list[tuple[str, ...]]:
    """Every pruning group: its name, its width before, and in each run; where all are of one policy."""
    if len({s["policy"] for s in runs.values()}) > 1:
        return []
    tables = [{g["group"]: g for g in s["widths"]} for s in runs.values()]
    groups = dict.fromkeys(name for table in tables for name in table)
    return [
        (
            name,
            wording.count(next(t[name]["before"] for t in tables if name in t)),
            *(wording.count(t[name]["after"]) if name in t else wording.MISSING for t in tables),
        )
        for name in groups
    ]


def notes(runs: Mapping[str, Summary]) -> list[str]:
    """What keeps runs from being compared as they stand."""
    said = []
    for key, what in (("policy", "policies"), ("target", "targets")):
        if len({s[key] for s in runs.values()}) > 1:
            said.append(f"The runs are of different {what}.")
    loops = [s["closed_loop"] for s in runs.values() if s["closed_loop"]]
    if len({tuple(loop["baseline_returns"]) for loop in loops}) > 1:
        said.append("The episodes are not the same: the originals' returns differ.")
    if any(_seen(s, "latency_s")[1] == "predicted" for s in runs.values()):
        said.append(
            "Latency that is predicted is counted or predicted instructions × cycles, at its worst end."
        )
    return said


def print_comparison(runs: Mapping[str, Summary], console: Console) -> None:
    """The table on the screen."""
    table = Table("", *runs, box=None)
    for row in rows(runs):
        table.add_row(*map(Text, row))
    console.print(table)
    for note in notes(runs):
        console.print(Text(note))


def render_comparison(runs: Mapping[str, Summary]) -> str:
    """The same as a page, with bars."""
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            names=list(runs),
            rows=rows(runs),
            quantities=quantities(runs),
            widths=widths(runs),
            notes=notes(runs),
        )
    )
