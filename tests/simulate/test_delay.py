"""Delay: what the physics is really given, one physics step at a time."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.errors import SecateurError
from secateur.policy.policy import Task
from secateur.simulate import FunctionController, delayed, effective_delay_s, rollout

FRAMES, TIMESTEP = 5, 0.02
PERIOD = FRAMES * TIMESTEP


def pendulum():
    return gymnasium.make("InvertedPendulum-v5", frame_skip=FRAMES, max_episode_steps=40)


def controls(env, actions):
    """The control of every physics step while ``actions`` are taken, from a reset on."""
    inner, seen = env.unwrapped, []
    step = inner._step_mujoco_simulation

    def record(ctrl, frames):
        seen.extend([float(ctrl[0])] * frames)
        step(ctrl, frames)

    inner._step_mujoco_simulation = record
    env.reset(seed=0)
    for action in actions:
        env.step(np.array([action], np.float32))
    return np.array(seen)


def task(make_env=pendulum, control_hz=1 / PERIOD):
    return Task(make_env, lambda observation: {}, lambda outputs: None, control_hz)


def test_no_delay_is_no_wrapper():
    env = pendulum()
    assert delayed(env, 0.0, 1 / PERIOD) is env


def test_a_delay_of_next_to_nothing_is_bit_for_bit_none():
    expert = FunctionController(lambda o: np.clip([o @ [1, 15, 1.5, 3]], -3, 3))
    plain, tiny = rollout(task(), expert, 4), rollout(task(), expert, 4, delay_s=1e-9)
    assert np.array_equal(plain.observations, tiny.observations)
    assert np.array_equal(plain.rewards, tiny.rewards)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 6, 10, 13])
def test_whole_physics_steps_shift_the_control(steps):
    actions = [1, -2, 0.5, 2]
    seen = controls(delayed(pendulum(), steps * TIMESTEP, 1 / PERIOD), actions)
    undelayed = np.repeat(np.float32(actions), FRAMES)
    assert np.array_equal(seen, np.concatenate([np.zeros(steps), undelayed])[: len(undelayed)])


@given(delay=st.floats(0, 3.5 * PERIOD), actions=st.lists(st.floats(-3, 3, width=32), min_size=5, max_size=8))
@settings(max_examples=40, deadline=None)
def test_the_impulse_is_that_of_the_exact_switch(delay, actions):
    seen = controls(delayed(pendulum(), delay, 1 / PERIOD), actions)
    assert len(seen) == FRAMES * len(actions)
    edges = np.arange(len(seen) + 1) * TIMESTEP
    exact = np.interp(edges - delay, np.arange(len(actions) + 1) * PERIOD, np.cumsum([0, *actions]) * PERIOD)
    np.testing.assert_allclose(np.cumsum(seen) * TIMESTEP, exact[1:], atol=1e-5)


def test_an_episode_starts_with_an_empty_history():
    env = delayed(pendulum(), 1.3 * PERIOD, 1 / PERIOD)
    first = controls(env, [3, 3, 3])
    env.unwrapped._step_mujoco_simulation = type(env.unwrapped)._step_mujoco_simulation.__get__(env.unwrapped)
    assert np.array_equal(controls(env, [3, 3, 3]), first)


def test_neutral_control_lies_in_its_range():
    env = delayed(pendulum(), PERIOD, 1 / PERIOD)
    env.unwrapped.model.actuator_ctrlrange[:] = [1.5, 3]
    assert controls(env, [2, 3]).tolist() == [1.5] * FRAMES + [2.0] * FRAMES


def test_a_controller_one_period_late_falls():
    expert = FunctionController(lambda o: np.clip([o @ [1, 15, 1.5, 3]], -3, 3))
    quick = task(lambda: gymnasium.make("InvertedPendulum-v5", max_episode_steps=100), 25)
    assert rollout(quick, expert, 0).length == 100
    assert rollout(quick, expert, 0, delay_s=0.08).length < 100


def test_the_rate_must_be_the_environments():
    with pytest.raises(SecateurError, match="control_hz is 33, the environment steps at 10 Hz"):
        delayed(pendulum(), 0.01, 33)


def test_repeated_actions_are_delayed_too():
    class Twice(gymnasium.Wrapper):
        def step(self, action):
            self.env.step(action)
            return self.env.step(action)

    env = delayed(Twice(pendulum()), PERIOD + TIMESTEP, 1 / (2 * PERIOD))
    assert controls(env, [1, 2]).tolist() == [0] * 6 + [1] * 10 + [2] * 4


def test_physics_that_passes_the_delay_by_is_noticed():
    env = pendulum()
    env.unwrapped.step = lambda action: (np.zeros(4), 0.0, False, False, {})
    late = delayed(env, 0.01, 1 / PERIOD)
    late.reset(seed=0)
    with pytest.raises(SecateurError, match="did not call it"):
        late.step(np.zeros(1, np.float32))


class Line(gymnasium.Env):
    """Not a MujocoEnv: shows the action it was given."""

    observation_space = spaces.Box(-9, 9, (1,))

    def __init__(self, action_space=None):
        self.action_space = action_space or spaces.Box(-9, 9, (1,))

    def reset(self, *, seed=None, options=None):
        return np.zeros(1), {}

    def step(self, action):
        return np.array(action), 0.0, False, False, {}


@pytest.mark.parametrize(("delay", "periods"), [(0.001, 1), (0.1, 1), (0.10001, 2), (0.2, 2), (0.3, 3)])
def test_other_environments_are_delayed_by_whole_periods_rounded_up(delay, periods):
    env = delayed(Line(), delay, 10)
    env.reset()
    seen = [env.step(np.array([n]))[0][0] for n in range(1, 6)]
    assert seen == ([0] * periods + [1, 2, 3, 4, 5])[:5]
    assert effective_delay_s(env, delay, 10) == pytest.approx(periods / 10)


def test_effective_delay_of_mujoco_is_exact():
    assert effective_delay_s(pendulum(), 0.0123, 1 / PERIOD) == 0.0123


def test_actions_without_a_neutral_one_are_refused():
    with pytest.raises(SecateurError, match="delayed in a Box"):
        delayed(Line(spaces.Discrete(2)), 0.1, 10)


@pytest.mark.parametrize("delay", [-0.001, np.nan, np.inf])
def test_a_delay_is_a_time(delay):
    with pytest.raises(SecateurError, match="finite and not negative"):
        delayed(Line(), delay, 10)
