"""How much return is kept at how few parameters, by strategy: a fair fight, cell by cell.

    python bench/strategies.py --policy tdmpc_cartpole --mode plan --budgets 5 2 1

A cell is one reference (a training seed), one budget (a share of the original's parameters, in percent), one way to
count them (``total``: the whole policy; ``deployed``: what the deployed entry uses), one way to move the robot
(``act``: the deployed entry; ``plan``: the planner, where all components work together) and one strategy. All get the
same recovery. Measured: return without recovery and with it, in torch, and (``act``) of the int8 .tflite in TFLM, on
the same unseen episodes as the original.

Every cell is a file of its own, so cells can be run by several processes and a run that was killed goes on. With
``--report`` nothing is run: what is there is put together, with intervals, into bench/results/<policy>.json.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from references import ENUMERATED_S, Reference, prepare, random_like, untrained
from strategies_report import report

from secateur.calibration import calibrate
from secateur.choosing import TRIED_BY
from secateur.device.devices import open_devices
from secateur.errors import BudgetInfeasible
from secateur.export.tflite import to_tflite
from secateur.policy.parts import parts_of
from secateur.policy.policy import Policy
from secateur.prune.allocate import Scores, keep_best
from secateur.prune.recover import Recovery, RecoveryPlan, recover
from secateur.prune.schedule import SCHEDULES, Rescore
from secateur.prune.search import search
from secateur.prune.strategies import STRATEGIES
from secateur.prune.surgery import cut
from secateur.runfolder import to_json, write_atomically
from secateur.shared import code_sha256
from secateur.simulate.planner import policy_controller
from secateur.simulate.rollout import rollouts
from secateur.sweep.one import TimeIsUp
from secateur.target.target import load_target
from secateur.verify.firmware import FirmwareController

ROOT = Path(__file__).parent
CELLS = ROOT.parent / "build" / "strategies"
FIRST_SEED = 50_000
"""Of the episodes that cells are judged on; no training and no recovery uses them."""
ENOUGH = 0.99
"""Share of the original's return at which recovery ends early, the same for all."""

Chosen = tuple[dict[str, int], Scores]
"""Widths, and the scores that say which channels they are."""


@dataclass(frozen=True)
class Contender:
    """A way to choose widths and channels, by the strategy's name on the command line.

    Attributes:
        strategy: key of ``prune.strategies.STRATEGIES``.
        importance: that scores are by; ``torch-pruning`` is that library's own, as it comes.
        by_chance: the widths are the strategy's, the channels are not.
        fresh: and so are the weights, which are drawn anew.
    """

    strategy: str
    importance: str = "taylor"
    by_chance: bool = False
    fresh: bool = False

    def choose(self, reference: Reference, share: float, match: str) -> Chosen:
        """Widths within the budget, and the scores."""
        strategy, scores = STRATEGIES[self.strategy], reference.scores(self.importance)
        price, budget = reference.price(match), reference.budget(share, match)
        if strategy.measures:
            widths = search(reference.graph, scores, price, budget, reference.trials).widths
            reference.keep_trials()
        else:
            widths = strategy.choose(reference.graph, scores, price, budget)
        return widths, random_like(reference) if self.by_chance else scores


CONTENDERS = {
    "component-aware": Contender("component-aware"),
    "global-taylor": Contender("global"),
    "global-l2": Contender("global", "torch-pruning"),
    "per-component": Contender("per-component", "torch-pruning"),
    "uniform": Contender("uniform"),
    "random-units": Contender("component-aware", by_chance=True),
    "small-net": Contender("component-aware", fresh=True),
}
"""``global-l2`` is torch-pruning as it comes, ``per-component`` torch-pruning with equal ratios for all components;
``small-net`` has our widths and weights from scratch, and learns by the same distillation."""


def run_cell(reference: Reference, share: float, match: str, strategy: str, args: argparse.Namespace) -> dict:
    """Allocates, cuts, recovers, evaluates."""
    contender = CONTENDERS[strategy]
    cell: dict[str, Any] = {
        "policy": reference.name,
        "seed": reference.seed,
        "mode": reference.mode,
        "match": match,
        "budget_percent": share * 100,
        "strategy": strategy,
        "recovery_steps": args.recovery_steps,
    }
    started = time.perf_counter()
    try:
        widths, scores = contender.choose(reference, share, match)
    except BudgetInfeasible as error:
        return cell | {"error": str(error), "outcome": "infeasible"}
    except TimeIsUp:
        outcome = f"torch-pruning lists its groups: not within {ENUMERATED_S} s"
        return cell | {"error": outcome, "outcome": outcome}
    cell |= {
        "widths": widths,
        "parameters_total": reference.parameters(widths, "total"),
        "parameters_deployed": reference.parameters(widths, "deployed"),
        "choose_s": round(time.perf_counter() - started, 1),
    }
    return cell | measured(reference, widths, scores, args, fresh=contender.fresh)


