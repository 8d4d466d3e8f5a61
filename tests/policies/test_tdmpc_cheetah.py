"""The shipped runner: its environment, its contract and its skill."""

import sys

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from secateur.policy.load import load
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts


@pytest.fixture(scope="module")
def loaded():
    return load("tdmpc_cheetah")


@pytest.mark.filterwarnings("ignore:.*observation space.*infinity")
def test_environment_passes_gymnasiums_check(loaded):
    env = loaded.task.make_env()
    check_env(env, skip_render_check=True)
    assert env.dt == pytest.approx(1 / loaded.task.control_hz)


def test_the_body_has_the_masses_and_limits_of_dm_controls_cheetah(loaded):
    model = loaded.task.make_env().unwrapped.model
    assert model.body_mass.sum() == pytest.approx(14.0)
    assert (model.nq, model.nv, model.nu) == (9, 9, 6)
    assert model.actuator_gear[:, 0].tolist() == [120, 90, 60, 90, 60, 30]
    assert model.opt.timestep == 0.01


def test_same_seed_same_episode_and_another_seed_another(loaded):
    def trace(seed: int) -> np.ndarray:
        env = loaded.task.make_env()
        rows = [env.reset(seed=seed)[0]]
        actions = np.random.default_rng(0).uniform(-1, 1, (20, 6)).astype(np.float32)
        rows += [env.step(action)[0] for action in actions]
        return np.stack(rows)

    assert np.array_equal(trace(5), trace(5))
    assert not np.array_equal(trace(5), trace(6))


def test_the_reward_is_the_speed_in_tenths_up_to_ten(loaded):
    env = loaded.task.make_env()
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(np.zeros(6, np.float32))
    assert reward == pytest.approx(min(max(info["speed_m_s"] / 10, 0), 1))
    assert not terminated
    assert not truncated


def test_entries_feed_each_other_and_the_planner_is_declared(loaded):
    policy = loaded.policy
    with torch.no_grad():
        shapes = {
            name: tuple(out.shape)
            for entry in policy.entries
            for name, out in entry.run(policy.module, entry.example_inputs).items()
        }
    assert shapes == {
        "action": (1, 6),
        "encode": (1, 50),
        "next": (1, 50),
        "reward": (1, 1),
        "q1": (1, 1),
        "q2": (1, 1),
        "choose": (1, 6),
    }
    assert policy.deployed == "act"
    assert policy.planning.settings.samples == 64


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_reference_runs(loaded, seed):
    policy = sys.modules[loaded.task.to_inputs.__module__].policy(seed)
    episodes = rollouts(loaded.task, torch_controller(policy, loaded.task), range(31_000, 31_004))
    assert min(episode.return_ for episode in episodes) > 100
