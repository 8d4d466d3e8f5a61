"""Cells of ``strategies.py`` put together: interquartile means with intervals, each reference, who is ahead where."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pages import table
from rich.console import Console
from scipy import stats

from secateur.prune.trials import Trial, judged_short, rank_correlation
from secateur.runfolder import to_json, write_atomically
from secateur.verify.statistics import interquartile_mean

OURS = "component-aware"
AT_ITS_WIDTHS = ("random-units", "small-net")
"""Controls, for which nothing is chosen: they have the widths of ours."""
RESAMPLES = 2000
KEPT = 0.95
MARGIN = 0.02
"""Difference below which nobody is ahead: two recoveries of the same widths differ by as much (0.01 to 0.04 where it
was seen), and three references all of one sign come about by chance in one case of four."""

ORDER = (
    "--policy",
    "--mode",
    "--match",
    "--recovery-steps",
    "--episodes",
    "--judged",
    "--no-int8",
)
"""In which options of a command are shown; ``--strategies``, ``--seeds`` and ``--budgets`` are last."""

Cells = list[dict[str, Any]]
Key = tuple[str, str, float]
"""(mode, match, budget in percent)."""


def report(policy: str, folder: Path, to: Path, strategies: Sequence[str]) -> None:
    """Reads every cell of a policy, prints the table, writes it with the cells and the sentences.

    Args:
        policy: whose cells.
        folder: where they are.
        to: file that is written.
        strategies: that a command runs which names none.
    """
    cells: Cells = [
        json.loads(path.read_bytes())
        for path in sorted(folder.glob(f"{policy}-*.json"))
        if not path.stem.endswith(("returns", "trials"))
    ]
    cells.sort(key=lambda c: (c["mode"], c["match"], -c["budget_percent"], c["strategy"], c["seed"]))
    document = {
        "commands": commands(cells, strategies),
        "table": table(COLUMNS, rows_of(cells)),
        "overviews": overviews(cells),
        "conclusions": conclusions(cells) + foretold(policy, folder) + versions(cells),
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
    "choosing",
    "cut only",
    "recovered",
    "int8",
    "each reference",
)


def rows_of(cells: Cells) -> list[tuple[str, ...]]:
    """One row for each strategy at each budget, over all references."""
    rows = []
    seeds = sorted({cell["seed"] for cell in cells})
    for (mode, match, budget), here in _by_key(cells).items():
        for strategy in dict.fromkeys(cell["strategy"] for cell in here):
            group = [c for c in here if c["strategy"] == strategy and "error" not in c]
            where = (mode, f"{budget:g} % of {match}", strategy)
            if not group:
                outcome = next(c.get("outcome", "infeasible") for c in here if c["strategy"] == strategy)
                rows.append((*where, "–", "–", outcome, "–", "–", "–"))
                continue
            total = np.mean([c["parameters_total"] for c in group])
            deployed = np.mean([c["parameters_deployed"] for c in group])
            each = _each(group, seeds)
            times = [c["choose_s"] for c in group if c["choose_s"] is not None]  # none where it was halted
            times = [] if strategy in AT_ITS_WIDTHS else times
            spent = f"{np.mean(times):.0f} s" if times else "–"
            shown = [interval(group, what) for what in ("cut", "recovered", "int8")]
            rows.append((*where, f"{total:,.0f} ({deployed:,.0f})", spent, *shown, each))
    return rows


def _each(group: Cells, seeds: Sequence[int]) -> str:
    """What is kept of each reference, in their order, a dash where there is no such cell."""
    by = {cell["seed"]: f"{kept(cell, 'recovered'):.2f}" for cell in group}
    return ", ".join(by.get(seed, "–") for seed in seeds)


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

    After Agarwal et al. 2021 (arXiv 2108.13264). It says how sure the figure is for these references, not for others;
    and it trims, so a reference that failed shows in the column of references only.
    """
    generator = np.random.default_rng(0)
    drawn = stats.trim_mean(
        np.concatenate([generator.choice(run, (RESAMPLES, len(run))) for run in runs], axis=1), 0.25, axis=1
    )
    low, high = np.quantile(drawn, [0.025, 0.975])
    return interquartile_mean(np.concatenate(list(runs))), float(low), float(high)


