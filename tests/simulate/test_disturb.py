"""Disturbances: what each changes and by how much, that it is a function of the seed, and where it is left out."""

from itertools import pairwise

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from moving import make_env

from secateur.errors import SecateurError
from secateur.simulate.disturb import KINDS, Disturbance, disturbed, extra_delay_s, simulation
from secateur.simulate.sensors import leaves
from secateur.verify.profile import standard_set

HZ = 25.0


class Still(gymnasium.Env):
    """Always observes the same, by whatever space."""

    def __init__(self, space, value):
        self.observation_space, self.value = space, value
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        return self.value, {}

    def step(self, action):
        return self.value, 0.0, False, False, {}


def numbers(value=(1.0, -2.0, 0.0)):
    return Still(spaces.Box(-9, 9, (3,), np.float32), np.array(value, np.float32))


def image(shape=(20, 30, 3)):
    return Still(spaces.Box(0, 255, shape, np.uint8), np.full(shape, 100, np.uint8))


def walk(env, seed, steps=20):
    """Everything observed and rewarded in an episode of random actions."""
    observation, _ = env.reset(seed=seed)
    seen, rng = [observation], np.random.default_rng(seed)
    for _ in range(steps):
        observation, reward, *_ = env.step(
            rng.uniform(-1, 1, env.action_space.shape).astype(env.action_space.dtype)
        )
        seen.append(np.append(observation, reward))
    return np.concatenate([np.ravel(each) for each in seen])


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=3, deadline=None)
def test_each_is_a_function_of_the_seed_and_changes_something(kind, seed):
    plain = image if KINDS[kind].refuses(make_env()) == "no image is observed" else make_env
    if KINDS[kind].refuses(plain()) is not None or KINDS[kind].wrap is None:
        return
    level = KINDS[kind].levels[-1]
    envs = [disturbed(plain(), [Disturbance(kind, level)], HZ) for _ in range(2)]
    first = walk(envs[0], seed, 60)
    walk(envs[1], seed + 1, 7)  # what went before is forgotten
    assert np.array_equal(first, walk(envs[1], seed, 60))
    if kind not in ("dropped-observations", "friction", "pushes"):
        assert not np.array_equal(first, walk(plain(), seed, 60))


def test_sensors():
    scale = (1.0, 2.0, 0.0)
    noise = walk(disturbed(numbers(), [Disturbance("sensor-noise", 0.1, scale)], HZ), 0, 999)
    rows = np.concatenate([noise[:3][None], noise[3:].reshape(-1, 4)[:, :3]])
    np.testing.assert_allclose(rows.std(axis=0), [0.1, 0.2, 0.0], rtol=0.1)
    bias = disturbed(numbers(), [Disturbance("sensor-bias", 0.1, scale)], HZ)
    off = bias.reset(seed=5)[0] - [1.0, -2.0, 0.0]
    np.testing.assert_allclose(np.abs(off), [0.1, 0.2, 0.0], atol=1e-6)
    assert np.array_equal(bias.step(np.zeros(1))[0] - [1.0, -2.0, 0.0], off)
    steps = disturbed(numbers((0.26, 1.3, 0.77)), [Disturbance("sensor-quantisation", 0.5, scale)], HZ)
    np.testing.assert_allclose(steps.reset(seed=0)[0], [0.5, 1.0, 0.77])


def test_lost_observations_are_seen_again():
    env = disturbed(make_env(), [Disturbance("dropped-observations", 0.3)], HZ)
    env.reset(seed=0)
    seen = [env.step(np.array([0.1]))[0] for _ in range(6)]
    env.reset(seed=1)
    many = []
    for _ in range(300):
        observation, _, over, *_ = env.step(np.array([0.0]))
        many.append(observation)
        if over:
            env.reset(seed=len(many))
    repeats = np.mean([np.array_equal(one, two) for one, two in pairwise(many)])
    assert 0.2 < repeats < 0.4
    assert len(seen) == 6


def test_images():
    bright = disturbed(image(), [Disturbance("camera-exposure", 2.0)], HZ)
    assert (bright.reset(seed=0)[0] == 200).all()
    assert bright.reset(seed=0)[0].dtype == np.uint8
    for shape in ((20, 30, 3), (3, 20, 30), (20, 30)):
        covered = disturbed(image(shape), [Disturbance("camera-occlusion", 0.25)], HZ)
        first = covered.reset(seed=1)[0]
        assert np.mean(first == 0) == pytest.approx(0.25, abs=0.05)
        assert np.array_equal(covered.step(np.zeros(1))[0], first)


def test_a_dict_is_disturbed_leaf_by_leaf():
    space = spaces.Dict(
        {
            "frame": spaces.Box(0, 255, (4, 4, 3), np.uint8),
            "joints": spaces.Box(-9, 9, (2,), np.float64),
            "count": spaces.Box(0, 9, (1,), np.int64),
        }
    )
    value = {"frame": np.full((4, 4, 3), 9, np.uint8), "joints": np.zeros(2), "count": np.zeros(1, np.int64)}
    env = disturbed(Still(space, value), [Disturbance("sensor-bias", 1.0, (0.5, 2.0))], HZ)
    observation, _ = env.reset(seed=0)
    np.testing.assert_allclose(np.abs(observation["joints"]), [0.5, 2.0])
    assert np.array_equal(observation["frame"], value["frame"])
    assert [path for path, _ in leaves(space)] == [("count",), ("frame",), ("joints",)]
    with pytest.raises(SecateurError, match="a scale for each number"):
        disturbed(Still(space, value), [Disturbance("sensor-bias", 1.0, (0.5,))], HZ)


