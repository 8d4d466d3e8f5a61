"""Strategies side by side under the same budget, target, importance and recovery.

    python bench/strategies.py --flash 12KiB 4KiB --seeds 0 1 2

Every cell is the whole chain of ``secateur prune``, with the firmware in the loop, on the same trained network: seeds
are of the pruning run (states, scoring, recovery, episodes). The run is the unit of evidence: a strategy's share of
the return is a mean over runs with a t interval, two strategies differ where a paired t test over runs says so after
Holm's correction over all comparisons, otherwise it is a draw. An infeasible cell is shown as such.
Writes bench/results/strategies.json; cells that are there already are not run again unless ``--again`` says so.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t, ttest_1samp

from secateur.budget import parse_budget
from secateur.errors import BudgetInfeasible
from secateur.pipeline import PruneRequest, prune
from secateur.prune.allocate import STRATEGIES
from secateur.runfolder import to_json, write_atomically
from secateur.units import format_bytes

RESULTS = Path(__file__).parent / "results" / "strategies.json"


def run_cell(args: argparse.Namespace, flash: str, steps: int, strategy: str, seed: int) -> dict[str, Any]:
    """One run; what is kept of its summary."""
    budget = parse_budget(flash, args.ram, None, args.rate, [], "5%")
    request = PruneRequest(
        args.policy, args.target, budget, strategy, args.importance, seed, args.episodes, steps
    )
    started = time.perf_counter()
    cell: dict[str, Any] = {"flash": flash, "recovery_steps": steps, "strategy": strategy, "seed": seed}
    try:
        with tempfile.TemporaryDirectory() as folder:
            summary = prune(request, Path(folder) / "run", False, "bench/strategies.py")
    except BudgetInfeasible as error:
        return cell | {"error": str(error), "wall_s": round(time.perf_counter() - started, 1)}
    loop = summary["closed_loop"]
    return cell | {
        "passed": summary["verdict"]["passed"],
        "widths": {w["group"]: w["after"] for w in summary["widths"]},
        "deployed_parameters": summary["predicted"]["parameters"],
        "policy_parameters": summary["predicted"]["policy_parameters"],
        "flash_bytes": summary["measured"]["flash_bytes"],
        "instructions": summary["measured"]["instructions"],
        "baseline_returns": loop["baseline_returns"],
        "artifact_returns": loop["artifact_returns"],
        "success_rate": loop["success_rate"],
        "wall_s": round(time.perf_counter() - started, 1),
    }


def shares(cells: list[dict[str, Any]]) -> np.ndarray:
    """Share of the original's return that each run kept: ``[runs]``, by seed."""
    ordered = sorted(cells, key=lambda cell: cell["seed"])
    return np.array([np.mean(c["artifact_returns"]) / np.mean(c["baseline_returns"]) for c in ordered])


