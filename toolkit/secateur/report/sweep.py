"""A sweep's results as one document, on the screen and as a page: which board for which policy, fronts, seeds."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from secateur.report import wording
from secateur.report.charts import fronts
from secateur.report.html import environment

RESULTS = ("passed", "failed", "infeasible")

BOARDS = (
    "Policy",
    "Target",
    "Passed",
    "Least flash that passed",
    "RAM",
    "Latency",
    "Return kept",
    "Budget",
    "Strategy",
    "Run",
)
SEEDS = (
    "Policy",
    "Target",
    "Budget",
    "Strategy",
    "Importance",
    "Seeds",
    "Passed",
    "Return kept, mean",
    "Least",
    "Most",
    "Spread",
    "Flash",
)
RUNS = (
    "Run",
    "Policy",
    "Target",
    "Budget",
    "Strategy",
    "Importance",
    "Seed",
    "Ended",
    "Flash",
    "RAM",
    "Latency",
    "Return kept",
    "What happened",
)


def document_of(
    rows: Sequence[Mapping[str, Any]],
    attempts: Sequence[Mapping[str, Any]],
    digest: str,
    made: Mapping[str, int],
) -> dict[str, Any]:
    """All that is shown of a sweep, as plain data.

    Args:
        rows: a run each, with its result where it has one.
        attempts: at runs, as they ended.
        digest: of what came out.
        made: shared stage → how often one was made.
    """
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"] or "missing"] = counts.get(row["status"] or "missing", 0) + 1
    return {
        "kind": "sweep",
        "schema": 1,
        "runs": [dict(row) for row in rows],
        "counts": counts,
        "boards": boards(rows),
        "fronts": {policy: front_of(rows, policy) for policy in _in_order(rows, "policy")},
        "seeds": seeds(rows),
        "attempts": len(attempts),
        "run_seconds": sum(one["wall_s"] for one in attempts),
        "shared_stages": dict(made),
        "results_sha256": digest,
    }


def boards(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every policy and target: how many of its runs passed, and the one of them that takes the least flash."""
    found = []
    for policy in _in_order(rows, "policy"):
        for target in _in_order(rows, "target"):
            here = [
                r for r in rows if (r["policy"], r["target"]) == (policy, target) and r["status"] in RESULTS
            ]
            passed = [r for r in here if r["status"] == "passed"]
            best = min(passed, key=lambda r: (r["flash_bytes"], r["run"]), default=None)
            if any((r["policy"], r["target"]) == (policy, target) for r in rows):
                found.append(
                    {
                        "policy": policy,
                        "target": target,
                        "results": len(here),
                        "passed": len(passed),
                        "best": None if best is None else best["run"],
                    }
                )
    return found


def front_of(rows: Sequence[Mapping[str, Any]], policy: str) -> dict[str, list[int]]:
    """Target → the runs on its front of flash against return kept, smallest first: nothing smaller keeps as much."""
    found = {}
    for target in _in_order(rows, "target"):
        points = [
            r for r in rows if (r["policy"], r["target"]) == (policy, target) and r["return_kept"] is not None
        ]
        best, front = -math.inf, []
        for row in sorted(points, key=lambda r: (r["flash_bytes"], -r["return_kept"], r["run"])):
            if row["return_kept"] > best:
                best = row["return_kept"]
                front.append(row["run"])
        if front:
            found[target] = front
    return found


_BUT_SEED = ("policy", "target", "budget", "strategy", "importance")


