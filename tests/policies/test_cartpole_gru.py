"""The shipped recurrent cart-pole: what it does not see, its contract, its skill, its training, and the chain."""

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from secateur.policy.load import load
from secateur.prune.analyse import analyse
from secateur.runfolder import read_finished
from secateur.shipped import shipped_folder
from secateur.simulate.controller import torch_controller
from secateur.simulate.dry_run import acted_on
from secateur.simulate.rollout import rollout

FOLDER = shipped_folder("policies") / "cartpole_gru"
UNSEEN = 31_000


@pytest.fixture(scope="module")
def loaded():
    return load("cartpole_gru")


def test_velocities_are_hidden_and_nothing_else(loaded):
    env = loaded.task.make_env()
    seen, _ = env.reset(seed=3)
    for step in range(20):
        inner = env.unwrapped
        whole = inner._observation()
        assert seen.shape == (3,)
        assert env.observation_space.contains(seen)
        np.testing.assert_array_equal(seen, whole[:3])
        x, theta = inner.data.qpos
        np.testing.assert_allclose(seen, [x, np.cos(theta), np.sin(theta)], atol=1e-6)
        seen, reward, _, _, info = env.step(np.array([np.sin(step)], np.float32))
        assert 0 <= reward <= 1
        assert not info["success"]


def test_components_entry_and_groups(loaded):
    policy = loaded.policy
    assert [c.name for c in policy.components] == ["encoder", "memory", "head"]
    assert policy.entry().feeds == {"hidden": ("act.hidden",)}
    assert sum(p.numel() for p in policy.module.parameters()) == 29_441
    graph = analyse(policy, acted_on(policy, loaded.task))
    assert {g.name: (g.width, g.components) for g in graph.groups} == {
        "encoder.0": (64, ("encoder", "memory")),
        "memory.weight_ih": (64, ("memory", "head")),
        "head.0": (64, ("head",)),
    }


def test_it_swings_up_and_holds(loaded):
    done = rollout(loaded.task, torch_controller(loaded.policy, loaded.task), UNSEEN)
    assert done.success
    assert done.return_ > 200


def test_without_its_memory_it_cannot(loaded):
    entry = loaded.policy.entry()

    def act(module, observation, hidden):
        return module.act(observation, torch.zeros_like(hidden))

    forgetful = replace(loaded.policy, entries=(replace(entry, call=act),))
    done = rollout(loaded.task, torch_controller(forgetful, loaded.task), UNSEEN)
    assert not done.success
    assert done.return_ < 100


def test_the_card_states_what_was_measured():
    card = (FOLDER / "README.md").read_text()
    for run in json.loads((FOLDER / "evaluation.json").read_text()).values():
        for row in run.values():
            if isinstance(row, dict):
                figures = (f"{row[key]:.2f}" for key in ("return_mean", "return_sd", "return_min"))
                assert " | ".join([*figures, str(row["successes"])]) in card
    with (FOLDER / "learning_curve.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert f"{int(last['env_steps']):,} environment steps" in card
    assert f"{int(last['updates']):,} updates" in card


@pytest.mark.slow
def test_the_training_script_learns_and_repeats_itself(tmp_path):
    def run(name):
        subprocess.run(
            [
                *(sys.executable, str(FOLDER / "train.py"), "--seed", "5", "--out", str(tmp_path / name)),
                *("--rounds", "2", "--episodes", "2", "--passes", "2", "--batch", "2", "--width", "8"),
            ],
            check=True,
        )
        return (tmp_path / name / "weights.safetensors").read_bytes()

    assert run("one") == run("two")
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert summary["updates"] == 40
    assert summary["rounds"] == 2


@pytest.mark.slow
def test_it_goes_the_whole_way_to_a_cortex_m0(secateur, tmp_path):
    code, _, said = secateur(
        *("prune", "cartpole_gru", "--target", "rp2040", "--flash", "16KiB", "--ram", "1KiB"),
        *("--strategy", "uniform", "--recovery-steps", "8", "--episodes", "2", "-o", tmp_path / "run"),
    )
    assert code == 4, said
    summary = read_finished(tmp_path / "run")
    assert summary["measured"]["flash_bytes"] <= 16 * 1024
    assert summary["measured"]["ram_bytes"] <= 1024
    assert summary["parity"]["int8_mismatched_bytes"] == 0
    assert summary["closed_loop"]["baseline_return_mean"] > 200
