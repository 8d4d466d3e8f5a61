"""Worker processes: every run once, crashes told apart, time kept, nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from errands import errand, pretend, vanish

from secateur.errors import BudgetInfeasible, SecateurError, UsageError
from secateur.sweep.engine import call, outcomes
from secateur.sweep.one import carry_out
from secateur.workers import Processes


def _outcomes(folder, kinds, jobs, limit_s=60.0):
    errands = [errand(folder, number, kind, limit_s) for number, kind in enumerate(kinds)]
    return sorted(outcomes(Processes(jobs), errands, pretend), key=lambda one: one.number)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_run_is_carried_out_once(tmp_path, jobs):
    ended = _outcomes(tmp_path, ["quick"] * 12, jobs)
    assert [one.number for one in ended] == list(range(12))
    assert {one.status for one in ended} == {"passed", "failed"}
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(12))
    assert len({one.worker for one in ended}) <= jobs


def test_a_native_crash_ends_its_run_and_no_other(tmp_path):
    ended = _outcomes(tmp_path, ["quick", "aborts", "slow", "quick", "killed-once", "slow"], 2)
    assert [one.status for one in ended] == ["passed", "crashed", "passed", "failed", "passed", "failed"]
    assert "process died" in ended[1].message
    log = list(map(int, (tmp_path / "log").read_text().split()))
    assert log.count(0) == 1
    assert log.count(1) == 2


def test_what_a_worker_raises_ends_its_run_and_no_other(tmp_path):
    ended = _outcomes(tmp_path, ["quick", "raises", "slow", "untold", "quick", "exits"], 2)
    assert [one.status for one in ended] == ["passed", "error", "passed", "error", "passed", "error"]
    assert ended[5].message.endswith("SystemExit: 0")
    assert ended[1].message == "ZeroDivisionError: of the worker's own"
    assert "pickle" in ended[3].message


def refuse(kind):
    raise kind("a rule", "what was seen", "what to do")


@pytest.mark.parametrize("kind", [SecateurError, BudgetInfeasible, UsageError])
def test_a_refusal_in_a_worker_is_the_same_here(kind):
    with pytest.raises(kind) as refused:
        call(Processes(1), refuse, kind)
    assert (refused.value.rule, refused.value.remedy) == ("a rule", "what to do")
    assert refused.value.exit_code == kind.exit_code


def test_a_run_without_end_is_given_up(tmp_path):
    ended = _outcomes(tmp_path, ["quick", "endless", "quick"], 2, limit_s=0.5)
    assert [one.status for one in ended] == ["passed", "timeout", "passed"]


def test_native_code_that_does_not_listen_is_ended(tmp_path):
    ended = _outcomes(tmp_path, ["quick", "deaf", "quick"], 2, limit_s=0.5)
    assert [one.status for one in ended] == ["passed", "timeout", "passed"]
    assert "errands.py" in ended[1].message


def test_a_run_whose_process_was_ended_is_not_begun_again(tmp_path):
    """As on a cluster, which tries again elsewhere."""
    asked = errand(tmp_path, 0)
    asked.hung.parent.mkdir()
    asked.hung.write_text('Thread 0x1:\n  File "deaf.py", line 3 in act\n')
    outcome = carry_out(asked)
    assert (outcome.status, "deaf.py" in outcome.message) == ("timeout", True)
    assert not asked.hung.exists()


def test_workers_that_never_begin_are_one_error(tmp_path):
    with pytest.raises(SecateurError, match="before any of 4 runs had begun"):
        list(outcomes(Processes(2), [errand(tmp_path, number) for number in range(4)], vanish))


DRIVER = """
import sys
from pathlib import Path
from errands import errand, pretend
from secateur.sweep.engine import outcomes
from secateur.workers import Processes
errands = [errand(Path(sys.argv[1]), n, "endless", 300) for n in range(4)]
list(outcomes(Processes(2), errands, pretend))
"""


def _workers(folder):
    """Processes that are at work on an errand, by what they wrote."""
    return [int(path.read_text() or 0) for path in (folder / ".started").glob("*[0-9]")]


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_driver(tmp_path, how):
    paths = os.pathsep.join(p for p in sys.path if p)
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(_workers(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    while len(list(tmp_path.glob("child-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = _workers(tmp_path)
    assert len(workers) == 2
    workers += [int(path.read_text()) for path in tmp_path.glob("child-*")]
    assert len(workers) == 4
    assert all(map(_alive, workers))
    driver.send_signal(how)
    driver.wait(timeout=30)
    while any(map(_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in workers if _alive(pid)]