def seeds(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs that differ in their seed alone: how far apart they come out. Spread: standard deviation over seeds."""
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        alike.setdefault((*(row[key] for key in _BUT_SEED), row["budget_json"]), []).append(row)
    found = []
    for group in alike.values():
        judged = [row for row in group if row["return_kept"] is not None]
        if len({row["seed"] for row in judged}) < 2:
            continue
        kept = [row["return_kept"] for row in judged]
        found.append(
            {key: group[0][key] for key in _BUT_SEED}
            | {
                "seeds": len(judged),
                "passed": sum(row["status"] == "passed" for row in judged),
                "mean": fmean(kept),
                "least": min(kept),
                "most": max(kept),
                "spread": pstdev(kept),
                "flash_bytes": [min(r["flash_bytes"] for r in judged), max(r["flash_bytes"] for r in judged)],
            }
        )
    return found


def print_sweep(document: Mapping[str, Any], console: Console) -> None:
    """The boards as a table, and how the runs ended."""
    console.print(in_counts(document))
    table = Table(*BOARDS, box=None)
    for row in board_rows(document):
        table.add_row(*row)
    console.print(table)
    for run in document["runs"]:
        if run["status"] in ("error", "timeout", "crashed"):
            console.print(
                f"run {run['run']}: {run['status']}: {run['message']}", soft_wrap=True, markup=False
            )


def in_counts(document: Mapping[str, Any]) -> str:
    """How the runs ended: ``24 runs: 20 passed, 4 infeasible``."""
    ended = ", ".join(f"{count} {status}" for status, count in document["counts"].items())
    return f"{len(document['runs'])} runs: {ended}"


def board_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each policy and target, as text."""
    by_number = {run["run"]: run for run in document["runs"]}
    rows = []
    for one in document["boards"]:
        best = by_number.get(one["best"])
        cost = ("–",) * 4 if best is None else (*_cost(best), _kept(best))
        which = ("–",) * 3 if best is None else (best["budget"], best["strategy"], str(best["run"]))
        passed = f"{one['passed']} of {one['results']}"
        rows.append((_name(one["policy"]), _name(one["target"]), passed, *cost, *which))
    return rows


def seed_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each set of runs that differ in their seed alone."""
    return [
        (
            *(_name(one["policy"]), _name(one["target"]), one["budget"], one["strategy"], one["importance"]),
            *(str(one["seeds"]), f"{one['passed']} of {one['seeds']}"),
            *(f"{one[key]:.1%}" for key in ("mean", "least", "most", "spread")),
            "–".join(wording.size(end) for end in dict.fromkeys(one["flash_bytes"])),
        )
        for one in document["seeds"]
    ]


def run_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each run."""
    rows = []
    for run in document["runs"]:
        what = "; ".join(json.loads(run["violations"])) if run["violations"] else run["message"] or ""
        rows.append(
            (
                *(str(run["run"]), _name(run["policy"]), _name(run["target"]), run["budget"]),
                *(run["strategy"], run["importance"], str(run["seed"]), run["status"] or "missing"),
                *(_cost(run), _kept(run), what),
            )
        )
    return [_flat(row) for row in rows]


def render_sweep(document: Mapping[str, Any]) -> str:
    """The page as text; it stands alone."""
    drawings = {
        _name(policy): drawing for policy in document["fronts"] if (drawing := drawn(document, policy))
    }
    return (
        environment()
        .get_template("sweep.html.j2")
        .render(
            document=document,
            counts=in_counts(document),
            drawings=drawings,
            boards=(BOARDS, board_rows(document)),
            seeds=(SEEDS, seed_rows(document)),
            runs=(RUNS, run_rows(document)),
        )
    )


def drawn(document: Mapping[str, Any], policy: str) -> Markup:
    """A policy's fronts, a line for each target."""
    by_number = {run["run"]: run for run in document["runs"]}
    lines = {
        _name(target): [(by_number[n]["flash_bytes"], by_number[n]["return_kept"]) for n in numbers]
        for target, numbers in document["fronts"][policy].items()
    }
    return fronts(lines, "flash, B", "Return kept")


def _flat(row: Iterable[Any]) -> tuple[str, ...]:
    flat: list[str] = []
    for cell in row:
        flat.extend(cell) if isinstance(cell, tuple) else flat.append(str(cell))
    return tuple(flat)


def _cost(run: Mapping[str, Any]) -> tuple[str, str, str]:
    return (
        wording.size(run["flash_bytes"]),
        wording.size(run["ram_bytes"]),
        wording.duration(run["latency_s"]),
    )


def _kept(run: Mapping[str, Any]) -> str:
    if run["return_kept"] is None:
        return wording.MISSING
    return f"{run['return_kept']:.1%} ({run['return_kept_low']:.1%} to {run['return_kept_high']:.1%})"


def _name(reference: str) -> str:
    """A policy or target as people call it: the last part of a path."""
    return Path(reference).name.removesuffix(".toml") or reference


def _in_order(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))
