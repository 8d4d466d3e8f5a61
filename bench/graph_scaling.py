"""Cost of analysis: our component graph against torch-pruning's build plus enumeration of groups.

    python bench/graph_scaling.py

Policies of 2 to 50 components, 10 to 1,000 layers in all, concatenated into a head: stacks of linear layers, and
convolutions with batch norms and residual adds. Both sides analyse the same module, turn by turn in one process; the
best of the turns counts. Ours is timed three times: the trace with its groups, which is what torch-pruning does as
well; the whole analysis, which tries every group's cut where the policy's own code meets a size, as none of these does
(``prune/analyse.py``); and the analysis with that trial made all the same, which is what code that reshapes costs. Peak
memory is that of a fresh process for each side and case: VmHWM, reset before the analysis, above VmRSS just before it.

Prints a table, fits time = a · layersᵇ from 100 layers up, and writes bench/results/graph_scaling.json.
"""

import argparse
import gc
import platform
import subprocess
import sys
import time
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
from secateur.prune.analyse import analyse, try_groups
from secateur.runfolder import to_json, write_atomically

RESULTS = Path(__file__).parent / "results" / "graph_scaling.json"
CASES = (
    *(("linear", 10, n) for n in (2, 5)),
    *(("linear", 30, n) for n in (2, 5, 20)),
    *(("linear", 100, n) for n in (2, 5, 20, 50)),
    *(("linear", 300, n) for n in (2, 10, 50)),
    *(("linear", 1000, n) for n in (2, 10, 50)),
    *(("residual", 10, 2), ("residual", 30, 5), ("residual", 100, 10), ("residual", 300, 50)),
)
"""Kind, layers, components."""


class Block(nn.Module):
    """Convolution, batch norm, ReLU, and what came in added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 1), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, width, height, breadth], the same out."""
        return x + torch.relu(self.norm(self.conv(x)))


