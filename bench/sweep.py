"""A sweep of 24 small runs: one process against two, shared stages counted, the same results however they came about.

    python bench/sweep.py                     everything; a machine with two idle cores
    python bench/sweep.py --parts resumed     some of it; parts measured before, of the same code, stay

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
import threading
import time
from collections.abc import Iterator, Mapping
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
episodes = 8
recovery_steps = 80
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
    try:
        return json.loads(done.stdout), seconds
    except json.JSONDecodeError as error:
        raise SystemExit(f"{shlex.join(command)}: no JSON ({error})\n{done.stdout[:3000]}") from error


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
        "median_run_cpu_s": round(statistics.median(one["cpu_s"] for one in attempts), 2),
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


def measured(parts: list[str], repeats: int, work: Path) -> Iterator[tuple[str, dict]]:
    """Part by part, as they end: its name and the facts of its sweep."""
    from example import write_example

    write_example(work)
    file = work / "many.toml"
    file.write_text(TOML)
    for repeat in range(repeats):
        for part, jobs in (("one", "1"), ("two", "2")):
            if part in parts:
                folder = work / f"{part}{repeat}"
                yield part, facts(folder, *carried_out(file, folder, "--jobs", jobs))
    if "cluster" in parts:
        yield "cluster", facts(work / "cluster", *on_cluster(file, work / "cluster"))
    if "lost" in parts:
        yield "lost", facts(work / "lost", *on_cluster(file, work / "lost", lose_after=4))
    if "resumed" in parts:
        document, seconds, before = killed_and_resumed(file, work / "resumed")
        yield "resumed", facts(work / "resumed", document, seconds) | {"results_before": before}


def judged(sweeps: Mapping[str, list[dict]]) -> dict:
    """What is claimed, and whether it holds of every sweep."""
    every = [one for repeats in sweeps.values() for one in repeats]
    claims = {
        "equal_results": len({one["results_sha256"] for one in every}) == 1,
        "every_run_once": all(one["runs_with_a_result"] == one["attempts"] == RUNS for one in every),
        "stages_made_once": all(
            one["shared_stages"] == {"template": 1, "original": SEEDS, "scores": SEEDS, "baseline": SEEDS}
            for one in every
        ),
    }
    pairs = list(zip(sweeps.get("one", ()), sweeps.get("two", ())))
    if pairs:
        claims["speed_ups"] = [round(one["seconds"] / two["seconds"], 3) for one, two in pairs]
        claims["speed_up"] = statistics.median(claims["speed_ups"])
        claims["speed_up_by_cpu_time"] = round(
            statistics.median(one["run_cpu_s"] / two["busiest_worker_cpu_s"] for one, two in pairs), 3
        )
        claims["speed_up_wanted"] = WANTED
    return claims


def kept(file: Path) -> dict[str, list[dict]]:
    """Parts that another call has measured, of the same code."""
    from secateur.shared import code_sha256

    document = json.loads(file.read_bytes()) if file.is_file() else {}
    return document["sweeps"] if document.get("toolkit_sha256") == code_sha256() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3, help="of one and two processes, interleaved")
    parser.add_argument(
        "--work",
        type=Path,
        default=ROOT / "build" / "sweep-bench",
        help="emptied and removed; the results name the policy's folder, so parts of several calls are in one place",
    )
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    from secateur.runfolder import to_json, write_atomically
    from secateur.shared import code_sha256

    sweeps = {part: found for part, found in kept(asked.result).items() if part not in asked.parts}
    work = asked.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    load = os.getloadavg()[0]
    document: dict = {}
    try:
        for part, found in measured(asked.parts, asked.repeats, work):
            now = os.getloadavg()[0]
            found["load_average_before_and_after"] = [round(load, 2), round(now, 2)]
            load = now
            sweeps.setdefault(part, []).append(found)
            document = {
                "command": "python bench/sweep.py",
                "toolkit_sha256": code_sha256(),
                "cores": len(os.sched_getaffinity(0)),
                "runs": RUNS,
                "claims": judged(sweeps),
                "sweeps": sweeps,
            }
            write_atomically(asked.result, to_json(document))
            print(part, found["seconds"], "s", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(json.dumps(document.get("claims"), indent=2))


if __name__ == "__main__":
    main()
