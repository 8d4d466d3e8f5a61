"""Margins of stability over compression, and the frontier: every group cut to the same share.

    python bench/stability.py --policy tdmpc_cartpole

One level is one share of every pruning group's channels, the best by Taylor importance, without recovery. Criteria are
fitted on the original's episodes, in the space of observations and in its latent where there is one; original, cuts
and a policy of shuffled weights are assessed on other seeds. Writes bench/results/stability.json.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from secateur.graph.groups import build_graph
from secateur.policy.load import load
from secateur.policy.policy import Policy
from secateur.prune.importance import IMPORTANCE, Evidence
from secateur.prune.states import evenly, visited_inputs
from secateur.prune.surgery import cut
from secateur.runfolder import to_json, write_atomically
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts
from secateur.verify.frontier import FrontierPoint, frontier
from secateur.verify.stability import StabilityMargin, assess, fit_criterion
from secateur.verify.state_space import latent_of, observed

RESULTS = Path(__file__).parent / "results" / "stability.json"
JUDGED_SEED = 10_000


COLUMNS = (
    "policy",
    "share",
    "parameters",
    "return",
    "space",
    "margin (95 %)",
    "",
    "episodes kept",
    "final distance",
)


def main() -> None:
    """Runs the search and prints every policy that was judged."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="tdmpc_cartpole")
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--low", type=float, default=0.03)
    parser.add_argument("--evaluations", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(args.policy)
    policy, task = loaded.policy, loaded.task
    if task is None:
        sys.exit(f"{args.policy} has no task")
    started = time.perf_counter()
    graph = build_graph(policy)
    base = rollouts(task, torch_controller(policy, task), range(args.episodes))
    sample = {name: torch.from_numpy(rows) for name, rows in evenly(visited_inputs(task, base), 512).items()}
    scores = IMPORTANCE["taylor"](policy, graph, Evidence(sample, torch.Generator().manual_seed(0), task))
    spaces = {"observation": observed}
    if any(entry.name == "encode" for entry in policy.entries):
        spaces["latent"] = latent_of(policy, task)
    criteria = {space: fit_criterion(base, to_state) for space, to_state in spaces.items()}
    rows: list[dict[str, Any]] = []

    def judge(label: str, level: float, judged: Policy) -> StabilityMargin:
        seeds = range(JUDGED_SEED, JUDGED_SEED + args.episodes)
        episodes = rollouts(task, torch_controller(judged, task), seeds)
        margins = {
            space: assess(criteria[space], episodes, np.random.default_rng(0), to_state)
            for space, to_state in spaces.items()
        }
        about = {
            "policy": label,
            "share": round(level, 4),
            "parameters": sum(weight.numel() for weight in judged.module.parameters()),
            "return_mean": float(np.mean([episode.return_ for episode in episodes])),
        }
        rows.extend(about | {"space": space, "kept": m.kept} | asdict(m) for space, m in margins.items())
        return margins["observation"]

    def cut_to(level: float) -> Policy:
        keep = {}
        for name, score in scores.items():
            count = min(len(score), max(4, 4 * round(level * len(score) / 4)))
            keep[name] = score.topk(count).indices.sort().values
        return cut(policy, graph, keep)

    judge("original", 1.0, policy)
    judge("shuffled", 1.0, shuffled(cut_to(1.0)))
    found = frontier(lambda level: judge("cut", level, cut_to(level)), args.low, 1.0, args.evaluations)
    table = Table(*COLUMNS)
    for row in rows:
        low, high = row["ci95"]
        table.add_row(
            row["policy"],
            f"{row['share']:.3f}",
            f"{row['parameters']:,}",
            f"{row['return_mean']:.1f}",
            row["space"],
            f"{row['margin']:+.2f} ({low:+.2f} to {high:+.2f})",
            "kept" if row["kept"] else "lost",
            f"{sum(margin > 0 for margin in row['episode_margins'])} of {args.episodes}",
            f"{row['final_distance']:.3f}",
        )
    console = Console(width=140)
    console.print(table)
    console.print(f"Kept at {_level(found.kept)} of the channels, lost at {_level(found.lost)}.")
    plain = {space: criterion.to_data() for space, criterion in criteria.items()}
    document = {
        "command": " ".join(["python", *sys.argv]),
        "criteria": {
            space: {name: value for name, value in data.items() if not isinstance(value, list)}
            | {"bound": criteria[space].bound}
            | {
                "horizon_steps": criteria[space].horizon_steps,
                "deadline_steps": criteria[space].deadline_steps,
            }
            for space, data in plain.items()
        },
        "rows": rows,
        "frontier": {"kept": _level(found.kept), "lost": _level(found.lost)},
        "wall_s": round(time.perf_counter() - started, 1),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    write_atomically(RESULTS, to_json(document))


def shuffled(policy: Policy) -> Policy:
    """The policy with each tensor's weights in a random order: as large, and good for nothing."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in policy.module.parameters():
            weight.copy_(
                weight.flatten()[torch.randperm(weight.numel(), generator=generator)].view_as(weight)
            )
    return policy


def _level(point: FrontierPoint | None) -> float | None:
    return None if point is None else round(point.level, 4)


if __name__ == "__main__":
    main()
