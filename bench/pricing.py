"""Cost of a price: widths → predicted cost, by parts against lowering the whole, on policies of 10 to 300 layers.

    python bench/pricing.py

Stacks of linear layers in two components, converted as ``secateur prune`` does. Widths are drawn at random: those of
one group, all others as before (what a search asks), or those of all groups (no layer is as it was before). Both ways
answer for the same widths in the same run, and every answer is compared in every field. Times are CPU time per
evaluation, medians. Prints a table, fits time = a · layersᵇ, and writes bench/results/pricing.json.
"""

import argparse
import itertools
import os
import platform
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from secateur.graph.groups import build_graph
from secateur.policy.policy import Component, Entry, Policy
from secateur.pricing import convert_template
from secateur.records import Cost, Widths
from secateur.runfolder import to_json, write_atomically
from secateur.target.by_width import PriceByWidth
from secateur.target.target import load_target

RESULTS = Path(__file__).parent / "results" / "pricing.json"
CASES = (10, 30, 100, 300)


class Stack(nn.Module):
    """Linear layers, the first half of them perception and the second control, of widths that are told apart."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        widths = [16, *(64 + index % 7 for index in range(layers - 1)), 3]
        made = [nn.Linear(before, after) for before, after in itertools.pairwise(widths)]
        self.perception = nn.ModuleList(made[: layers // 2])
        self.control = nn.ModuleList(made[layers // 2 :])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 16] → [batch, 3]."""
        *inner, last = [*self.perception, *self.control]
        for layer in inner:
            x = torch.relu(layer(x))
        return last(x)


def stack(layers: int) -> Policy:
    """The policy of that many linear layers."""
    return Policy(
        "stack",
        Stack(layers).eval(),
        (Component("perception", ("perception",)), Component("control", ("control",))),
        (Entry("act", Stack.forward, {"x": torch.zeros(1, 16)}),),
    )


def timed(price: Callable[[Widths], Cost], asked: list[dict[str, int]]) -> tuple[float, list[Cost]]:
    """Median CPU time of an evaluation in s, and the answers."""
    times, answers = [], []
    for widths in asked:
        started = time.thread_time()
        answers.append(price(widths))
        times.append(time.thread_time() - started)
    return statistics.median(times), answers


def measured(layers: int, evaluations: int, draw: random.Random) -> dict[str, float | int]:
    """One row."""
    policy = stack(layers)
    graph = build_graph(policy)
    price = PriceByWidth(convert_template(policy, graph), load_target("stm32f446re"))
    full = graph.full

    def anywhere() -> dict[str, int]:
        return {name: draw.randint(4, width) for name, width in full.items()}

    base = anywhere()
    price({})
    price(base)
    single = [(name, width) for name in full for width in range(4, full[name]) if width != base[name]]
    one = [{**base, name: width} for name, width in draw.sample(single, evaluations)]
    every = [anywhere() for _ in range(evaluations)]
    row: dict[str, float | int] = {"layers": layers, "groups": len(graph.groups)}
    for case, asked in (("one", one), ("all", every)):
        row[f"{case}_changed_s"], answers = timed(price, asked)
        row[f"{case}_changed_whole_s"], reference = timed(price.whole, asked)
        row[f"{case}_changed_ratio"] = row[f"{case}_changed_s"] / row[f"{case}_changed_whole_s"]
        if answers != reference:
            raise SystemExit(f"{layers} layers: an answer by parts differs from that of the whole")
    return row


def exponent(rows: list[dict[str, float | int]], key: str) -> float:
    """B of time = a · layersᵇ, by least squares of logarithms."""
    return float(np.polyfit(np.log([r["layers"] for r in rows]), np.log([r[key] for r in rows]), 1)[0])


def main() -> None:
    """Measures every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    table = Table(
        "layers", "groups", "one changed", "whole", "ratio", "all changed", "whole", "ratio", box=None
    )
    rows = []
    for layers in CASES:
        row = measured(layers, args.evaluations, random.Random(args.seed))
        rows.append(row)
        cells = [str(row["layers"]), str(row["groups"])]
        for case in ("one", "all"):
            cells += [f"{row[f'{case}_changed{way}_s'] * 1e3:.3f} ms" for way in ("", "_whole")]
            cells.append(f"{row[f'{case}_changed_ratio']:.3f}")
        table.add_row(*cells)
    fits = {key: exponent(rows, f"{key}_s") for key in ("one_changed", "all_changed", "all_changed_whole")}
    console = Console(width=110)
    console.print(table)
    console.print(
        f"time grows as layers^{fits['one_changed']:.2f} with one group changed, "
        f"layers^{fits['all_changed']:.2f} with all, layers^{fits['all_changed_whole']:.2f} the whole"
    )
    document = {
        "command": f"python bench/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}",
        "cases": rows,
        "exponents": fits,
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(RESULTS, to_json(document))


if __name__ == "__main__":
    main()
