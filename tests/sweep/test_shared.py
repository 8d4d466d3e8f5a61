"""Shared stages: made once whoever asks, whole or not at all, and not taken for whole when changed."""

import multiprocessing
import os
import signal

import pytest

from secateur import shared as module
from secateur.errors import SecateurError
from secateur.shared import SharedStages


def _write(to):
    (to / "out.txt").write_text("hello")


def _ask(folder, start):
    start.wait()
    for number in range(5):
        made = SharedStages(folder).stage("one", {"number": number}, _write)
        assert (made / "out.txt").read_text() == "hello"


def test_many_processes_make_each_stage_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    processes = [context.Process(target=_ask, args=(tmp_path, start)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert SharedStages(tmp_path).made() == {"one": 5}


def _die(folder):
    def write(to):
        (to / "out.txt").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    SharedStages(folder).stage("one", {}, write)


def test_who_is_killed_leaves_the_lock_and_nothing_whole(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_die, args=(tmp_path,))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    made = SharedStages(tmp_path).stage("one", {}, _write)
    assert (made / "out.txt").read_text() == "hello"
    assert SharedStages(tmp_path).made() == {"one": 1}


def test_inputs_and_code_decide(tmp_path, monkeypatch):
    stages = SharedStages(tmp_path)
    first = stages.stage("one", {"seed": 0}, _write)
    assert stages.stage("one", {"seed": 0}, _write) == first
    assert stages.stage("one", {"seed": 1}, _write) != first
    assert stages.stage("two", {"seed": 0}, _write) != first
    monkeypatch.setattr(module, "code_sha256", lambda: "other")
    assert stages.stage("one", {"seed": 0}, _write) != first
    assert stages.made() == {"one": 3, "two": 1}


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "record"])
def test_what_was_changed_is_an_error(tmp_path, damage):
    stages = SharedStages(tmp_path)
    made = stages.stage("one", {}, _write)
    if damage == "changed":
        (made / "out.txt").write_text("tampered")
    elif damage == "missing":
        (made / "out.txt").unlink()
    elif damage == "added":
        (made / "more.txt").write_text("more")
    else:
        (made / "stage.json").write_text("{")
    with pytest.raises(SecateurError, match="and it is made again"):
        stages.stage("one", {}, _write)
