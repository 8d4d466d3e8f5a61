"""The same .tflite on emulated Raspberry Pi cores and here: whether their answers are the same bytes.

    python bench/aarch64.py --write

Policies are exported as a robot gets them (``secateur export --format python``), in every dtype; a convolutional
probe network joins them. Each file, on vectors drawn over its inputs' range, and each bundle's ``Policy.act``, on
observations of its task, are run by one program and one version of the runtime, here and under user-mode QEMU, once
per core. int8 is what must be equal; of the others the largest difference is shown. Nothing here is a time of a
Raspberry Pi. The emulated machine is set up in secateur's cache folder on first use (aarch64_machine.py says what it
needs).
Exit code 1 where an int8 answer differs.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pages
from aarch64_machine import RUNTIMES, machine

from secateur.deploy import ExportRequest, export
from secateur.device.timing import RUNNER
from secateur.errors import SecateurError
from secateur.export.litert import drawn_inputs, signatures
from secateur.export.quantize import CALIBRATED, RECIPES, convert
from secateur.latency.probes import Pictures, probe_model
from secateur.policy.load import load
from secateur.policy.policy import Task

RESULTS = Path(__file__).parent / "results" / "aarch64.json"
ANSWERS = Path(__file__).with_name("aarch64_answers.py")
TARGET = "raspberry-pi-4b"
CONVOLUTIONS = Pictures(32, (16, 32, 32))
CORES = {
    "cortex-a53": "Raspberry Pi Zero 2 W, 3B+",
    "cortex-a72": "Raspberry Pi 4B",
    "cortex-a76": "Raspberry Pi 5",
}
EXACT = "int8"

Job = dict[str, list[dict[str, Any]]]


def observations(task: Task, count: int, seed: int) -> dict[str, np.ndarray]:
    """Met under actions by chance: key → ``[count, ...]``; the key of a plain array is empty."""
    env, met = task.make_env(), list[Any]()
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    while len(met) < count:
        met.append(observation)
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observation, _ = env.reset(seed=seed + len(met))
    env.close()
    if isinstance(met[0], dict):
        return {key: np.stack([o[key] for o in met]) for key in met[0]}
    return {"": np.stack(met)}


def made(policies: Sequence[str], dtypes: Sequence[str], calls: int, folder: Path) -> Job:
    """Everything that is to be answered, written into the folder."""
    job: Job = {"files": [], "bundles": []}

    def add(source: str, dtype: str, path: Path) -> None:
        model = path.read_bytes()
        for signature in signatures(model):
            given = f"in{len(job['files'])}.npz"
            np.savez(folder / given, **drawn_inputs(model, signature, calls))  # type: ignore[arg-type]
            named = {"source": source, "dtype": dtype, "what": str(signature)}
            job["files"].append({**named, "file": str(path), "signature": signature, "inputs": given})

    for policy in policies:
        task = load(policy).task
        for dtype in dtypes:
            bundle = folder / f"{policy}.{dtype}"
            export(ExportRequest(policy, TARGET, "python", dtype=dtype), bundle, f"export {policy}")
            document = json.loads((bundle / "policy.json").read_text())
            for file in document["files"]:
                add(policy, dtype, bundle / file["file"])
            if task is not None and document["action"] is not None and document["observation"] is not None:
                given = f"observations{len(job['bundles'])}.npz"
                np.savez(folder / given, **observations(task, calls, 0))  # type: ignore[arg-type]
                named = {"source": policy, "dtype": dtype, "what": "robot.py"}
                job["bundles"].append({**named, "bundle": str(bundle), "inputs": given})
    plain = probe_model(CONVOLUTIONS)
    samples = {"": drawn_inputs(plain, signatures(plain)[0], 64)}
    for dtype in dtypes:
        path = folder / f"convolutions.{dtype}.tflite"
        each = {name: array[:, 0] for name, array in samples[""].items()}
        path.write_bytes(convert(plain, dtype, {"": each} if dtype in CALIBRATED else {}))
        add("convolutions", dtype, path)
    return job


def answered(job: Job, folder: Path, place: str, command: Sequence[str]) -> tuple[dict[str, Any], list[dict]]:
    """What it ran on, and the answers in the job's order."""
    at = folder / place
    at.mkdir()
    parts = {
        kind: [
            {**part, "inputs": str(folder / part["inputs"]), "outputs": f"{kind}{number}.npz"}
            for number, part in enumerate(listed)
        ]
        for kind, listed in job.items()
    }
    (at / "job.json").write_text(json.dumps({**parts, "runner": str(RUNNER.parent)}))
    done = subprocess.run([*command, str(ANSWERS), str(at / "job.json")], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise SecateurError(
            "the program ends with its answers",
            f"{place}: exit {done.returncode}; {said[-1] if said else 'it said nothing'}",
            "Run its command by hand: " + shlex.join([*command, str(ANSWERS), "JOB.json"]),
        )
    found = json.loads((at / "machine.json").read_text())
    answers = [dict(np.load(at / p["outputs"]).items()) for kind in ("files", "bundles") for p in parts[kind]]
    return found, answers


def compared(job: Job, here: list[dict], there: list[dict]) -> list[dict[str, Any]]:
    """Part by part: bytes that differ, and the largest difference over the range of the output here."""
    rows = []
    for part, wanted, got in zip([*job["files"], *job["bundles"]], here, there, strict=True):
        wrong, share, count = 0, 0.0, 0
        for name, array in wanted.items():
            other = got[name]
            assert (other.dtype, other.shape) == (array.dtype, array.shape)
            wrong += int(
                (np.frombuffer(array.tobytes(), np.uint8) != np.frombuffer(other.tobytes(), np.uint8)).sum()
            )
            real = array.astype(np.float64)
            span = float(real.max() - real.min()) or 1.0
            share = max(share, float(np.abs(real - other.astype(np.float64)).max()) / span)
            count += array.nbytes
        named = {key: part[key] for key in ("source", "dtype", "what")}
        rows.append({**named, "bytes": count, "mismatched_bytes": wrong, "largest_difference_share": share})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policies", nargs="*", default=["tdmpc_cartpole", "tdmpc_cheetah"])
    parser.add_argument("--dtypes", nargs="+", default=list(RECIPES), choices=RECIPES)
    parser.add_argument("--cores", nargs="*", default=list(CORES), help="as qemu-aarch64 -cpu takes them")
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES), choices=RUNTIMES)
    parser.add_argument("--calls", type=int, default=400, help="vectors for each file")
    parser.add_argument("--write", action="store_true", help=f"into bench/results/{RESULTS.name}")
    arguments = parser.parse_args()
    machines = {runtime: machine(runtime) for runtime in arguments.runtimes}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        job = made(arguments.policies, arguments.dtypes, arguments.calls, folder)
        runs, first = list[dict[str, Any]](), dict[str, Any]()
        for runtime, both in machines.items():
            own, here = answered(job, folder, runtime, both.here())
            if first:
                runs.append(
                    {"core": None, **own, "here": first["own"], "answers": compared(job, first["here"], here)}
                )
                show(runs[-1])
            else:
                first = {"own": own, "here": here}
            for core in arguments.cores:
                found, there = answered(job, folder, f"{runtime}.{core}", both.emulated(core))
                named = {
                    "core": core,
                    "of": CORES.get(core),
                    **found,
                    "emulator": f"QEMU {both.version}",
                    "here": own,
                }
                runs.append({**named, "answers": compared(job, here, there)})
                show(runs[-1])
    command = shlex.join(["python", "bench/aarch64.py", *sys.argv[1:]])
    text = json.dumps({"command": command, "calls": arguments.calls, "runs": runs}, indent=2) + "\n"
    if arguments.write:
        RESULTS.write_text(text, encoding="utf-8")
    exact = [row for run in runs if run["core"] for row in run["answers"] if row["dtype"] == EXACT]
    sys.exit(any(row["mismatched_bytes"] for row in exact))


