"""How good the allocation is: the solver against exhaustive search, the search against other ways to spend trials.

    python bench/allocation.py --policies tdmpc_cartpole tdmpc_cheetah

*Small*: random problems of 2 to 5 knobs with 8 settings, a chain of layers, one or two limits; the loss of the solver's
choice over that of the best there is, found by trying all. *Real*: deployed entries of shipped policies, at some
shares of their parameters; the loss (error plus return lost) that the search ends with, and how many trials it took,
against NetAdapt's iteration (Yang et al. 2018, arXiv 1804.03230: shrink step by step, each time the part that costs
least after a short recovery) and an evolutionary search (mutation of the best, as many trials as ours took). All of
them try widths out in the same way, and the best three of each go through the same longer trial, which decides.
Shrinking step by step, NetAdapt takes as many trials as it takes. Writes bench/results/allocation.json.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from references import Reference, prepare
from rich.console import Console
from rich.table import Table

from secateur.prune.allocate import on_board
from secateur.prune.curves import Part, component_parts, widths_at
from secateur.prune.search import FINALISTS, search
from secateur.prune.solve import Choice, Knob, Problem, equal, solve
from secateur.prune.trials import Trial
from secateur.records import Budget, ComponentCost, Cost, Limits, Range
from secateur.runfolder import to_json, write_atomically

ROOT = Path(__file__).parent
SETTINGS = 8


def small_problem(generator: np.random.Generator, knobs: int) -> Problem:
    """A chain of layers with random losses, and a limit on weights, sometimes on the widest layer too."""
    widths = [int(256 / 1.6**n) for n in range(SETTINGS)]
    made = [
        Knob(
            f"g{i}",
            tuple({f"g{i}": width} for width in widths),
            tuple(np.concatenate([[0.0], np.cumsum(generator.exponential(size=SETTINGS - 1) ** 2)]).tolist()),
        )
        for i in range(knobs)
    ]

    def price(chosen: Any) -> Cost:
        chain = [5, *(chosen[f"g{i}"] for i in range(knobs)), 2]
        weights = sum(a * b for a, b in pairwise(chain))
        part = ComponentCost(weights, weights, weights, max(chain), weights, Range(0, 0))
        return Cost(weights, weights, weights, 0, 0, max(chain), 0, weights, Range(0, 0), {"all": part})

    whole = Problem(made, {}, price, Budget(Limits()))
    low, high = whole.cost(whole.least).flash_bytes, whole.cost((0,) * knobs).flash_bytes
    flash = int(low * (high / low) ** generator.uniform())
    ram = int(generator.choice(widths)) if generator.uniform() < 0.3 else None
    return Problem(made, {}, price, Budget(Limits(flash_bytes=flash, ram_bytes=ram)))


def against_exhaustive(count: int) -> list[dict[str, Any]]:
    """Solver's loss over the best, by number of knobs."""
    rows = []
    for knobs in (2, 3, 4, 5):
        generator = np.random.default_rng(knobs)
        excess, ours_s, all_s = [], 0.0, 0.0
        for _ in range(max(5, count // knobs**2)):
            problem = small_problem(generator, knobs)
            started = time.perf_counter()
            found = problem.loss(solve(problem))
            ours_s += time.perf_counter() - started
            started = time.perf_counter()
            every = product(range(SETTINGS), repeat=knobs)
            best = min(problem.loss(choice) for choice in every if problem.fits(choice))
            all_s += time.perf_counter() - started
            excess.append((found - best) / max(problem.loss(problem.least), 1e-12))
        gaps = np.array(excess)
        rows.append(
            {
                "knobs": knobs,
                "problems": len(gaps),
                "optimal_share": float((gaps < 1e-9).mean()),
                "mean_excess": float(gaps.mean()),
                "largest_excess": float(gaps.max()),
                "time_ratio": ours_s / all_s,
            }
        )
    return rows


def netadapt(
    reference: Reference, parts: tuple[Part, ...], problem: Problem, trials: int
) -> tuple[list[Trial], int]:
    """From the whole, in steps of a factor 0.7 of the cost, always the part that loses least for it."""
    graph, tried, results = reference.graph, 0, dict[Choice, Trial]()
    choice: Choice = (0,) * len(parts)
    limit = problem.limits[0].limit
    while problem.limits[0].read(problem.cost(choice)) > limit:
        aim = max(limit, 0.7 * problem.limits[0].read(problem.cost(choice)))
        options = []
        for index, part in enumerate(parts):
            for setting in range(choice[index] + 1, len(part.widths)):
                other = (*choice[:index], setting, *choice[index + 1 :])
                if problem.limits[0].read(problem.cost(other)) <= aim:
                    options.append(other)
                    break
        if not options:
            last = min(range(len(parts)), key=lambda i: choice[i] / max(1, len(parts[i].widths) - 1))
            options = [(*choice[:last], len(parts[last].widths) - 1, *choice[last + 1 :])]
        results = {o: reference.trials(widths_at(parts, o, graph.full)) for o in options}
        tried += len(results)
        choice = min(results, key=lambda o: results[o].loss)
    within = [trial for other, trial in results.items() if problem.fits(other)]
    return within or [reference.trials(widths_at(parts, choice, graph.full))], tried


def evolution(
    reference: Reference, parts: tuple[Part, ...], problem: Problem, trials: int
) -> tuple[list[Trial], int]:
    """Mutations of the best so far, each shrunk into the budget, for as many trials; a hundred attempts at each."""
    generator = np.random.default_rng(0)
    population = [(problem_choice := equal(problem))]
    results = {problem_choice: reference.trials(widths_at(parts, problem_choice, reference.graph.full))}
    for _ in range(100 * trials):
        if len(results) >= trials:
            break
        parent = min(
            (population[int(i)] for i in generator.integers(0, len(population), 2)),
            key=lambda choice: results[choice].loss,
        )
        child = tuple(
            int(np.clip(setting + generator.integers(-4, 5), 0, len(part.widths) - 1))
            for setting, part in zip(parent, parts)
        )
        while not problem.fits(child) and child != problem.least:
            index = int(generator.integers(0, len(child)))
            lower = min(child[index] + 1, len(parts[index].widths) - 1)
            child = (*child[:index], lower, *child[index + 1 :])
        if child not in results and problem.fits(child):
            results[child] = reference.trials(widths_at(parts, child, reference.graph.full))
            population = sorted(results, key=lambda choice: results[choice].loss)[:8]
    return list(results.values()), len(results)


WAYS: dict[str, Callable[[Reference, tuple[Part, ...], Problem, int], tuple[list[Trial], int]]] = {
    "netadapt": netadapt,
    "evolution": evolution,
}
"""(reference, parts, problem, trials that ours took) → trials within the budget, and how many there were."""


def real(policy: str, share: float, seed: int) -> list[dict[str, Any]]:
    """Three ways to spend trials, on one reference and one budget."""
    rows, spent = [], 0
    for name in ("component-aware", *WAYS):
        reference = prepare(policy, seed, "act", ROOT.parent / "build" / "allocation")
        scores, price = reference.scores("taylor"), reference.price("deployed")
        budget = reference.budget(share, "deployed")
        parts = component_parts(reference.graph, scores, on_board(reference.graph, price))
        knobs = [Knob(p.name, p.widths, tuple(map(float, range(len(p.widths))))) for p in parts]
        problem = Problem(knobs, reference.graph.full, price, budget)
        started = time.perf_counter()
        if name == "component-aware":
            trial = search(reference.graph, scores, price, budget, reference.trials).trial
            spent = tried = len(reference.trials.asked)
        else:
            within, tried = WAYS[name](reference, parts, problem, spent)
            best = sorted(within, key=lambda trial: trial.loss)[:FINALISTS]
            trial = min((reference.trials.final(t.widths) for t in best), key=lambda trial: trial.loss)
        rows.append(
            {
                "policy": policy,
                "budget_percent": 100 * share,
                "seed": seed,
                "search": name,
                "loss": trial.loss,
                "error": trial.error,
                "kept": trial.kept,
                "trials": tried,
                "wall_s": round(time.perf_counter() - started, 1),
            }
        )
    return rows


def main() -> None:
    """Runs both, prints both, writes both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=800)
    parser.add_argument("--policies", nargs="+", default=["tdmpc_cartpole"])
    parser.add_argument("--budgets", nargs="*", type=float, default=[2, 1], help="percent; none for none")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    document = {
        "command": " ".join(["python bench/allocation.py", *sys.argv[1:]]),
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
        "small": against_exhaustive(args.problems),
        "real": [
            row
            for policy, percent, seed in product(args.policies, args.budgets, args.seeds)
            for row in real(policy, percent / 100, seed)
        ],
    }
    console = Console(width=120)
    for name in ("small", "real"):
        rows = document[name]
        if rows:
            table = Table(*rows[0], box=None)
            for row in rows:
                table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
            console.print(table)
    write_atomically(ROOT / "results" / "allocation.json", to_json(document))
    print(json.dumps({"written": "bench/results/allocation.json"}))


if __name__ == "__main__":
    main()
