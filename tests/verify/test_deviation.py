"""Where an artifact differs: known differences of known episodes."""

import gymnasium
import numpy as np
import pytest

from secateur.simulate import FunctionController
from secateur.simulate.rollout import Trajectory
from secateur.verify.deviation import compare, divergence_steps, replayed

LIMITED = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
FREE = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)


def episode(observations, actions, seed=0):
    actions = np.asarray(actions, float).reshape(-1, 1)
    observations = np.asarray(observations, float).reshape(len(actions) + 1, -1)
    return Trajectory(seed, observations, actions, np.zeros(len(actions)), 0.0, None, False)


def test_actions_are_counted_in_half_ranges():
    one = episode(np.linspace(0, 1, 5), [0, 2, -2, 0])
    two = episode(np.linspace(0, 1, 5), [0, 1, -1, 0])
    found = compare([one], [two], [two.actions], LIMITED, 10.0)
    assert found["unit"] == "half range"
    assert found["action_max"] == 0.5
    assert found["action_rms"] == pytest.approx(np.sqrt(0.5**2 / 2))
    assert found["baseline"] == {
        "change_per_step": pytest.approx(4 / 3),
        "saturated_share": 0.5,
        "effort": 0.5,
    }
    assert found["artifact"]["saturated_share"] == 0.0
    assert found["diverged_share"] == 0.0
    assert found["divergence_median_s"] is None
    assert found["action_rms_over_time"] == [[0.0, 0.0], [0.1, 0.5], [0.2, 0.5], [0.3, 0.0]]


def test_without_limits_they_are_counted_in_spreads():
    one = episode(np.arange(5), [0, 2, 0, 2])
    found = compare([one], [one], [one.actions + 1], FREE, 10.0)
    assert found["action_rms"] == pytest.approx(1.0)
    assert found["baseline"]["saturated_share"] is None


def test_ways_part_half_a_spread_apart_or_where_one_ends():
    walk = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    away = walk.copy()
    away[3:] += 0.6 * walk.std()
    base = episode(walk, np.zeros(5))
    assert divergence_steps([base], [episode(away, np.zeros(5))]) == [3]
    assert divergence_steps([base], [episode(walk, np.zeros(5))]) == [None]
    assert divergence_steps([base], [episode(walk[:4], np.zeros(3))]) == [4]


def test_a_controller_is_asked_along_somebody_elses_episode():
    one = episode(np.arange(6.0), np.zeros(5))
    answers = replayed(FunctionController(lambda observation: 2 * observation), one)
    assert answers.ravel().tolist() == [0, 2, 4, 6, 8]