class Branches(nn.Module):
    """``components`` stacks of layers side by side, concatenated into one head."""

    def __init__(self, kind: str, layers: int, components: int, width: int) -> None:
        super().__init__()
        depth = max(1, (layers - 1) // components)
        self.image = kind == "residual"
        self.stacks = nn.ModuleList([nn.Sequential(*self._layers(depth, width)) for _ in range(components)])
        self.head = nn.Linear(components * width, 4)

    def _layers(self, depth: int, width: int) -> list[nn.Module]:
        if self.image:
            return [nn.Conv2d(8, width, 1), *[Block(width) for _ in range(depth - 1)]]
        return [
            layer
            for index in range(depth)
            for layer in (nn.Linear(8 if index == 0 else width, width), nn.ReLU())
        ]

    def example(self) -> torch.Tensor:
        """An input of one row."""
        return torch.zeros(1, 8, 1, 1) if self.image else torch.zeros(1, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 8, …] → [batch, 4]."""
        parts = [stack(x) for stack in self.stacks]
        return self.head(torch.cat([part.mean((2, 3)) if self.image else part for part in parts], dim=1))


def declared(module: Branches) -> Policy:
    """The module as a policy; said once, so it is not timed."""
    parts = [Component(f"stack{i}", (f"stacks.{i}",)) for i in range(len(module.stacks))]
    entry = Entry("act", Branches.forward, {"x": module.example()})
    return Policy("bench", module.eval(), (*parts, Component("head", ("head",))), (entry,))


def traced(policy: Policy) -> int:
    """Number of groups, by the trace alone."""
    return len(build_graph(policy).groups)


def tried(policy: Policy) -> int:
    """Number of groups, by all that ``prune`` does to find them."""
    return len(analyse(policy).groups)


def forced(policy: Policy) -> int:
    """Number of groups, each of which was cut on trial, whether there is a need or not."""
    return len(try_groups(policy, build_graph(policy)).groups)


def theirs(policy: Policy) -> int:
    """Number of groups, the outputs left out."""
    module = policy.module
    graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=module.example())
    return len(list(graph.get_all_groups(ignored_layers=[module.head])))


SIDES: dict[str, Callable[[Policy], int]] = {
    "trace": traced,
    "analysis": tried,
    "with_trial": forced,
    "torch_pruning": theirs,
}


def turn_by_turn(policy: Policy, turns: int) -> tuple[dict[str, int], dict[str, float]]:
    """Groups and best time in s of each side."""
    groups: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for _ in range(turns):
        for name, side in SIDES.items():
            gc.collect()
            started = time.process_time()
            groups[name] = side(policy)
            took = time.process_time() - started
            seconds[name] = min(seconds.get(name, took), took)
    return groups, seconds


def memory_of(name: str, kind: str, layers: int, components: int, width: int) -> None:
    """In a process of its own: prints by how many bytes the analysis grows it at its peak."""
    side = SIDES[name]
    side(declared(Branches(kind, 10, 2, width)))
    policy = declared(Branches(kind, layers, components, width))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    side(policy)
    print(_status("VmHWM") - before)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def peak_bytes(name: str, case: tuple[str, int, int], width: int) -> int:
    """What ``memory_of`` prints."""
    command = [sys.executable, __file__, "--width", str(width), "--memory-of", name, *map(str, case)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def exponent(layers: list[int], times: list[float]) -> float:
    """B of time = a · layersᵇ, by least squares of logarithms."""
    return float(np.polyfit(np.log(layers), np.log(times), 1)[0])


def measure(case: tuple[str, int, int], width: int, turns: int) -> dict[str, object]:
    """One row."""
    kind, layers, components = case
    policy = declared(Branches(kind, layers, components, width))
    groups, seconds = turn_by_turn(policy, turns if layers < 1000 else 2)
    return {
        "kind": kind,
        "layers": layers,
        "components": components,
        "groups": groups,
        "seconds": seconds,
        "trace_ratio": seconds["trace"] / seconds["torch_pruning"],
        "analysis_ratio": seconds["analysis"] / seconds["torch_pruning"],
        "with_trial_ratio": seconds["with_trial"] / seconds["torch_pruning"],
        "peak_bytes": {name: peak_bytes(name, case, width) for name in SIDES},
    }


def main() -> None:
    """Measures every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--memory-of", nargs=4, metavar=("SIDE", "KIND", "LAYERS", "COMPONENTS"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if args.memory_of:
        name, kind, layers, components = args.memory_of
        memory_of(name, kind, int(layers), int(components), args.width)
        return
    for kind in ("linear", "residual"):
        turn_by_turn(declared(Branches(kind, 10, 2, args.width)), 2)
    rows = []
    for case in CASES:
        rows.append(measure(case, args.width, args.turns))
        print(*case, f"{rows[-1]['trace_ratio']:.2f} {rows[-1]['analysis_ratio']:.2f}", file=sys.stderr)
    large = [row for row in rows if row["kind"] == "linear" and row["layers"] >= 100]
    fit = {
        name: exponent([row["layers"] for row in large], [row["seconds"][name] for row in large])
        for name in SIDES
    }
    show(rows, fit)
    document = {
        "command": "python bench/graph_scaling.py",
        "machine": f"{platform.machine()}, one thread",
        "cases": rows,
        "exponents": fit,
        "largest_trace_ratio": max(row["trace_ratio"] for row in rows),
        "largest_analysis_ratio": max(row["analysis_ratio"] for row in rows),
        "largest_with_trial_ratio": max(row["with_trial_ratio"] for row in rows),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(RESULTS, to_json(document))


def show(rows: list[dict], fit: dict[str, float]) -> None:
    """The table."""
    columns = (
        "kind",
        "layers",
        "components",
        "groups",
        "trace",
        "analysis",
        "with trial",
        "torch-pruning",
        "ratios",
    )
    table = Table(*columns, "peak: trace, analysis, with trial, torch-pruning", box=None)
    for row in rows:
        groups, seconds, peaks = row["groups"], row["seconds"], row["peak_bytes"]
        table.add_row(
            row["kind"],
            str(row["layers"]),
            str(row["components"]),
            f"{groups['analysis']} / {groups['torch_pruning']}",
            *(f"{seconds[name] * 1e3:.1f} ms" for name in SIDES),
            f"{row['trace_ratio']:.3f}, {row['analysis_ratio']:.3f}, {row['with_trial_ratio']:.3f}",
            ", ".join(f"{peaks[name] / 1e6:.1f}" for name in SIDES) + " MB",
        )
    console = Console(width=170)
    console.print(table)
    console.print(
        "From 100 layers up, time grows as layers to the "
        + ", ".join(f"{value:.2f} ({name})" for name, value in fit.items())
    )


if __name__ == "__main__":
    main()