def compare(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> tuple[float, float]:
    """Mean difference of the share kept, one minus two, and the p value of a paired t test over runs.

    Episodes of one run are not independent evidence about a strategy: the run is the unit.
    """
    gaps = shares(one) - shares(two)
    if len(gaps) < 2 or not gaps.std():
        return float(gaps.mean()), 1.0
    return float(gaps.mean()), float(ttest_1samp(gaps, 0.0).pvalue)


COLUMNS = (
    "flash",
    "recovery",
    "strategy",
    "deployed",
    "whole",
    "measured flash",
    "return kept (95 %; each run)",
    "success",
)


def rows_of(cells: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """One row for each strategy under each budget, over all seeds."""
    rows = []
    for flash, steps, strategy in dict.fromkeys(
        (c["flash"], c["recovery_steps"], c["strategy"]) for c in cells
    ):
        every = [
            c for c in cells if (c["flash"], c["recovery_steps"], c["strategy"]) == (flash, steps, strategy)
        ]
        group = [c for c in every if "error" not in c]
        if not group:
            rows.append(
                (flash, f"{steps} steps" if steps else "none", strategy, "–", "–", "–", "infeasible", "–")
            )
            continue
        kept = shares(group)
        half = (
            t.ppf(0.975, len(kept) - 1) * kept.std(ddof=1) / np.sqrt(len(kept)) if len(kept) > 1 else np.nan
        )
        rows.append(
            (
                flash,
                f"{steps} steps" if steps else "none",
                strategy,
                f"{np.mean([c['deployed_parameters'] for c in group]):,.0f}",
                f"{np.mean([c['policy_parameters'] for c in group]):,.0f}",
                format_bytes(int(np.mean([c["flash_bytes"] for c in group]))),
                f"{kept.mean():.3f} ± {half:.3f} ({', '.join(f'{share:.3f}' for share in kept)})",
                f"{np.mean([c['success_rate'] for c in group]):.2f}",
            )
        )
    return rows


def conclusions(cells: list[dict[str, Any]]) -> list[str]:
    """Who wins where, and where it is a draw: paired t tests over runs, Holm's correction over all comparisons."""
    found = []
    for flash, steps in dict.fromkeys((c["flash"], c["recovery_steps"]) for c in cells):
        here: dict[str, list[dict[str, Any]]] = {}
        for cell in cells:
            if (cell["flash"], cell["recovery_steps"]) == (flash, steps) and "error" not in cell:
                here.setdefault(cell["strategy"], []).append(cell)
        for one, two in combinations(here, 2):
            common = {c["seed"] for c in here[one]} & {c["seed"] for c in here[two]}
            pair = [[c for c in here[name] if c["seed"] in common] for name in (one, two)]
            if common:
                found.append(
                    (f"{flash}, {'with' if steps else 'without'} recovery", one, two, *compare(*pair))
                )
    order = sorted(range(len(found)), key=lambda index: found[index][4])
    adjusted, worst = {}, 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(found) - rank) * found[index][4]))
        adjusted[index] = worst
    sentences = []
    for index, (where, one, two, gap, _) in enumerate(found):
        seen = f"{100 * abs(gap):.1f} % of the original's return, corrected p = {adjusted[index]:.2g}"
        winner, loser = (one, two) if gap > 0 else (two, one)
        if adjusted[index] < 0.05:
            sentences.append(f"{where}: {winner} beats {loser} by {seen}.")
        else:
            sentences.append(f"{where}: {winner} is ahead of {loser} by {seen}: a draw.")
    return sentences


SAME = ("policy", "target", "ram", "rate", "importance", "episodes")
"""Settings under which cells of an earlier run are cells of this one; the others say which cells there are."""


def main() -> None:
    """Runs every cell, one after the other, and keeps what is done on disk."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="tdmpc_cartpole")
    parser.add_argument("--target", default="stm32f446re")
    parser.add_argument("--flash", nargs="+", default=["12KiB", "4KiB"])
    parser.add_argument("--ram", default="3KiB")
    parser.add_argument("--rate", default="500Hz")
    parser.add_argument("--importance", default="taylor")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--recovery-steps", nargs="+", type=int, default=[0, 6000])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument(
        "--again", action="store_true", help="run cells anew that the results file has already"
    )
    args = parser.parse_args()
    console = Console(width=140)
    settings = {k: v for k, v in vars(args).items() if k not in ("out", "again")}
    document: dict[str, Any] = {
        "commands": ["python bench/strategies.py " + " ".join(sys.argv[1:])],
        "settings": settings,
        "cells": [],
    }
    if args.out.exists() and not args.again:
        earlier = json.loads(args.out.read_bytes())
        if {k: earlier["settings"][k] for k in SAME} == {k: settings[k] for k in SAME}:
            document["cells"] = earlier["cells"]
            document["commands"] = list(dict.fromkeys([*earlier["commands"], *document["commands"]]))
    done = {(c["flash"], c["recovery_steps"], c["strategy"], c["seed"]) for c in document["cells"]}
    for flash in args.flash:
        for steps in args.recovery_steps:
            for seed in args.seeds:
                for strategy in args.strategies:
                    if (flash, steps, strategy, seed) in done:
                        continue
                    cell = run_cell(args, flash, steps, strategy, seed)
                    document["cells"].append(cell)
                    ratio = np.mean(cell["artifact_returns"]) / np.mean(cell["baseline_returns"])
                    console.print(
                        f"{flash} {steps} {strategy} seed {seed}: {ratio:.3f} in {cell['wall_s']} s"
                    )
                    args.out.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(args.out, to_json(document))
    rows = rows_of(document["cells"])
    table = Table(*COLUMNS, box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    document["conclusions"] = conclusions(document["cells"])
    for sentence in document["conclusions"]:
        console.print(sentence, soft_wrap=True)
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    document["table"] = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    document["machine"] = {"processor": platform.machine(), "python": platform.python_version()}
    write_atomically(args.out, to_json(document))


if __name__ == "__main__":
    main()
