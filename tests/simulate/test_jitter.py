"""Delays that vary: the same as a constant one where they do not, drawn by seed, in order."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.errors import SecateurError
from secateur.policy.policy import Task
from secateur.simulate import FunctionController, rollout
from secateur.simulate.jitter import Jitter, from_quantiles, held_up, later

GAINS = np.array([1.0, 15.0, 1.5, 3.0])
TASK = Task(
    make_env=lambda: gymnasium.make("InvertedPendulum-v5", max_episode_steps=60),
    to_inputs=lambda observation: {"observation": observation[None]},
    to_action=lambda outputs: outputs["action"],
    control_hz=25.0,
)
EXPERT = FunctionController(lambda observation: np.clip([observation @ GAINS], -3, 3))


@given(st.floats(0.0, 0.09), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_jitter_without_variation_is_a_constant_delay(delay_s, seed):
    constant = rollout(TASK, EXPERT, seed, delay_s)
    varying = rollout(TASK, EXPERT, seed, Jitter((delay_s, delay_s)))
    assert varying.length == constant.length
    np.testing.assert_allclose(varying.observations, constant.observations, atol=1e-6)


def test_jitter_is_a_function_of_the_seed():
    jitter = Jitter((0.001, 0.02, 0.045))
    one, two, other = (rollout(TASK, EXPERT, seed, jitter) for seed in (3, 3, 4))
    assert np.array_equal(one.observations, two.observations)
    assert not np.array_equal(one.observations, other.observations[: len(one.observations)])
    assert not np.array_equal(one.observations, rollout(TASK, EXPERT, 3, 0.022).observations)


class Echo(gymnasium.Env):
    """Observes nothing, notes the actions it is given."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1000, 1000, (1,), np.float64)

    def reset(self, *, seed=None, options=None):
        self.given = []
        return np.zeros(1), {}

    def step(self, action):
        self.given.append(float(action[0]))
        return np.zeros(1), 0.0, False, len(self.given) == 60, {}


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_actions_take_effect_in_their_order_and_never_early(samples, seed):
    env = held_up(Echo(), Jitter(tuple(samples)), 10.0)
    env.reset(seed=seed)
    for step in range(60):
        env.step(np.array([step + 1.0]))
    given = env.unwrapped.given
    assert given == sorted(given)
    most = int(np.ceil(max(samples) * 10 - 1e-6))
    for step, action in enumerate(given):
        assert step + 1 - most <= max(action, step + 1 - most)
        assert action <= step + 1
        assert action >= step + 1 - most or action == 0


@pytest.mark.parametrize("samples", [(), (-1.0,), (float("nan"),), (0.1, float("inf"))])
def test_what_is_no_latency_is_refused(samples):
    with pytest.raises(SecateurError, match="finite and not negative"):
        Jitter(samples)


def test_latencies_between_quantiles():
    jitter = from_quantiles((0.0, 0.5, 0.9, 1.0), (1e-3, 2e-3, 3e-3, 9e-3), 1000)
    assert np.quantile(jitter.samples_s, 0.5) == pytest.approx(2e-3, rel=0.01)
    assert np.quantile(jitter.samples_s, 0.9) == pytest.approx(3e-3, rel=0.01)
    assert 8e-3 < jitter.worst_s <= 9e-3
    assert later(jitter, 1e-3).mean_s == pytest.approx(jitter.mean_s + 1e-3)
    assert later(0.5, 0.25) == 0.75