def kept(cell: dict[str, Any], what: str) -> float:
    """Mean return over the original's mean, of one reference."""
    return float(np.mean(cell[what]) / np.mean(cell["baseline"]))


MOVED = {"act": "the deployed entry", "plan": "the planner"}


def overviews(cells: Cells) -> dict[str, str]:
    """For each way to move the robot and to count parameters, ``"plan total"`` for example, a table with its title."""
    return {
        f"{mode} {match}": f"Moved by {MOVED[mode]}, budgets in percent of the {match} parameters:\n\n{_table(group)}"
        for (mode, match), group in _by_way(cells).items()
    }


def _by_way(cells: Cells) -> dict[tuple[str, str], Cells]:
    """By what moves the robot and how parameters are counted."""
    found: dict[tuple[str, str], Cells] = {}
    for cell in cells:
        found.setdefault((cell["mode"], cell["match"]), []).append(cell)
    return found


def _table(cells: Cells) -> str:
    """Strategies by budgets: mean over references of the share kept, each reference in brackets; int8 after a slash."""
    budgets, seeds = list(_by_key(cells)), sorted({cell["seed"] for cell in cells})
    names = dict.fromkeys(cell["strategy"] for cell in cells)
    rows = []
    for name in names:
        row = [name]
        for key in budgets:
            group = [c for c in _by_key(cells)[key] if c["strategy"] == name and "error" not in c]
            each = [kept(c, "recovered") for c in group]
            int8 = [kept(c, "int8") for c in group if c.get("int8")]
            row.append(
                f"{np.mean(each):.2f} ({_each(group, seeds)})" + (f" / {np.mean(int8):.2f}" if int8 else "")
                if each
                else "–"
            )
        rows.append(row)
    return table(["strategy", *(f"{budget:g} %" for _, _, budget in budgets)], rows)


def conclusions(cells: Cells) -> list[str]:
    """Ours against every other strategy, the reference as the unit, and the budgets at which ours breaks.

    A strategy is called ahead where it is on every reference that both have, there are three or more, and by ``MARGIN``
    in the mean; else it is a draw. With three references no test says more; a single one is judged by its episodes.
    The int8 artifact is what goes to the board, so it is compared where there is one.
    """
    sentences = []
    broken: dict[tuple[str, str], list[str]] = {}
    for (mode, match, budget), here in _by_key(cells).items():
        by: dict[str, dict[int, dict[str, Any]]] = {}
        for cell in here:
            if "error" not in cell:
                by.setdefault(cell["strategy"], {})[cell["seed"]] = cell
        if OURS not in by:
            continue
        least = min(kept(cell, "recovered") for cell in by[OURS].values())
        if least < KEPT:
            broken.setdefault((mode, match), []).append(f"{budget:g} % (least {least:.2f})")
        for what in ("recovered", "int8"):
            said = []
            for name, group in by.items():
                common = [s for s in by[OURS] if s in group and by[OURS][s].get(what) and group[s].get(what)]
                if name != OURS and common:
                    gaps = [shares(by[OURS][seed], what) - shares(group[seed], what) for seed in common]
                    said.append(f"{name} {np.mean(gaps):+.2f} ({_outcome(gaps)})")
            if said:
                sentences.append(
                    f"{mode}, {budget:g} % of {match}, {what}: {OURS} less the others, mean over common references: "
                    f"{', '.join(said)}."
                )
    for (mode, match), where in broken.items():
        sentences.append(
            f"{mode}, {match}: {OURS} keeps less than {KEPT:g} on some reference at {', '.join(where)}."
        )
    return sentences


