"""The shipped quadruped: its environment, its contract, its skill, its training, and the chain."""

import csv
import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.policy.load import load
from secateur.prune.analyse import analyse
from secateur.runfolder import read_finished
from secateur.shipped import shipped_folder
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollout, rollouts

FOLDER = shipped_folder("policies") / "quadruped_walk"
UNSEEN = 31_000


@pytest.fixture(scope="module")
def loaded():
    return load("quadruped_walk")


@pytest.fixture(scope="module")
def environment(loaded):
    return sys.modules[loaded.task.make_env.__module__]


def played(env, seed, steps=30):
    """Observations of an episode under actions that only the step decides, and its rewards."""
    seen, rewards = [env.reset(seed=seed)[0]], []
    for step in range(steps):
        observation, reward, *_ = env.step(np.sin(0.7 * step + np.arange(8)).astype(np.float32))
        seen.append(observation)
        rewards.append(reward)
    return np.stack([np.append(o["history"], o["command"]) for o in seen]), np.array(rewards)


@pytest.mark.filterwarnings("ignore:.*observation space.*infinity")
def test_environment_passes_gymnasiums_check(loaded):
    env = loaded.task.make_env()
    check_env(env, skip_render_check=True)
    assert env.dt == pytest.approx(1 / loaded.task.control_hz)


def test_an_episode_is_a_function_of_its_seed_though_others_live(loaded):
    alone, rewards = played(loaded.task.make_env(), 5)
    env, other = loaded.task.make_env(), loaded.task.make_env()
    played(env, 9)
    seen = [env.reset(seed=5)[0]]
    for step in range(len(rewards)):
        if step % 10 == 0:
            played(other, step, 5)
        seen.append(env.step(np.sin(0.7 * step + np.arange(8)).astype(np.float32))[0])
    again = np.stack([np.append(o["history"], o["command"]) for o in seen])
    np.testing.assert_array_equal(alone, again)
    assert np.isfinite(alone).all()
    assert ((rewards >= 0) & (rewards <= 1)).all()


def test_ground_friction_and_commands_are_of_the_seed(loaded, environment):
    one, two = loaded.task.make_env(), loaded.task.make_env()
    one.reset(seed=1)
    two.reset(seed=2)
    assert not np.array_equal(one.model.hfield_data, two.model.hfield_data)
    assert one.model.geom("ground").friction[0] != two.model.geom("ground").friction[0]
    two.reset(seed=1)
    np.testing.assert_array_equal(one.model.hfield_data, two.model.hfield_data)
    np.testing.assert_array_equal(one.commands, two.commands)
    assert (one.commands >= environment.LOWEST).all()
    assert (one.commands <= environment.HIGHEST).all()
    assert 0 <= one.model.hfield_data.min() <= one.model.hfield_data.max() <= 1


def test_the_history_holds_the_last_frames_and_the_command_changes_once(loaded, environment):
    env = loaded.task.make_env()
    before, _ = env.reset(seed=3)
    assert (before["history"] == before["history"][:, :1]).all()
    commands = {tuple(before["command"][:3])}
    for _ in range(environment.EPISODE_STEPS):
        action = np.full(8, 0.1, np.float32)
        after, _, fallen, over, _ = env.step(action)
        np.testing.assert_array_equal(after["history"][:, :-1], before["history"][:, 1:])
        np.testing.assert_array_equal(after["history"][-8:, -1], action)
        np.testing.assert_allclose(np.hypot(*after["command"][3:]), 1, rtol=1e-6)
        commands.add(tuple(after["command"][:3]))
        before = after
        assert not fallen
    assert over
    assert len(commands) == 2


def test_a_robot_on_its_back_has_fallen_and_gets_nothing(loaded):
    env = loaded.task.make_env()
    env.reset(seed=0)
    position = env.data.qpos.copy()
    position[3:7] = 0, 1, 0, 0
    env.set_state(position, env.data.qvel)
    _, reward, terminated, _, info = env.step(np.zeros(8, np.float32))
    assert terminated
    assert reward == 0
    assert info["fallen"]
    assert not info["success"]


@settings(max_examples=50, deadline=None)
@given(st.floats(-np.pi, np.pi), st.tuples(*[st.floats(-2, 2)] * 3))
def test_velocities_are_along_the_heading(environment, heading, wanted):
    """What moves forward, left and about the vertical at any heading is told so."""
    position, velocity = np.zeros(15), np.zeros(14)
    position[3], position[6] = np.cos(heading / 2), np.sin(heading / 2)
    forward, left, turn = wanted
    velocity[0] = forward * np.cos(heading) - left * np.sin(heading)
    velocity[1] = forward * np.sin(heading) + left * np.cos(heading)
    velocity[5] = turn
    np.testing.assert_allclose(environment.velocity_of(position, velocity), wanted, atol=1e-9)
    np.testing.assert_allclose(environment.up_of(position[3:7]), [0, 0, 1], atol=1e-12)