def table(document: dict[str, Any]) -> str:
    """Markdown: bytes that differ, and by how much at most, by runtime and dtype; the cores side by side.

    The last column is a runtime against the first one, both here.
    """
    cores = sorted({run["core"] for run in document["runs"]}, key=lambda core: core or "~")
    heads = [core or "this machine, against the first runtime" for core in cores]
    found: dict[tuple[str, str], dict[str, str]] = {}
    for run in document["runs"]:
        for dtype in dict.fromkeys(row["dtype"] for row in run["answers"]):
            rows = [row for row in run["answers"] if row["dtype"] == dtype]
            wrong, count = (sum(row[key] for row in rows) for key in ("mismatched_bytes", "bytes"))
            worst = max(row["largest_difference_share"] for row in rows)
            cell = f"{wrong:,} of {count:,}" + (f", {worst:.1e}" if wrong else "")
            found.setdefault((f"{run['library']} {run['library_version']}", dtype), {})[run["core"]] = cell
    rows = (
        [f"{library}, {dtype}", *(cells.get(core, "") for core in cores)]
        for (library, dtype), cells in found.items()
    )
    return pages.table(["", *heads], rows)


def show(run: dict[str, Any]) -> None:
    """A table."""
    where = (
        f"on {run['core']}, {run['emulator']}" if run["core"] else f"here, against {run['here']['library']}"
    )
    print(f"{run['library']} {run['library_version']} {where}")
    for row in run["answers"]:
        named = f"  {row['source']:16} {row['what']:10} {row['dtype']:8}"
        wrong = f"{row['mismatched_bytes']:,} of {row['bytes']:,} bytes differ"
        print(f"{named} {wrong}, by {row['largest_difference_share']:.2g} of the range", flush=True)


if __name__ == "__main__":
    try:
        main()
    except SecateurError as error:
        sys.exit(f"Error: {error}")
