"""Real runs: one process, two, broken off and resumed, changed in between: the same results, or one clear error."""

import json
import os
import signal
import subprocess
import time

import pytest
from example import run, secateur, write_example
from ray_nodes import two_nodes

from secateur.sweep.results import look

pytestmark = pytest.mark.slow

TOML = """
policies = ["balance"]
targets = ["stm32f446re", "rp2040"]
strategies = ["uniform"]
[[budgets]]
flash = "4KiB"
ram = "1KiB"
[[budgets]]
flash = "600B"
[prune]
episodes = 4
recovery_steps = 16
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "zwei Läufe (方策) & 'mehr'"
    folder.mkdir()
    write_example(folder)
    (folder / "many.toml").write_text(TOML)
    return folder / "many.toml"


@pytest.fixture(scope="module")
def whole(file):
    """An unbroken sweep on one process: (folder, document)."""
    folder = file.parent / "whole"
    done = run(secateur("sweep", str(file), "-o", str(folder), "--jobs", "1", "--json"))
    return folder, json.loads(done.stdout)


def _digest(folder):
    results = look(folder)
    try:
        return results.digest()
    finally:
        results.close()


def test_the_sweep_says_what_came_of_every_run(whole):
    folder, document = whole
    assert [run["status"] == "infeasible" for run in document["runs"]] == [False, False, True, True]
    assert {run["status"] for run in document["runs"]} <= {"passed", "failed", "infeasible"}
    assert document["shared_stages"] == {"template": 1, "original": 1, "scores": 1, "baseline": 1}
    for run_ in document["runs"][:2]:
        summary = json.loads((folder / "runs" / f"{run_['run']:05d}" / "summary.json").read_text())
        assert summary["measured"]["flash_bytes"] == run_["flash_bytes"] <= 4096
    assert "600" in document["runs"][3]["message"]
    assert run(secateur("report", str(folder))).stdout.startswith("4 runs: ")


def test_a_single_prune_gives_the_same(whole, file, tmp_path):
    options = ("--flash", "4KiB", "--ram", "1KiB", "--strategy", "uniform")
    quick = ("--episodes", "4", "--recovery-steps", "16")
    alone = tmp_path / "alone"
    command = (
        "prune",
        str(file.parent / "balance"),
        "--target",
        "rp2040",
        *options,
        *quick,
        "-o",
        str(alone),
    )
    assert run(secateur(*command), check=False).returncode in (0, 4)
    for name in (
        "widths.json",
        "policy.safetensors",
        "model.int8.tflite",
        "golden.npz",
        "c/policy_weights.c",
    ):
        assert (alone / name).read_bytes() == (whole[0] / "runs" / "00001" / name).read_bytes(), name
    one, other = (json.loads((f / "summary.json").read_text()) for f in (alone, whole[0] / "runs" / "00001"))
    for section in ("predicted", "measured", "parity", "closed_loop", "verdict", "widths", "recovery"):
        assert one[section] == other[section], section


def test_killed_and_resumed_on_two_processes_it_is_the_same(whole, file):
    folder = file.parent / "broken"
    command = secateur("sweep", str(file), "-o", str(folder), "--jobs", "2")
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not list(folder.glob("runs/*/.stages/export")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "--resume" in run(command, check=False).stderr
    run([*command, "--resume"])
    assert _digest(folder) == _digest(whole[0])
    before = len(look(folder).attempts())
    run([*command, "--resume"])
    assert len(look(folder).attempts()) == before


@pytest.mark.exhaustive
def test_on_a_cluster_it_is_the_same(whole, file):
    pytest.importorskip("ray")
    folder = file.parent / "cluster"
    with two_nodes() as (cluster, _):
        run(secateur("sweep", str(file), "-o", str(folder), "--cluster", cluster.address))
    assert _digest(folder) == _digest(whole[0])
    results = look(folder)
    assert len(results.attempts()) == 4
    results.close()


def test_a_policy_that_changed_is_not_gone_on_with(whole, file):
    policy = file.parent / "balance" / "policy.py"
    text = policy.read_text()
    try:
        policy.write_text(text + "\n# another\n")
        refused = run(secateur("sweep", str(file), "-o", str(whole[0]), "--resume"), check=False)
    finally:
        policy.write_text(text)
    assert refused.returncode == 1
    assert "inputs of policy" in refused.stderr


def test_what_cannot_be_asked_for_is_refused_before_the_first_run(file, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text(TOML.replace("balance", str(file.parent / "balance")).replace("rp2040", "rp2041"))
    refused = run(secateur("sweep", str(bad), "-o", str(tmp_path / "out")), check=False)
    assert refused.returncode == 1
    assert "Did you mean rp2040?" in refused.stderr
    assert "(run 1: " in refused.stderr
    assert not (tmp_path / "out" / "results.sqlite").exists()
