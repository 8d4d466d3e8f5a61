"""Cost of analysis: our component graph against torch-pruning's build plus enumeration of groups.

    python bench/graph_scaling.py

Policies of 2 to 50 components, each a stack of linear layers, whose outputs are concatenated into a head: 10 to 1,000
layers in all. Both analyse the same module in the same run, the better of a few repeats counts. Prints a table, fits
time = a · layersᵇ over the larger half, states peak memory, and writes bench/results/graph_scaling.json.
"""

import argparse
import platform
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch_pruning
from rich.console import Console
from rich.table import Table
from torch import nn

from secateur.graph.groups import build_graph
from secateur.policy.policy import Component, Entry, Policy
from secateur.runfolder import to_json, write_atomically

RESULTS = Path(__file__).parent / "results" / "graph_scaling.json"
CASES = ((10, 2), (30, 2), (30, 5), (100, 5), (100, 20), (300, 10), (300, 50), (1000, 10), (1000, 50))


class Branches(nn.Module):
    """``components`` stacks of linear layers side by side, concatenated into one head."""

    def __init__(self, layers: int, components: int, width: int) -> None:
        super().__init__()
        depth = max(1, (layers - 1) // components)
        stacks = []
        for _ in range(components):
            parts: list[nn.Module] = []
            for index in range(depth):
                parts += [nn.Linear(8 if index == 0 else width, width), nn.ReLU()]
            stacks.append(nn.Sequential(*parts))
        self.stacks = nn.ModuleList(stacks)
        self.head = nn.Linear(components * width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 8] → [batch, 4]."""
        return self.head(torch.cat([stack(x) for stack in self.stacks], dim=-1))


def ours(module: Branches, example: torch.Tensor) -> int:
    """Number of groups."""
    parts = [Component(f"stack{i}", (f"stacks.{i}",)) for i in range(len(module.stacks))]
    policy = Policy(
        "bench",
        module,
        (*parts, Component("head", ("head",))),
        (Entry("act", Branches.forward, {"x": example}),),
    )
    return len(build_graph(policy).groups)


def theirs(module: Branches, example: torch.Tensor) -> int:
    """Number of groups, the outputs left out."""
    graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=example)
    return len(list(graph.get_all_groups(ignored_layers=[module.head])))


def measured(
    analyse: Callable[[Branches, torch.Tensor], int], module: Branches, repeats: int
) -> tuple[int, float, int]:
    """Groups, best time in s, peak memory in bytes (measured apart, because measuring it costs time)."""
    example = torch.zeros(1, 8)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        groups = analyse(module, example)
        times.append(time.perf_counter() - started)
    tracemalloc.start()
    analyse(module, example)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return groups, min(times), peak


def exponent(layers: list[int], times: list[float]) -> float:
    """B of time = a · layersᵇ, by least squares of logarithms."""
    return float(np.polyfit(np.log(layers), np.log(times), 1)[0])


def main() -> None:
    """Measures every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    ours(Branches(10, 2, args.width), torch.zeros(1, 8))
    theirs(Branches(10, 2, args.width), torch.zeros(1, 8))
    table = Table(
        "layers",
        "components",
        "groups",
        "ours",
        "torch-pruning",
        "ratio",
        "peak ours",
        "peak torch-pruning",
        box=None,
    )
    rows = []
    for layers, components in CASES:
        module = Branches(layers, components, args.width)
        repeats = args.repeats if layers < 1000 else 1
        own_groups, own, own_peak = measured(ours, module, args.repeats)
        their_groups, their, their_peak = measured(theirs, module, repeats)
        row = {
            "layers": layers,
            "components": components,
            "groups": own_groups,
            "torch_pruning_groups": their_groups,
            "seconds": own,
            "torch_pruning_seconds": their,
            "ratio": own / their,
            "peak_bytes": own_peak,
            "torch_pruning_peak_bytes": their_peak,
        }
        rows.append(row)
        peaks = (f"{own_peak / 1e6:.1f} MB", f"{their_peak / 1e6:.1f} MB")
        table.add_row(
            str(layers),
            str(components),
            f"{own_groups} / {their_groups}",
            f"{own * 1e3:.1f} ms",
            f"{their * 1e3:.1f} ms",
            f"{own / their:.3f}",
            *peaks,
        )
    large = [row for row in rows if row["layers"] >= 100]
    fit = {
        "ours": exponent([r["layers"] for r in large], [r["seconds"] for r in large]),
        "torch_pruning": exponent([r["layers"] for r in large], [r["torch_pruning_seconds"] for r in large]),
    }
    console = Console(width=140)
    console.print(table)
    console.print(
        f"time grows as layers^{fit['ours']:.2f}; torch-pruning's as layers^{fit['torch_pruning']:.2f} (100 layers up)"
    )
    document = {
        "command": "python bench/graph_scaling.py",
        "cases": rows,
        "exponents": fit,
        "machine": platform.machine(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(RESULTS, to_json(document))


if __name__ == "__main__":
    main()
