"""Strategies side by side under the same budget, target, importance and recovery.

    python bench/strategies.py --flash 12KiB 4KiB --seeds 0 1 2

Every cell is the whole chain of ``secateur prune``, with the firmware in the loop. The return ratio of a strategy
is over all episodes of all seeds, its interval by bootstrap over them; two strategies differ where the interval of
their paired difference leaves out zero, otherwise it is a draw. Infeasible or failed cells are shown as such.
Writes bench/results/strategies.json.
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

from secateur.budget import parse_budget
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
    with tempfile.TemporaryDirectory() as folder:
        summary = prune(request, Path(folder) / "run", False, "bench/strategies.py")
    loop = summary["closed_loop"]
    return {
        "flash": flash,
        "recovery_steps": steps,
        "strategy": strategy,
        "seed": seed,
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


def ratio_interval(cells: list[dict[str, Any]], generator: np.random.Generator) -> tuple[float, float, float]:
    """Ratio of mean returns over all episodes of the cells, and its 95 % bootstrap interval."""
    before = np.concatenate([c["baseline_returns"] for c in cells])
    after = np.concatenate([c["artifact_returns"] for c in cells])
    rows = generator.integers(0, len(before), (10_000, len(before)))
    ratios = after[rows].mean(1) / before[rows].mean(1)
    return float(after.mean() / before.mean()), *(float(q) for q in np.quantile(ratios, (0.025, 0.975)))


def compare(
    one: list[dict[str, Any]], two: list[dict[str, Any]], generator: np.random.Generator
) -> tuple[float, float, float]:
    """Mean difference in share of the baseline's return, one minus two, paired by seed and episode; 95 % interval."""
    before = np.concatenate([c["baseline_returns"] for c in one])
    gap = np.concatenate(
        [np.subtract(a["artifact_returns"], b["artifact_returns"]) for a, b in zip(one, two)]
    )
    rows = generator.integers(0, len(gap), (10_000, len(gap)))
    means = gap[rows].mean(1) / before.mean()
    return float(gap.mean() / before.mean()), *(float(q) for q in np.quantile(means, (0.025, 0.975)))


COLUMNS = (
    "flash",
    "recovery",
    "strategy",
    "deployed",
    "whole",
    "measured flash",
    "return ratio (95 %)",
    "success",
)


def rows_of(cells: list[dict[str, Any]], generator: np.random.Generator) -> list[tuple[str, ...]]:
    """One row for each strategy under each budget, over all seeds."""
    rows = []
    for flash, steps, strategy in dict.fromkeys(
        (c["flash"], c["recovery_steps"], c["strategy"]) for c in cells
    ):
        group = [
            c for c in cells if (c["flash"], c["recovery_steps"], c["strategy"]) == (flash, steps, strategy)
        ]
        ratio, low, high = ratio_interval(group, generator)
        rows.append(
            (
                flash,
                f"{steps} steps" if steps else "none",
                strategy,
                f"{np.mean([c['deployed_parameters'] for c in group]):,.0f}",
                f"{np.mean([c['policy_parameters'] for c in group]):,.0f}",
                format_bytes(int(np.mean([c["flash_bytes"] for c in group]))),
                f"{ratio:.3f} ({low:.3f}–{high:.3f})",
                f"{np.mean([c['success_rate'] for c in group]):.2f}",
            )
        )
    return rows


def conclusions(cells: list[dict[str, Any]], generator: np.random.Generator) -> list[str]:
    """Who wins where, and where it is a draw."""
    sentences = []
    for flash, steps in dict.fromkeys((c["flash"], c["recovery_steps"]) for c in cells):
        here: dict[str, list[dict[str, Any]]] = {}
        for cell in cells:
            if (cell["flash"], cell["recovery_steps"]) == (flash, steps):
                here.setdefault(cell["strategy"], []).append(cell)
        for one, two in combinations(here, 2):
            gap, low, high = compare(here[one], here[two], generator)
            where = f"{flash}, {'with' if steps else 'without'} recovery"
            interval = f"difference {100 * abs(gap):.1f} % of the original's return"
            if low <= 0 <= high:
                sentences.append(
                    f"{where}: {one} and {two} draw ({interval}, 95 % {100 * low:+.1f} to {100 * high:+.1f})."
                )
            else:
                winner, loser = (one, two) if gap > 0 else (two, one)
                ends = sorted((abs(low), abs(high)))
                sentences.append(
                    f"{where}: {winner} beats {loser} ({interval}, 95 % {100 * ends[0]:.1f} to {100 * ends[1]:.1f})."
                )
    return sentences


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
    args = parser.parse_args()
    console = Console(width=140)
    settings = {k: v for k, v in vars(args).items() if k != "out"}
    document: dict[str, Any] = {
        "command": "python bench/strategies.py " + " ".join(sys.argv[1:]),
        "settings": settings,
        "cells": [],
    }
    if args.out.exists():
        earlier = json.loads(args.out.read_bytes())
        if earlier["settings"] == json.loads(to_json(settings)):
            document = earlier
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
    rows = rows_of(document["cells"], np.random.default_rng(0))
    table = Table(*COLUMNS, box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    document["conclusions"] = conclusions(document["cells"], np.random.default_rng(0))
    for sentence in document["conclusions"]:
        console.print(sentence, soft_wrap=True)
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    document["table"] = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    document["machine"] = {"processor": platform.machine(), "python": platform.python_version()}
    write_atomically(args.out, to_json(document))


if __name__ == "__main__":
    main()