def _outcome(gaps: Sequence[np.ndarray]) -> str:
    """Who is ahead, from the differences of paired episodes, ``[episodes]`` for each reference.

    Of several references each counts once. With one alone, its episodes are the unit: ahead is who is so at both ends
    of the 95 % bootstrap interval of the mean, which then speaks of that reference and of no other.
    """
    if len(gaps) == 1:
        generator = np.random.default_rng(0)
        means = generator.choice(gaps[0], (RESAMPLES, len(gaps[0]))).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        found = "ahead" if low > 0 else "behind" if high < 0 else "a draw"
        return f"{found}, {low:+.2f} to {high:+.2f}"
    wins = sum(each.mean() > 0 for each in gaps)
    if len(gaps) < 3:
        return f"ahead on {wins} of {len(gaps)}, too few to say"
    if wins in (0, len(gaps)) and abs(np.mean([each.mean() for each in gaps])) >= MARGIN:
        return f"{'ahead' if wins else 'behind'} on all {len(gaps)}"
    return f"a draw, ahead on {wins} of {len(gaps)}"


def foretold(policy: str, folder: Path) -> list[str]:
    """How well the error of a short trial foretells what is lost of the return, over all that the search tried."""
    sentences = []
    for mode in MOVED:
        found = []
        for path in sorted(folder.glob(f"{policy}-*-{mode}-trials.json")):
            judged = judged_short(Trial(**record) for record in json.loads(path.read_bytes())["trials"])
            if (rho := rank_correlation(judged)) is not None:
                found.append(f"{rho:+.2f} ({len(judged)} trials)")
        if found:
            sentences.append(
                f"{mode}: rank correlation of a short trial's error with the return it loses, by reference: "
                f"{', '.join(found)}."
            )
    return sentences


def versions(cells: Cells) -> list[str]:
    """How many states of the toolkit's code the cells are of, where there is more than one."""
    states = {way: {cell.get("toolkit_sha256") for cell in group} for way, group in _by_way(cells).items()}
    return [
        f"{mode}, {match}: the cells are of {len(known)} states of the toolkit's code (toolkit_sha256 in the results)."
        for (mode, match), known in states.items()
        if len(known) > 1
    ]


def commands(cells: Cells, default: Sequence[str]) -> list[str]:
    """The commands that give the cells, those that differ in budgets, seeds and strategies alone as few as can be.

    Args:
        cells: that are given.
        default: strategies of a command that names none.
    """
    seeds_of: dict[tuple[str, str, float], list[int]] = {}
    for cell in cells:
        options = {"--mode": ["act"], "--match": ["total"]}
        for word in cell["command"].split()[2:]:
            if word.startswith("--"):
                values = options[word] = []
            else:
                values.append(word)
        shown = " ".join(" ".join((name, *options[name])) for name in ORDER if name in options)
        seeds_of.setdefault((shown, cell["strategy"], cell["budget_percent"]), []).append(cell["seed"])
    budgets_of: dict[tuple[str, str, tuple[int, ...]], list[float]] = {}
    for (shown, strategy, budget), seeds in seeds_of.items():
        budgets_of.setdefault((shown, strategy, tuple(sorted(seeds))), []).append(budget)
    alike: dict[tuple[str, tuple[int, ...], tuple[float, ...]], list[str]] = {}
    for (shown, strategy, seeds), budgets in budgets_of.items():
        alike.setdefault((shown, seeds, tuple(sorted(budgets, reverse=True))), []).append(strategy)
    lines = []
    for (shown, which, percents), strategies in alike.items():
        line = ["python bench/strategies.py", shown]
        line += ["--strategies", *strategies] if set(strategies) != set(default) else []
        line += ["--seeds", *map(str, which)] if which != (0, 1, 2) else []
        lines.append(" ".join([*line, "--budgets", *(f"{budget:g}" for budget in percents)]))
    return sorted(lines)