def measured(
    reference: Reference,
    widths: dict[str, int],
    scores: Scores,
    args: argparse.Namespace,
    fresh: bool = False,
    schedule: str = "one-shot",
    fake_quantise: bool = False,
    rescore: Rescore | None = None,
) -> dict[str, Any]:
    """Returns after cutting alone, after recovery, and of the int8 artifact, with the original's on the same episodes.

    Args:
        reference: what is cut.
        widths: to these.
        scores: by these.
        args: recovery steps, episodes, judged episodes, int8.
        fresh: weights are drawn anew before recovery.
        schedule: key of ``SCHEDULES``.
        fake_quantise: recovery has int8 in the loop.
        rescore: scores of a policy that is cut already, for schedules that ask.
    """
    keep = keep_best(scores, {name: widths[name] for name in scores})
    pruned = cut(reference.policy, reference.graph, keep)
    seeds = list(range(FIRST_SEED, FIRST_SEED + args.episodes))
    found: dict[str, Any] = {"baseline": reference.baseline(seeds)}
    found["cut"] = None if fresh else returns(pruned, reference, seeds)
    wanted = ENOUGH * float(np.mean(reference.baseline([s + 1000 for s in seeds[: args.judged]])))
    rounds = reference.teacher.training.rounds
    plan = RecoveryPlan(
        rounds=rounds,
        steps=args.recovery_steps // rounds,
        judged_episodes=args.judged,
        enough=wanted,
        fake_quantise=fake_quantise,
    )
    started = time.perf_counter()
    recovery = Recovery(reference.teacher, reference.lesson, reference.task, reference.seed, plan)
    if fresh:
        student, curve = recover(recovery, untrained(pruned, reference.seed), keep)
    else:
        again = rescore or (lambda *_: scores)
        made = SCHEDULES[schedule](recovery, scores, again, widths)
        student, curve = made.policy, made.curve
    found |= {
        "recover_s": round(time.perf_counter() - started, 1),
        "recovery": [[point.steps, point.return_mean] for point in curve],
        "recovered": returns(student, reference, seeds),
    }
    if reference.mode == "act" and args.int8:
        found["int8"] = int8_returns(student, reference, seeds)
    return found


def returns(policy: Policy, reference: Reference, seeds: list[int]) -> list[float]:
    """In torch."""
    episodes = rollouts(reference.task, policy_controller(policy, reference.task), seeds)
    return [episode.return_ for episode in episodes]


def int8_returns(policy: Policy, reference: Reference, seeds: list[int]) -> list[float]:
    """Of the int8 .tflite, run by TFLM."""
    target, task = load_target("stm32f446re"), reference.task
    calibrating = [int(s) for s in np.random.SeedSequence([reference.seed, 2]).generate_state(8)]
    with tempfile.TemporaryDirectory() as folder:
        parts = parts_of(policy, task.control_hz)
        models = calibrate(
            task,
            target,
            {part.name: to_tflite(policy, part.name) for part in parts},
            policy,
            calibrating,
            Path(folder),
            lambda *_: None,
            "tflm",
        )
        with open_devices("tflm", models, parts, target, Path(folder)) as devices:
            controller = FirmwareController(devices, task, parts)
            return [e.return_ for e in rollouts(task, controller, seeds)]


def main() -> None:
    """Runs the cells that are not there yet, or reports on those that are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="tdmpc_cartpole")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="references")
    parser.add_argument("--mode", choices=["act", "plan"], default="act")
    parser.add_argument("--match", choices=["total", "deployed"], default="total")
    parser.add_argument("--budgets", nargs="+", type=float, default=[25, 10, 5, 2, 1, 0.5], help="percent")
    parser.add_argument("--strategies", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--recovery-steps", type=int, default=3200)
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--judged", type=int, default=16, help="episodes that recovery is judged on")
    parser.add_argument("--no-int8", dest="int8", action="store_false")
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    if args.report:
        report(args.policy, CELLS, ROOT / "results" / f"{args.policy}.json", tuple(CONTENDERS))
        return
    torch.set_num_threads(1)
    command = "python bench/strategies.py " + " ".join(sys.argv[1:])
    for budget in args.budgets:
        for seed in args.seeds:
            todo = {
                strategy: CELLS / f"{args.policy}-{seed}-{args.mode}-{args.match}-{budget:g}-{strategy}.json"
                for strategy in args.strategies
            }
            todo = {strategy: path for strategy, path in todo.items() if not path.exists()}
            if not todo:
                continue
            reference = reference_of(args, seed)
            for strategy, path in todo.items():
                started = time.perf_counter()
                cell = run_cell(reference, budget / 100, args.match, strategy, args)
                cell |= {
                    "toolkit_sha256": code_sha256(*TRIED_BY),
                    "wall_s": round(time.perf_counter() - started, 1),
                    "command": command,
                    "machine": {"processor": platform.machine(), "python": platform.python_version()},
                }
                write_atomically(path, to_json(cell))
                print(line_of(cell), flush=True)


_references: dict[tuple[str, int, str], Reference] = {}


def reference_of(args: argparse.Namespace, seed: int) -> Reference:
    """Prepared once in a process."""
    key = (args.policy, seed, args.mode)
    if key not in _references:
        _references[key] = prepare(args.policy, seed, args.mode, CELLS)
    return _references[key]


def line_of(cell: dict[str, Any]) -> str:
    """One cell on one line."""
    where = (
        f"{cell['mode']} {cell['match']} {cell['budget_percent']:g} % seed {cell['seed']} {cell['strategy']}"
    )
    if "error" in cell:
        return f"{where}: {cell['outcome']}"
    kept = {
        name: float(np.mean(cell[name]) / np.mean(cell["baseline"]))
        for name in ("cut", "recovered", "int8")
        if cell.get(name)
    }
    shown = ", ".join(f"{name} {share:.3f}" for name, share in kept.items())
    return f"{where}: {json.dumps(cell['parameters_total'])} parameters, {shown}, {cell['wall_s']} s"


if __name__ == "__main__":
    main()