def test_the_reward_falls_with_either_error(environment):
    best = environment.reward_of(np.array(0.0), np.array(0.0))
    assert best == pytest.approx(1)
    errors = np.linspace(0, 0.8, 20)
    assert (np.diff(environment.reward_of(errors, np.array(0.0))) < 0).all()
    assert (np.diff(environment.reward_of(np.array(0.0), errors)) < 0).all()


def test_a_herd_of_training_moves_as_the_environment_does(loaded):
    """One physics and one reward: to the last bit, in the second of two robots too."""
    herd_module = importlib.import_module(loaded.task.make_env.__module__.replace("environment", "herd"))
    herd = herd_module.Herd(2, 77, np.random.default_rng(0))
    herd.count[:] = 0
    env = loaded.task.make_env()
    env.reset(seed=78)
    for step in range(20):
        action = np.sin(0.5 * step + np.arange(8)).astype(np.float32)
        _, reward, *_ = env.step(action)
        given = herd.step(np.stack([-action, action]))
        np.testing.assert_array_equal(herd.position[1], env.data.qpos)
        assert given.reward[1] == pytest.approx(reward, rel=1e-12)
        np.testing.assert_array_equal(herd.told()[1], env._observation()["command"])


def test_components_entries_and_groups(loaded):
    policy = loaded.policy
    assert [c.name for c in policy.components] == ["history", "command", "fusion", "actor", "critic"]
    assert policy.deployed == "act"
    assert sum(p.numel() for p in policy.module.parameters()) == 350_921
    groups = {g.name: (g.width, g.components) for g in analyse(policy).groups}
    assert groups["history.2"] == (128, ("history",))
    assert groups["history.5"] == (256, ("history", "fusion"))
    assert groups["command.2"] == (64, ("command", "fusion"))
    assert groups["fusion.0"] == (256, ("fusion", "actor", "critic"))
    assert len(groups) == 8


def test_it_walks_as_told_and_the_same_way_beside_others(loaded):
    controller = torch_controller(loaded.policy, loaded.task)
    several = rollouts(loaded.task, controller, range(UNSEEN, UNSEEN + 4))
    assert np.mean([done.return_ for done in several]) > 190
    assert all(done.success for done in several)
    alone = rollout(loaded.task, controller, UNSEEN + 1)
    np.testing.assert_array_equal(alone.actions, several[1].actions)
    np.testing.assert_array_equal(alone.rewards, several[1].rewards)


def test_the_card_states_what_was_measured():
    card = (FOLDER / "README.md").read_text()
    for row in json.loads((FOLDER / "evaluation.json").read_text())["seed0"].values():
        if isinstance(row, dict):
            figures = (f"{row[key]:.2f}" for key in ("return_mean", "return_sd", "return_min"))
            errors = (f"{row[key]:.3f}" for key in ("linear_error_m_s", "turn_error_rad_s"))
            told = " | ".join([*figures, *errors, str(row["falls"]), str(row["successes"])])
            assert told in card
    for name in ("expert_curve.csv", "learning_curve.csv"):
        with (FOLDER / name).open() as file:
            last = list(csv.DictReader(file))[-1]
        assert f"{int(last['env_steps']):,} environment steps" in card
        assert f"{int(last['updates']):,} updates" in card


@pytest.mark.slow
def test_the_training_script_repeats_itself_and_goes_on_from_a_checkpoint(tmp_path):
    def run(name, iterations=4):
        subprocess.run(
            [
                *(sys.executable, str(FOLDER / "train.py"), "--seed", "5", "--out", str(tmp_path / name)),
                *("--robots", "4", "--horizon", "4", "--iterations", str(iterations), "--batch", "8"),
                *("--rounds", "2", "--steps", "4", "--passes", "2", "--student-width", "8"),
            ],
            check=True,
        )
        return (tmp_path / name / "weights.safetensors").read_bytes()

    assert run("one") == run("two")
    run("two", iterations=6)
    with (tmp_path / "two" / "expert_curve.csv").open() as file:
        assert [int(row["env_steps"]) for row in csv.DictReader(file)] == [64, 96]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_it_goes_the_whole_way_to_a_cortex_m7(secateur, tmp_path):
    code, _, said = secateur(
        *("prune", "quadruped_walk", "--target", "stm32f746", "--flash", "256KiB", "--ram", "16KiB"),
        *("--strategy", "uniform", "--recovery-steps", "8", "--episodes", "2", "-o", tmp_path / "run"),
    )
    assert code in (0, 4), said
    summary = read_finished(tmp_path / "run")
    assert summary["measured"]["flash_bytes"] <= 256 * 1024
    assert summary["measured"]["ram_bytes"] <= 16 * 1024
    assert summary["parity"]["int8_mismatched_bytes"] == 0
    assert summary["closed_loop"]["baseline_return_mean"] > 190
