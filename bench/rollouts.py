"""Episodes a second: ours against Gymnasium's vector environments, same policy, same seeds, same run.

    python bench/rollouts.py --policy tdmpc_cartpole --episodes 64 --rounds 5

One process: SyncVectorEnv, eight environments, the policy called with eight rows. Several: AsyncVectorEnv, its eight
environments in processes of their own. Rounds of all are interleaved, and ratios are of one round; medians are
reported. Everybody's returns are compared. In one process time is that of the processor, which other work on the
machine does not lengthen; among several it is the wall's, and beside it the processor time of the busiest process: what
it would take if each had a core to itself.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np
import torch

from secateur.openers import Original
from secateur.simulate.parallel import (
    CALM,
    close_all,
    episodes,
    largest_peak_bytes,
    own_peak_bytes,
)
from secateur.verify.scores import score
from secateur.workers import Processes, Workers, processes_here

LANES = 8


def vector_returns(envs: Any, policy: Any, task: Any, seeds: list[int]) -> list[float]:
    """The same episodes in a vector environment whose episodes are all equally long."""
    entry, module, returns = policy.entry(), policy.module, []
    names = list(entry.example_inputs)
    for start in range(0, len(seeds), LANES):
        observations, _ = envs.reset(seed=seeds[start : start + LANES])
        total, over = np.zeros(LANES), False
        while not over:
            inputs = {names[0]: torch.from_numpy(np.asarray(observations, np.float32))}
            with torch.no_grad():
                (actions,) = entry.run(module, inputs).values()
            observations, rewards, terminated, truncated, _ = envs.step(actions.numpy())
            total += rewards
            over = bool((terminated | truncated).any())
        returns += total.tolist()
    return returns


def processor_s() -> dict[int, float]:
    """Processor time of this process and of each process that it started, s."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(entry.name) == os.getpid() or int(fields[1]) == os.getpid():
                found[int(entry.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def busiest_s(run: Callable[[], list[float]]) -> float:
    """Processor time of the busiest process while it runs: what it would take with a core for each."""
    before = processor_s()
    run()
    return max(spent - before.get(process, 0.0) for process, spent in processor_s().items())


def timed(run: Callable[[], list[float]], clock: Callable[[], float]) -> tuple[float, list[float]]:
    """Seconds, and what it gave."""
    started = clock()
    found = run()
    return clock() - started, found


def main(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    original = Original(args.policy)
    policy, task = original.loaded()
    seeds = [int(s) for s in np.random.SeedSequence(0).generate_state(args.episodes)]
    several = args.processes or processes_here()
    workers = Processes(several) if several > 1 else None

    def ours(workers: Workers | None) -> list[float]:
        return [each.return_ for each in episodes(original, seeds, CALM, workers, score)]

    sync = gymnasium.vector.SyncVectorEnv([task.make_env] * LANES)
    parallel = gymnasium.vector.AsyncVectorEnv([task.make_env] * LANES) if several > 1 else None
    runs: dict[str, tuple[Callable[[], list[float]], Callable[[], float]]] = {
        "ours_1": (lambda: ours(None), time.process_time),
        "sync": (lambda: vector_returns(sync, policy, task, seeds), time.process_time),
    }
    if parallel is not None:
        runs |= {
            "ours_1_wall": (lambda: ours(None), time.perf_counter),
            "ours_n": (lambda: ours(workers), time.perf_counter),
            "async": (lambda: vector_returns(parallel, policy, task, seeds), time.perf_counter),
        }
    for run, _ in runs.values():  # processes start, policies are loaded
        run()
    rounds: list[dict[str, float]] = []
    returns: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        spent = {}
        for name, (run, clock) in runs.items():
            spent[name], returns[name] = timed(run, clock)
        if parallel is not None:
            spent["ours_n_busiest_cpu"] = busiest_s(lambda: ours(workers))
        rounds.append(spent)
    for vector in (sync, parallel):
        if vector is not None:
            vector.close()
    close_all()
    equal = {name: bool(np.allclose(found, returns["ours_1"], rtol=1e-3)) for name, found in returns.items()}

    def ratio(slow: str, quick: str) -> float | None:
        found = [spent[slow] / spent[quick] for spent in rounds if slow in spent and quick in spent]
        return round(median(found), 3) if found else None

    return {
        "command": "python bench/rollouts.py " + " ".join(sys.argv[1:]),
        "policy": args.policy,
        "episodes": args.episodes,
        "processes": several,
        "seconds": {name: round(median(spent[name] for spent in rounds), 3) for name in runs},
        "episodes_per_s": {
            name: round(args.episodes / median(spent[name] for spent in rounds), 1) for name in runs
        },
        "faster_than_sync_one_core_cpu": ratio("sync", "ours_1"),
        "faster_than_async": ratio("async", "ours_n"),
        "faster_with_processes_wall": ratio("ours_1_wall", "ours_n"),
        "faster_with_processes_by_cpu_of_the_busiest": ratio("ours_1", "ours_n_busiest_cpu"),
        "load_average": os.getloadavg(),
        "returns_agree_with_ours_1": equal,
        "peak_memory_bytes": {"main": own_peak_bytes(), "largest_process_of_ours": largest_peak_bytes()},
        "rounds": rounds,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="tdmpc_cartpole")
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--out", type=Path)
    found = main(parser.parse_args())
    text = json.dumps(found, indent=2)
    print(text)
    if (out := parser.parse_args().out) is not None:
        out.write_text(text + "\n")
