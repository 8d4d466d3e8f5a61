"""What files and a bundle answer on the computer that this runs on; needs numpy and a TFLite runtime alone.

    python aarch64_answers.py JOB.json

The job names runner.py's folder, files with their inputs, and bundles with their observations. Answers go into .npz
files beside it, and what it ran on into machine.json.
"""

import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np


def file_answers(runner: Any, library: Any, job: dict[str, Any], folder: Path) -> None:
    """Calls one signature on every row."""
    network = runner.Network(library, str(folder / job["file"]), job["signature"], 1)
    given = dict(np.load(folder / job["inputs"]).items())
    rows = range(len(next(iter(given.values()))))
    answers = [network.call({name: array[row] for name, array in given.items()})[0] for row in rows]
    np.savez(folder / job["outputs"], **{name: np.stack([a[name] for a in answers]) for name in answers[0]})


def bundle_answers(job: dict[str, Any], folder: Path) -> None:
    """Acts on every observation with the bundle's own robot.py."""
    bundle = Path(job["bundle"])
    sys.path.insert(0, str(bundle))
    robot = importlib.import_module("robot")
    policy = robot.Policy(bundle)
    observations = dict(np.load(folder / job["inputs"]).items())
    rows = range(len(next(iter(observations.values()))))
    single = set(observations) == {""}
    actions = [
        policy.act(
            observations[""][row] if single else {name: array[row] for name, array in observations.items()}
        )
        for row in rows
    ]
    np.savez(folder / job["outputs"], action=np.stack(actions))
    sys.path.remove(str(bundle))
    del sys.modules["robot"]


def main() -> None:
    path = Path(sys.argv[1])
    job, folder = json.loads(path.read_text()), path.parent
    sys.path.insert(0, job["runner"])
    runner = importlib.import_module("runner")
    library, name, version = runner.load_runtime()
    for part in job["files"]:
        file_answers(runner, library, part, folder)
    for part in job["bundles"]:
        bundle_answers(part, folder)
    found = {
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "library": name,
        "library_version": version,
    }
    (folder / "machine.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
