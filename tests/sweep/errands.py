"""What workers do in tests in place of pruning: a function that workers can import, told by the policy's name."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from secateur.budget import parse_budget
from secateur.pipeline import PruneRequest
from secateur.runfolder import write_atomically
from secateur.sweep import one
from secateur.sweep.one import Errand, Outcome, TimeIsUp, limited

BUDGET = parse_budget("4KiB", None, None, None, [], "5%")


def errand(folder: Path, number: int, policy: str = "quick", limit_s: float = 60.0) -> Errand:
    return Errand(number, PruneRequest(policy, "board", BUDGET, seed=number), folder, limit_s, {}, "")


def summary(number: int) -> dict:
    """Enough of one, a function of the number alone."""
    return {
        "measured": None,
        "predicted": {"parameters": 10, "flash_bytes": 1000 + number, "ram_bytes": 99, "latency_s": 1e-3},
        "closed_loop": {
            "return_ratio": 1.0 - 0.01 * number,
            "ci95": [0.9, 1.0],
            "artifact_return_mean": 9.0,
            "baseline_return_mean": 10.0,
            "success_rate": None,
        },
        "verdict": {"passed": number % 2 == 0, "violations": [] if number % 2 == 0 else ["too little"]},
        "artifacts": [{"path": "widths.json", "sha256": "00", "bytes": 1}],
    }


def pretend(errand: Errand) -> Outcome:
    """Ends as its policy's name says; every attempt at it leaves a line in ``log``.

    One that ``meets`` waits until another that meets is under way elsewhere.
    """
    began = time.perf_counter()
    with (errand.folder / "log").open("a") as log:
        log.write(f"{errand.number}\n")
    errand.started.parent.mkdir(parents=True, exist_ok=True)
    errand.started.write_text(str(os.getpid()))
    kind = errand.request.policy
    one.GRACE_S = 0.5
    if kind == "aborts":
        os.abort()
    if kind == "killed-once" and not (once := errand.folder / f"once-{errand.number}").exists():
        once.touch()
        os.kill(os.getpid(), 9)
    if kind == "slow":
        time.sleep(0.3)
    if kind == "meets":
        (errand.folder / f"met-{errand.number}").touch()
    if kind == "exits":
        sys.exit(0)
    if kind == "raises":
        raise ZeroDivisionError("of the worker's own")
    try:
        with limited(errand.limit_s, errand.hung):
            if kind == "endless":
                child = subprocess.Popen(["sleep", "300"])
                write_atomically(errand.folder / f"child-{errand.number}", str(child.pid).encode())
            while kind == "endless" or (kind == "meets" and len(list(errand.folder.glob("met-*"))) < 2):
                time.sleep(0.01)
            if kind == "deaf":
                sum(range(10**15))  # one call of C, which looks at no signal
    except TimeIsUp:
        errand.started.unlink()
        return Outcome(errand.number, "timeout", 1, "given up")
    finished = summary(errand.number)
    write_atomically(errand.folder / f"done-{errand.number}", b"x")
    errand.started.unlink()
    status = "passed" if finished["verdict"]["passed"] else "failed"
    code = 0 if status == "passed" else 4
    if kind == "untold":
        finished["lock"] = threading.Lock()  # which no other process can be given
    return Outcome(errand.number, status, code, "", finished, time.perf_counter() - began, str(os.getpid()))


def vanish(errand: Errand) -> Outcome:
    """Ends its process before the run has begun, as where there is no memory for it."""
    os._exit(3)
