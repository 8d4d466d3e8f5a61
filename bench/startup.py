"""How long secateur takes to start, against a peer: a Python that imports the libraries every such program has.

    python bench/startup.py

The peer is ``python -c "import typer, rich"`` in the same interpreter. Commands take turns, so that a busy machine
slows all of them alike; what is told is the ratio of medians, of processor time and by the clock.
"""

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "startup.json"
COMMANDS = {
    "peer": ["-c", "import typer, rich"],
    "import secateur": ["-c", "import secateur"],
    "import secateur.cli": ["-c", "import secateur.cli"],
    "secateur --help": ["-m", "secateur.cli", "--help"],
    "secateur targets": ["-m", "secateur.cli", "targets"],
    "secateur sweep --help": ["-m", "secateur.cli", "sweep", "--help"],
}


def timed(arguments: list[str]) -> tuple[float, float]:
    """Processor time and time by the clock of one start, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "toolkit")}
    subprocess.run([sys.executable, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    for arguments in COMMANDS.values():
        timed(arguments)  # writes byte code
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(asked.repeats):
        for name, arguments in COMMANDS.items():
            times[name].append(timed(arguments))
    medians = {name: [statistics.median(column) for column in zip(*found)] for name, found in times.items()}
    document = {
        "command": "python " + shlex.join(sys.argv),
        "repeats": asked.repeats,
        "load_average": round(os.getloadavg()[0], 2),
        "commands": {
            name: {
                "cpu_s": round(cpu, 4),
                "wall_s": round(wall, 4),
                "cpu_over_peer": round(cpu / medians["peer"][0], 3),
                "wall_over_peer": round(wall / medians["peer"][1], 3),
            }
            for name, (cpu, wall) in medians.items()
        },
    }
    print(json.dumps(document, indent=2))
    asked.result.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