def test_mechanics_change_the_model_of_one_environment():
    plain, env = make_env(), make_env()
    disturbed(env, [Disturbance("mass", 2.0), Disturbance("damping", 0.5), Disturbance("friction", 3.0)], HZ)
    before, after = simulation(plain)[0], simulation(env)[0]
    np.testing.assert_allclose(after.body_mass, 2 * before.body_mass)
    np.testing.assert_allclose(after.body_subtreemass, 2 * before.body_subtreemass)
    np.testing.assert_allclose(after.dof_damping, 0.5 * before.dof_damping)
    weak = make_env()
    disturbed(weak, [Disturbance("actuator-gain", 0.8)], HZ)
    np.testing.assert_allclose(simulation(weak)[0].actuator_gainprm, 0.8 * before.actuator_gainprm)


class Redrawn(gymnasium.Wrapper):
    """Draws the friction of its first geom anew for every episode, as an environment that randomises its ground."""

    def reset(self, *, seed=None, options=None):
        simulation(self.env)[0].geom_friction[0, 0] = np.random.default_rng(seed).uniform(0.6, 1.2)
        return self.env.reset(seed=seed, options=options)


def test_what_an_environment_draws_in_its_reset_is_disturbed_too():
    plain, env = Redrawn(make_env()), disturbed(Redrawn(make_env()), [Disturbance("friction", 0.5)], HZ)
    for seed in (0, 1, 1, 2):
        plain.reset(seed=seed)
        env.reset(seed=seed)
        before, after = simulation(plain)[0], simulation(env)[0]
        np.testing.assert_allclose(after.geom_friction, 0.5 * before.geom_friction)
        np.testing.assert_allclose(after.dof_frictionloss, 0.5 * before.dof_frictionloss)


def test_a_push_has_its_size_and_its_time():
    env = disturbed(make_env(), [Disturbance("pushes", 0.5)], HZ)
    model, data = simulation(env)
    weight = model.body_mass.sum() * np.linalg.norm(model.opt.gravity)
    env.reset(seed=2)
    pushed = []
    inner = env.unwrapped.do_simulation

    def watched(ctrl, frames):
        pushed.append(np.linalg.norm(data.xfrc_applied[:, :3]))
        inner(ctrl, frames)

    env.unwrapped.do_simulation = watched
    for _ in range(400):
        env.step(np.zeros(1))
    pushed = np.array(pushed)
    assert set(np.round(pushed[pushed > 0] / weight, 6)) == {0.5}
    starts = np.flatnonzero((pushed[1:] > 0) & (pushed[:-1] == 0))
    lengths = [np.argmax(pushed[s + 1 :] == 0) for s in starts if (pushed[s + 1 :] == 0).any()]
    assert set(lengths) == {3}  # 0.1 s in periods of 0.04 s
    assert 6 < len(starts) < 25


def test_what_an_environment_does_not_have_is_left_out_and_said():
    reasons = {name: kind.refuses(numbers()) for name, kind in KINDS.items()}
    assert {name for name, reason in reasons.items() if reason is None} == {
        "sensor-noise",
        "sensor-bias",
        "sensor-quantisation",
        "dropped-observations",
        "actuator-delay",
    }
    with pytest.raises(SecateurError, match="no MuJoCo"):
        disturbed(numbers(), [Disturbance("pushes", 1.0)], HZ)
    with pytest.raises(SecateurError, match="disturbance"):
        disturbed(numbers(), [Disturbance("earthquake", 1.0)], HZ)
    assert extra_delay_s([Disturbance("actuator-delay", 0.5), Disturbance("mass", 2.0)], HZ) == 0.02


def test_half_a_period_is_not_passed_off_as_a_whole_one():
    half, whole = (Disturbance("actuator-delay", level) for level in (0.5, 1.0))
    assert disturbed(make_env(), [half], HZ).unwrapped is not None  # a MujocoEnv is delayed within the period
    still = numbers()
    assert disturbed(still, [whole], HZ) is still
    with pytest.raises(SecateurError, match=r"whole control periods only, and 0\.5 would be 1"):
        disturbed(still, [half], HZ)
    for env, wanted, missing in (
        (make_env(), (half, whole), {}),
        (still, (whole,), {half.title: KINDS["actuator-delay"].refuses_level(still, 0.5)}),
    ):
        assert standard_set(env, ("actuator-delay",), ()) == (wanted, missing)


class Suite:
    """As dm_control wraps a simulation: model and data behind pointers."""

    class Pointer:
        def __init__(self, ptr):
            self.ptr = ptr

    def __init__(self):
        model = mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>")
        self.model, self.data = self.Pointer(model), self.Pointer(mujoco.MjData(model))


def test_the_simulation_is_found_behind_dm_control():
    env = numbers()
    env.physics = Suite()
    model, data = simulation(env)
    assert isinstance(model, mujoco.MjModel)
    assert isinstance(data, mujoco.MjData)
