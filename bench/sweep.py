"""A sweep of 24 small runs: one process against two, shared stages counted, the same results however they came about.

    python bench/sweep.py                     everything; a machine with two idle cores
    python bench/sweep.py --parts resumed     some of it

Speed-up is a ratio of two sweeps of the same call, interleaved. Beside that by the clock stands that by processor time
(all work of one process over the busiest of two), which other work on the machine touches less: what two workers would
make of cores of their own.

Parts: ``one`` and ``two`` processes, a ``cluster`` of two Ray nodes on this machine, one of which is ``lost`` in
mid-sweep, and a sweep that is killed and ``resumed``.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "sweep.json"
sys.path += [str(ROOT / "toolkit"), str(ROOT / "tests"), str(ROOT / "tests" / "sweep")]

from ray_nodes import two_nodes  # noqa: E402

TOML = """
policies = ["balance"]
targets = ["stm32f446re", "rp2040", "stm32l4r5zi", "nrf52840", "stm32f405", "stm32g0b1re"]
strategies = ["uniform"]
seeds = [0, 1]
[[budgets]]
flash = "4KiB"
ram = "1KiB"
[[budgets]]
flash = "6KiB"
[prune]
episodes = 4
recovery_steps = 0
"""
RUNS, SEEDS = 24, 2
WANTED = 1.8
PARTS = ("one", "two", "cluster", "lost", "resumed")


def sweep(file: Path, folder: Path, *options: str) -> tuple[list[str], dict[str, str]]:
    """The command line and its environment; each sweep has a cache of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path[-3:]),
        "SECATEUR_CACHE": str(folder.parent / f"cache-{folder.name}"),
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    return [
        sys.executable,
        "-m",
        "secateur.cli",
        "sweep",
        str(file),
        "-o",
        str(folder),
        "--json",
        *options,
    ], environment


def carried_out(file: Path, folder: Path, *options: str) -> tuple[dict, float]:
    """The document of a sweep, and the seconds that the command took, start-up and checks included."""
    command, environment = sweep(file, folder, *options)
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout), seconds


def facts(folder: Path, document: dict, seconds: float) -> dict:
    """What is compared of a sweep."""
    from secateur.sweep.results import look

    results = look(folder)
    attempts = results.attempts()
    results.close()
    by_worker: dict[str, float] = {}
    for one in attempts:
        by_worker[one["worker"]] = by_worker.get(one["worker"], 0.0) + one["cpu_s"]
    ended = [one["run"] for one in attempts]
    return {
        "seconds": round(seconds, 2),
        "run_cpu_s": round(sum(one["cpu_s"] for one in attempts), 2),
        "busiest_worker_cpu_s": round(max(by_worker.values()), 2),
        "workers": len(by_worker),
        "runs_with_a_result": len(set(ended)),
        "attempts": len(ended),
        "counts": document["counts"],
        "shared_stages": document["shared_stages"],
        "results_sha256": document["results_sha256"],
        "run_folder_bytes": sum(p.stat().st_size for p in (folder / "runs").rglob("*") if p.is_file()),
        "shared_bytes": sum(p.stat().st_size for p in (folder / "shared").rglob("*") if p.is_file()),
        "results_bytes": (folder / "results.sqlite").stat().st_size,
    }


def on_cluster(file: Path, folder: Path, lose_after: int | None = None) -> tuple[dict, float]:
    """A sweep on two nodes of one CPU each; one goes away when so many results have landed."""
    done = threading.Event()

    def lose() -> None:
        while lose_after is not None and not done.wait(0.2):
            if len(list(folder.glob("runs/*/summary.json"))) >= lose_after:
                nodes.remove_node(other, allow_graceful=False)
                return

    with two_nodes() as (nodes, other):
        thread = threading.Thread(target=lose)
        thread.start()
        try:
            return carried_out(file, folder, "--cluster", nodes.address)
        finally:
            done.set()
            thread.join()


def killed_and_resumed(file: Path, folder: Path) -> tuple[dict, float, int]:
    """A sweep on two processes that is killed after some results, then resumed; and how many there were."""
    from secateur.sweep.results import look

    command, environment = sweep(file, folder, "--jobs", "2")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(folder.glob("runs/*/summary.json"))) < 5 and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    results = look(folder)
    before = len(results.finished())
    results.close()
    return *carried_out(file, folder, "--jobs", "2", "--resume"), before


def measured(parts: list[str], repeats: int, work: Path) -> dict:
    from example import write_example

    write_example(work)
    file = work / "many.toml"
    file.write_text(TOML)
    found: dict[str, dict] = {}
    ratios = []
    for repeat in range(repeats):
        for part, jobs in (("one", "1"), ("two", "2")):
            if part in parts:
                folder = work / f"{part}{repeat}"
                found[part] = facts(folder, *carried_out(file, folder, "--jobs", jobs))
        if {"one", "two"} <= found.keys():
            ratios.append(found["one"]["seconds"] / found["two"]["seconds"])
    if "cluster" in parts:
        found["cluster"] = facts(work / "cluster", *on_cluster(file, work / "cluster"))
    if "lost" in parts:
        found["lost"] = facts(work / "lost", *on_cluster(file, work / "lost", lose_after=4))
    if "resumed" in parts:
        document, seconds, before = killed_and_resumed(file, work / "resumed")
        found["resumed"] = facts(work / "resumed", document, seconds) | {"results_before": before}
    return {"sweeps": found, "speed_ups": [round(ratio, 3) for ratio in ratios]}


def judged(found: dict) -> dict:
    """What is claimed, and whether it holds."""
    sweeps = found["sweeps"]
    claims = {
        "equal_results": len({one["results_sha256"] for one in sweeps.values()}) == 1,
        "every_run_once": all(
            one["runs_with_a_result"] == one["attempts"] == RUNS for one in sweeps.values()
        ),
        "stages_made_once": all(
            one["shared_stages"] == {"template": 1, "original": SEEDS, "scores": SEEDS, "baseline": SEEDS}
            for one in sweeps.values()
        ),
    }
    if found["speed_ups"]:
        claims["speed_up"] = statistics.median(found["speed_ups"])
        claims["speed_up_by_cpu_time"] = round(
            sweeps["one"]["run_cpu_s"] / sweeps["two"]["busiest_worker_cpu_s"], 3
        )
        claims["speed_up_wanted"] = WANTED
    return claims


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3, help="of one and two processes, interleaved")
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    load = os.getloadavg()
    work = Path(tempfile.mkdtemp(prefix="secateur-sweep-"))
    try:
        found = measured(asked.parts, asked.repeats, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    document = {
        "command": "python " + shlex.join(sys.argv),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before_and_after": [round(load[0], 2), round(os.getloadavg()[0], 2)],
        "runs": RUNS,
        **found,
        "claims": judged(found),
    }
    print(json.dumps(document, indent=2))
    asked.result.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
