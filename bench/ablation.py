"""What each part of the method is worth: importance, schedule, coupling groups, fake quantisation.

    python bench/ablation.py --policy tdmpc_cheetah --budget 5

One budget (percent of the deployed parameters), the deployed entry. *Importance*: the same widths, channels by each
criterion. *Schedule*: one cut or several with new scores. *Coupling*: the latent free, or whole, the budget met by the
components alone. *Fake quantisation*: in recovery or not; look at the int8 column. Cells are kept one by one, as by
bench/strategies.py; ``--report`` puts them together into bench/results/ablation_<policy>.json.
"""

import argparse
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from references import Reference, prepare
from rich.console import Console
from strategies import CELLS, ROOT, measured
from strategies_report import interval, kept

from secateur.errors import BudgetInfeasible
from secateur.prune.importance import IMPORTANCE
from secateur.prune.search import search
from secateur.runfolder import to_json, write_atomically

MATCH = "deployed"


def chosen(reference: Reference, share: float, frozen: tuple[str, ...] = ()) -> dict[str, int]:
    """Our widths; groups named in ``frozen`` stay whole."""
    scores = {n: s for n, s in reference.scores("taylor").items() if n not in frozen}
    price, budget = reference.price(MATCH), reference.budget(share, MATCH)
    widths = search(reference.graph, scores, price, budget, reference.trials, frozen=frozen).widths
    reference.keep_trials()
    return widths


def by_importance(name: str) -> Callable[[Reference, float, argparse.Namespace], dict[str, Any]]:
    """The usual widths, channels by another criterion."""

    def run(reference: Reference, share: float, args: argparse.Namespace) -> dict[str, Any]:
        return measured(reference, chosen(reference, share), reference.scores(name), args)

    return run


def iterative(reference: Reference, share: float, args: argparse.Namespace) -> dict[str, Any]:
    """Four cuts, with recovery and new scores in between; as many steps in all."""
    return measured(
        reference,
        chosen(reference, share),
        reference.scores("taylor"),
        args,
        schedule="iterative",
        rescore=lambda policy, graph: reference.scored("taylor", policy, graph),
    )


def without_coupling(reference: Reference, share: float, args: argparse.Namespace) -> dict[str, Any]:
    """Coupling groups stay whole."""
    frozen = tuple(group.name for group in reference.graph.groups if group.coupling)
    widths = chosen(reference, share, frozen)
    scores = {n: s for n, s in reference.scores("taylor").items() if n not in frozen}
    return measured(reference, widths, scores, args)


def fake_quantised(reference: Reference, share: float, args: argparse.Namespace) -> dict[str, Any]:
    """Recovery with int8 weights and activations in the loop."""
    return measured(reference, chosen(reference, share), reference.scores("taylor"), args, fake_quantise=True)


VARIANTS: dict[str, Callable[[Reference, float, argparse.Namespace], dict[str, Any]]] = {
    **{f"importance: {name}": by_importance(name) for name in IMPORTANCE},
    "schedule: iterative": iterative,
    "coupling: whole": without_coupling,
    "fake quantisation": fake_quantised,
}
"""``importance: taylor`` is the method as it comes: one cut, coupling groups free, no fake quantisation."""


def report(policy: str, budget: float) -> None:
    """What is there, as a table."""
    paths = sorted(CELLS.glob(f"ablation-{policy}-*-{budget:g}-*.json"))
    cells = [json.loads(path.read_bytes()) for path in paths]
    lines = ["| variant | cut only | recovered | int8 | each reference |", "| --- | --- | --- | --- | --- |"]
    for variant in VARIANTS:
        group = [c for c in cells if c["variant"] == variant and "error" not in c]
        if group:
            shown = [interval(group, what) for what in ("cut", "recovered", "int8")]
            each = (f"{kept(cell, 'recovered'):.2f} / {kept(cell, 'int8'):.2f}" for cell in group)
            lines.append(f"| {variant} | {' | '.join(shown)} | {', '.join(each)} |")
    document = {
        "commands": sorted({cell["command"] for cell in cells}),
        "budget_percent": budget,
        "table": "\n".join(lines),
        "cells": [{k: v for k, v in cell.items() if k != "command"} for cell in cells],
    }
    write_atomically(ROOT / "results" / f"ablation_{policy}.json", to_json(document))
    Console(width=140).print(document["table"], soft_wrap=True, markup=False)


def main() -> None:
    """Runs the cells that are not there yet, or reports on those that are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="tdmpc_cheetah")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="references")
    parser.add_argument("--budget", type=float, default=5, help="percent of the deployed parameters")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--recovery-steps", type=int, default=3200)
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--judged", type=int, default=16)
    parser.add_argument("--no-int8", dest="int8", action="store_false")
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    if args.report:
        report(args.policy, args.budget)
        return
    torch.set_num_threads(1)
    for seed in args.seeds:
        reference: Reference | None = None
        for variant in args.variants:
            slug = variant.replace(": ", "-").replace(" ", "-")
            path = CELLS / f"ablation-{args.policy}-{seed}-{args.budget:g}-{slug}.json"
            if path.exists():
                continue
            reference = reference or prepare(args.policy, seed, "act", CELLS)
            started = time.perf_counter()
            cell: dict[str, Any] = {"policy": args.policy, "seed": seed, "variant": variant}
            try:
                cell |= VARIANTS[variant](reference, args.budget / 100, args)
            except BudgetInfeasible as error:
                cell["error"] = str(error)
            cell |= {
                "wall_s": round(time.perf_counter() - started, 1),
                "command": "python bench/ablation.py " + shlex.join(sys.argv[1:]),
                "machine": {"processor": platform.machine(), "python": platform.python_version()},
            }
            write_atomically(path, to_json(cell))
            print(f"seed {seed} {variant}: {cell['wall_s']} s", flush=True)


if __name__ == "__main__":
    main()
