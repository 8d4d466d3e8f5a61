"""The same int8 file gives the same bytes on emulated Raspberry Pi cores as here, by ``bench/aarch64.py``."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.errors import SecateurError

BENCH = Path(__file__).parent.parent.parent / "bench"
EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"


@pytest.mark.slow
@pytest.mark.skipif(not EXHAUSTIVE, reason="fetches QEMU and an Arm userland; SECATEUR_EXHAUSTIVE=1 runs it")
def test_int8_answers_the_same_bytes_on_emulated_cores():
    """Both shipped policies and a convolutional network, 400 vectors each, as files and through robot.py."""
    command = ["--dtypes", "int8", "--runtimes", "ai-edge-litert", "--cores", "cortex-a53", "cortex-a72"]
    done = subprocess.run(
        [sys.executable, str(BENCH / "aarch64.py"), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = [line for line in done.stdout.splitlines() if " int8 " in line]
    assert len(rows) == 10
    assert all(" 0 of " in row for row in rows), done.stdout


def test_recorded_figures(monkeypatch):
    """What docs/computers.md says: of a whole run, on the versions that it names."""
    monkeypatch.syspath_prepend(str(BENCH))
    bench = importlib.import_module("aarch64")
    document = json.loads((BENCH / "results" / "aarch64.json").read_bytes())
    assert document["command"] == "python bench/aarch64.py --write"
    page = (BENCH.parent / "docs" / "computers.md").read_text(encoding="utf-8")
    assert bench.table(document) in page
    runs = {(run["library"], run["core"]): run["answers"] for run in document["runs"] if run["core"]}
    assert {core for _, core in runs} == {"cortex-a53", "cortex-a72", "cortex-a76"}
    exact = [row for answers in runs.values() for row in answers if row["dtype"] == "int8"]
    assert {row["source"] for row in exact} == {"tdmpc_cartpole", "tdmpc_cheetah", "convolutions"}
    assert {row["what"] for row in exact} >= {"act", "robot.py"}
    assert not any(row["mismatched_bytes"] for row in exact)


def test_a_system_that_is_no_debian_is_refused(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCH))
    machines = importlib.import_module("aarch64_machine")
    monkeypatch.setenv("SECATEUR_CACHE", str(tmp_path))
    monkeypatch.setattr(machines.shutil, "which", lambda name: None)
    with pytest.raises(SecateurError, match=r"there is no dpkg.*container"):
        machines.machine("ai-edge-litert")
    assert not list(tmp_path.iterdir())
