"""Cells of ``strategies.py`` put together: interquartile means with intervals, who is ahead, where it breaks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from secateur.runfolder import to_json, write_atomically
from secateur.verify.statistics import interquartile_mean

OURS = "component-aware"
RESAMPLES = 2000
KEPT = 0.95

Cells = list[dict[str, Any]]
Key = tuple[str, str, float]
"""(mode, match, budget in percent)."""


def report(policy: str, folder: Path, to: Path) -> None:
    """Reads every cell of a policy, prints the table, writes it with the cells and the sentences."""
    cells: Cells = [
        json.loads(path.read_bytes())
        for path in sorted(folder.glob(f"{policy}-*.json"))
        if not path.stem.endswith(("returns", "trials"))
    ]
    cells.sort(key=lambda c: (c["mode"], c["match"], -c["budget_percent"], c["strategy"], c["seed"]))
    rows = rows_of(cells)
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    document = {
        "commands": sorted({cell["command"] for cell in cells}),
        "table": "\n".join(f"| {' | '.join(line)} |" for line in lines),
        "conclusions": conclusions(cells),
        "machine": cells[0]["machine"] if cells else {},
        "cells": [{k: v for k, v in cell.items() if k not in ("command", "machine")} for cell in cells],
    }
    write_atomically(to, to_json(document))
    console = Console(width=170)
    console.print(document["table"], soft_wrap=True, markup=False)
    for sentence in document["conclusions"]:
        console.print(sentence, soft_wrap=True, markup=False)


COLUMNS = (
    "robot moved by",
    "budget",
    "strategy",
    "parameters (deployed)",
    "cut only",
    "recovered",
    "int8",
    "each reference",
)


def rows_of(cells: Cells) -> list[tuple[str, ...]]:
    """One row for each strategy at each budget, over all references."""
    rows = []
    for (mode, match, budget), here in _by_key(cells).items():
        for strategy in dict.fromkeys(cell["strategy"] for cell in here):
            group = [c for c in here if c["strategy"] == strategy and "error" not in c]
            where = (mode, f"{budget:g} % of {match}", strategy)
            if not group:
                rows.append((*where, "–", "infeasible", "–", "–", "–"))
                continue
            total = np.mean([c["parameters_total"] for c in group])
            deployed = np.mean([c["parameters_deployed"] for c in group])
            each = ", ".join(f"{np.mean(c['recovered']) / np.mean(c['baseline']):.2f}" for c in group)
            shown = [interval(group, what) for what in ("cut", "recovered", "int8")]
            rows.append((*where, f"{total:,.0f} ({deployed:,.0f})", *shown, each))
    return rows


def _by_key(cells: Cells) -> dict[Key, Cells]:
    found: dict[Key, Cells] = {}
    for cell in cells:
        found.setdefault((cell["mode"], cell["match"], cell["budget_percent"]), []).append(cell)
    return found


def shares(cell: dict[str, Any], what: str) -> np.ndarray:
    """Return of each episode over the original's mean, ``[episodes]``."""
    return np.array(cell[what]) / np.mean(cell["baseline"])


def interval(group: Cells, what: str) -> str:
    """Interquartile mean over episodes of all references, with its 95 % interval; references are strata."""
    runs = [shares(cell, what) for cell in group if cell.get(what)]
    if not runs:
        return "–"
    point, low, high = stratified(runs)
    return f"{point:.3f} ({low:.2f}–{high:.2f})"


def stratified(runs: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Interquartile mean of pooled episodes and its 95 % bootstrap interval, resampled within each run.

    After Agarwal et al. 2021 (arXiv 2108.13264). It says how sure the figure is for these references, not for others.
    """
    generator = np.random.default_rng(0)
    drawn = [
        interquartile_mean(np.concatenate([generator.choice(run, len(run)) for run in runs]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return interquartile_mean(np.concatenate(list(runs))), float(low), float(high)


def conclusions(cells: Cells) -> list[str]:
    """Ours against the best of the others at each budget, after recovery, and the budget at which ours breaks."""
    sentences = []
    broken: dict[tuple[str, str], list[str]] = {}
    for (mode, match, budget), here in _by_key(cells).items():
        by: dict[str, Cells] = {}
        for cell in here:
            if "error" not in cell:
                by.setdefault(cell["strategy"], []).append(cell)
        if OURS not in by:
            continue
        point, low, high = stratified([shares(cell, "recovered") for cell in by[OURS]])
        if point < KEPT:
            broken.setdefault((mode, match), []).append(f"{budget:g} % ({point:.2f})")
        others = {n: stratified([shares(c, "recovered") for c in g])[0] for n, g in by.items() if n != OURS}
        if not others:
            continue
        best = max(others, key=lambda name: others[name])
        gap, low, high = difference(by[OURS], by[best])
        said = f"{mode}, {budget:g} % of {match}, {len(by[OURS])} references: {OURS} {point:.3f}, best other {best} "
        said += f"{others[best]:.3f}, difference {gap:+.3f} ({low:+.3f} to {high:+.3f})"
        verdict = f"{OURS} is ahead" if low > 0 else f"{best} is ahead" if high < 0 else "a draw"
        sentences.append(f"{said}: {verdict}.")
    for (mode, match), where in broken.items():
        sentences.append(f"{mode}, {match}: {OURS} keeps less than {KEPT:g} at {', '.join(where)}.")
    return sentences


def difference(one: Cells, two: Cells) -> tuple[float, float, float]:
    """Difference of interquartile means with its 95 % interval, episodes resampled in pairs within references."""
    common = sorted({c["seed"] for c in one} & {c["seed"] for c in two})
    pairs = [
        [next(shares(c, "recovered") for c in side if c["seed"] == seed) for side in (one, two)]
        for seed in common
    ]
    generator = np.random.default_rng(0)

    def gap(picked: list[list[np.ndarray]]) -> float:
        first, second = (np.concatenate([pair[side] for pair in picked]) for side in (0, 1))
        return interquartile_mean(first) - interquartile_mean(second)

    drawn = []
    for _ in range(RESAMPLES):
        index = [generator.integers(0, len(pair[0]), len(pair[0])) for pair in pairs]
        drawn.append(gap([[side[i] for side in pair] for pair, i in zip(pairs, index)]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return gap(pairs), float(low), float(high)
