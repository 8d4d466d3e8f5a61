"""What is predicted before anything is built, against what is built: random widths of the shipped policies.

    python bench/prediction.py

Every pruning group of a policy keeps a random share of its channels, chosen at random: from nearly all to one. The
cost at these widths is predicted from the template alone; then the policy is cut, converted, quantised on states
that the original visits, generated as C, linked, and counted on the emulated core. Weights, tables and static RAM have
to be as predicted to the byte; code and stack within the predicted bound, and by at most 512 bytes; instructions
within 3 %. Exits with 1 where one is not. Arenas are held against the largest set of buffers that live at once, and
some against the least that TFLM runs in. Writes ``bench/results/prediction.json``.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
import unicorn
from rich.console import Console
from rich.table import Table

from secateur.device.devices import open_device
from secateur.export.quantize import quantize
from secateur.export.read import read_tflite
from secateur.export.tflite import to_tflite
from secateur.operators.lower import lower
from secateur.policy.load import load
from secateur.pricing import convert_template
from secateur.prune.analyse import analyse
from secateur.prune.states import evenly, visited_inputs
from secateur.prune.surgery import cut
from secateur.records import Cost, Measurement
from secateur.runfolder import to_json, write_atomically
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts
from secateur.target.arena import plan
from secateur.target.by_width import PriceByWidth
from secateur.target.target import Target, load_target

RESULTS = Path(__file__).parent / "results" / "prediction.json"
POLICIES = ("tdmpc_cartpole", "tdmpc_cheetah")
SLACK_BYTES, INSTRUCTIONS_ERROR = 512, 0.03
EXACT = ("weights_bytes", "tables_bytes", "static_ram_bytes")
BOUNDS = ("code_bytes", "stack_bytes")
EPISODES, SAMPLES = 2, 256
TFLM_ARENAS = 5
"""Prunings of each policy whose arena is held against TFLM's, which takes seconds to find."""


def compared(predicted: Cost, measured: Measurement) -> dict[str, Any]:
    """Both, field by field, and what is wrong."""
    fields = (*EXACT, *BOUNDS, "instructions")
    pairs = {name: (getattr(predicted, name), getattr(measured, name)) for name in fields}
    wrong = [name for name in EXACT if pairs[name][0] != pairs[name][1]]
    wrong += [name for name in BOUNDS if not 0 <= pairs[name][0] - pairs[name][1] <= SLACK_BYTES]
    error = pairs["instructions"][0] / pairs["instructions"][1] - 1
    if abs(error) > INSTRUCTIONS_ERROR:
        wrong.append("instructions")
    return {
        **{name: {"predicted": pair[0], "measured": pair[1]} for name, pair in pairs.items()},
        "instructions_error": error,
        "wrong": wrong,
    }


def arena(model: bytes, target: Target, with_tflm: bool) -> dict[str, int]:
    """Bytes of the arena, of the largest set of buffers that live at once, and of the least arena that TFLM runs in."""
    planned = plan(lower(read_tflite(model), target.choice).buffers)
    sizes = {"bytes": planned.size_bytes, "lower_bound_bytes": planned.lower_bound_bytes}
    if with_tflm:
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(open_device("tflm", model, target, Path(folder))) as device,
        ):
            sizes["tflm_bytes"] = device.measure().static_ram_bytes or 0
    return sizes


def cases(name: str, target: Target, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """One pruning after the other."""
    loaded = load(name)
    policy, task = loaded.policy, loaded.task
    assert task is not None
    graph = analyse(policy)
    predict = PriceByWidth(convert_template(policy, graph), target)
    visited = visited_inputs(task, rollouts(task, torch_controller(policy, task), range(EPISODES)))
    samples = evenly(visited, SAMPLES)
    for number in range(count):
        draw = np.random.default_rng((seed, number))
        level, keep = 2.0 ** draw.uniform(-5, 0), {}
        for group in graph.groups:
            width = max(1, round(group.width * level * float(draw.uniform(0.1, 1))))
            keep[group.name] = torch.from_numpy(np.sort(draw.choice(group.width, width, replace=False)))
        widths = {group: len(index) for group, index in keep.items()}
        started = time.perf_counter()
        predicted = predict(widths)
        asked_s = time.perf_counter() - started
        model = quantize(to_tflite(cut(policy, graph, keep)), samples)
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(open_device("emulator", model, target, Path(folder))) as device,
        ):
            measured = device.measure()
        yield {
            "policy": name,
            "widths": widths,
            "predicted_s": asked_s,
            "arena": arena(model, target, number < TFLM_ARENAS),
            **compared(predicted, measured),
        }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one policy's prunings, or of all: the largest of each difference."""
    errors = [abs(row["instructions_error"]) for row in rows]
    slack = {
        f"{name}_above": [row[name]["predicted"] - row[name]["measured"] for row in rows] for name in BOUNDS
    }
    arenas = [row["arena"] for row in rows]
    return {
        "prunings": len(rows),
        "arena_over_lower_bound_max": max(one["bytes"] / one["lower_bound_bytes"] for one in arenas),
        "arena_over_tflm_max": max(one["bytes"] / one["tflm_bytes"] for one in arenas if "tflm_bytes" in one),
        "exact": sum(all(row[name]["predicted"] == row[name]["measured"] for name in EXACT) for row in rows),
        **{name: [min(values), max(values)] for name, values in slack.items()},
        "instructions": [f([row["instructions"]["measured"] for row in rows]) for f in (min, max)],
        "instructions_error_max": max(errors),
        "instructions_error_median": float(np.median(errors)),
        "wrong": sum(bool(row["wrong"]) for row in rows),
    }


def main() -> None:
    """Every pruning of every policy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="stm32f446re")
    parser.add_argument("--prunings", type=int, default=30, help="of each policy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policies", nargs="+", default=POLICIES)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    torch.set_num_threads(1)
    target = load_target(args.target)
    roomy = target.model_copy(update={"flash_bytes": 1 << 24, "ram_bytes": 1 << 22})
    rows, summaries = [], {}
    for name in args.policies:
        own = []
        for row in cases(name, roomy, args.prunings, args.seed):
            own.append(row)
            print(
                f"{name} {len(own)}: error {row['instructions_error']:+.4f} {row['wrong'] or ''}",
                file=sys.stderr,
            )
        summaries[name] = summary(own)
        rows += own
    table = Table(
        "", "prunings", "exact", "code above", "stack above", "instructions", "error, max", box=None
    )
    for name, found in summaries.items():
        table.add_row(
            name,
            str(found["prunings"]),
            str(found["exact"]),
            *("{} to {}".format(*found[f"{bound}_above"]) for bound in BOUNDS),
            "{:,} to {:,}".format(*found["instructions"]),
            f"{found['instructions_error_max']:.2%}",
            f"{found['arena_over_lower_bound_max']:.3f}",
            f"{found['arena_over_tflm_max']:.2f}",
        )
    Console(width=110).print(table)
    document = {
        "command": f"python bench/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}",
        "target": target.name,
        "emulator": f"Unicorn {unicorn.__version__}",
        "policies": summaries,
        "prunings": rows,
    }
    write_atomically(args.out, to_json(document))
    sys.exit(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    main()
