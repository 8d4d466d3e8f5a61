"""Episodes: a function of the seed alone, in any company and order."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from secateur.errors import SecateurError
from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.simulate import FunctionController, TorchController, rollout, rollouts, torch_controller


class Pendulum(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        self.drop = nn.Dropout(0.5)

    def act(self, observation):
        return {"action": self.drop(self.body(observation))}


def pendulum_policy(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Pendulum()
    example = {"observation": torch.zeros(1, 4)}
    return Policy("pendulum", net, (Component("body", ("body",)),), (Entry("act", Pendulum.act, example),))


def pendulum_task(**changes):
    fields = {
        "make_env": lambda: gymnasium.make("InvertedPendulum-v5", max_episode_steps=60),
        "to_inputs": lambda observation: {"observation": observation[None].astype(np.float32)},
        "to_action": lambda outputs: np.clip(outputs["action"][0], -3, 3),
        "control_hz": 25.0,
    }
    return Task(**(fields | changes))


def same(left, right):
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("seed", "observations", "actions", "rewards", "return_", "length", "success")
    )


def expert(observation):
    return np.clip([observation @ np.array([1.0, 15.0, 1.5, 3.0])], -3, 3).astype(np.float32)


@settings(max_examples=5, deadline=None)
@given(seeds=st.permutations(range(12)), alone=st.integers(0, 11))
def test_an_episode_depends_on_its_seed_alone(seeds, alone):
    task, policy = pendulum_task(), pendulum_policy()
    together = {t.seed: t for t in rollouts(task, torch_controller(policy, task), seeds)}
    assert same(together[alone], rollout(task, torch_controller(policy, task), alone))
    assert len({t.length for t in together.values()}) > 1  # lanes did end at different times


def test_the_trajectory_is_whole():
    task = pendulum_task(success=lambda info: "reward_survive" in info)
    finished = []
    made = rollouts(task, FunctionController(expert), range(10), progress=lambda *done: finished.append(done))
    assert [t.seed for t in made] == list(range(10))
    assert finished == [(n, 10) for n in range(1, 11)]
    for t in made:
        assert t.observations.shape == (61, 4)
        assert t.actions.shape == (60, 1)
        assert t.length == 60
        assert t.return_ == t.rewards.sum() == 60
        assert t.success is True
        assert not t.terminated


def test_termination_ends_the_episode():
    (t,) = rollouts(pendulum_task(), FunctionController(lambda _: np.array([3.0], np.float32)), (0,))
    assert t.terminated
    assert t.length < 60
    assert t.success is None


def test_a_factory_of_controllers_does_as_well():
    (t,) = rollouts(pendulum_task(), lambda: FunctionController(expert), (0,))
    assert same(t, rollout(pendulum_task(), FunctionController(expert), 0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_not_finite_is_named(bad):
    with pytest.raises(SecateurError, match="action of an episode is finite: seed 7, step 0"):
        rollout(pendulum_task(), FunctionController(lambda _: np.array([bad])), 7)


def test_the_module_is_left_as_it_was():
    task, policy = pendulum_task(), pendulum_policy()
    policy.module.train()
    policy.module.body.eval()
    threads = torch.get_num_threads()
    first = rollout(task, torch_controller(policy, task), 3)
    assert policy.module.training
    assert policy.module.drop.training
    assert not policy.module.body.training
    assert torch.get_num_threads() == threads
    policy.module.eval()
    assert same(first, rollout(task, torch_controller(policy, task), 3))  # dropout was off


def test_the_controller_follows_the_weights():
    task, policy = pendulum_task(), pendulum_policy()
    controller = torch_controller(policy, task)
    before = controller.infer({"observation": np.ones((3, 4), np.float32)})["action"]
    with torch.no_grad():
        policy.module.body[-1].bias += 1
    after = controller.infer({"observation": np.ones((3, 4), np.float32)})["action"]
    assert before.shape == (3, 1)
    np.testing.assert_allclose(after, before + 1, rtol=1e-6)


@given(rows=st.integers(1, 20), batch=st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_a_row_never_depends_on_the_others(rows, batch):
    controller = TorchController(pendulum_policy(), pendulum_task(), batch)
    inputs = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    whole = controller.infer({"observation": inputs})["action"]
    single = [controller.infer({"observation": inputs[i : i + 1]})["action"][0] for i in range(rows)]
    assert np.array_equal(whole, np.stack(single))


def test_inputs_without_their_leading_axis_are_refused():
    task = pendulum_task(to_inputs=lambda observation: {"observation": np.float32(observation[0])})
    with pytest.raises(SecateurError, match=r"arrays \[1, ...\]"):
        rollout(task, torch_controller(pendulum_policy(), task), 0)


class Counter:
    """Counts its calls per lane: a controller with memory."""

    def __init__(self):
        self.calls = {}

    def reset(self, lanes):
        self.calls |= dict.fromkeys(lanes, 0)

    def act(self, observations, lanes):
        assert len(set(lanes)) == len(lanes)
        for lane in lanes:
            self.calls[lane] += 1
        return [np.array([self.calls[lane] / 1000], np.float32) for lane in lanes]


def test_memory_is_kept_per_episode():
    for t in rollouts(pendulum_task(), Counter(), range(20)):
        np.testing.assert_allclose(t.actions[:, 0], np.arange(1, t.length + 1) / 1000, rtol=1e-6)


class Looker(gymnasium.Env):
    """A Dict of observations, which it hands out without copying."""

    observation_space = spaces.Dict({"a": spaces.Box(0, 99, (1,)), "b": spaces.Box(0, 99, (2, 2))})
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen = {"a": np.zeros(1), "b": np.zeros((2, 2))}
        return self.seen, {}

    def step(self, action):
        self.seen["a"] += 1
        return self.seen, -0.5, False, bool(self.seen["a"][0] >= 4), {}


def test_observations_may_be_dicts_and_are_copied():
    task = pendulum_task(make_env=Looker)
    t = rollout(task, FunctionController(lambda _: 1), 0)
    assert t.observations["a"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert t.observations["b"].shape == (5, 2, 2)
    assert t.actions.tolist() == [1, 1, 1, 1]
    assert t.return_ == -2


def test_an_entry_for_one_row_is_called_with_one():
    def act(module, observation):
        return {"action": module.body(observation.reshape(4)).reshape(1, 1)}

    original = pendulum_policy()
    entry = Entry("act", act, {"observation": torch.zeros(1, 4)})
    policy = Policy("rows", original.module, original.components, (entry,))
    controller = torch_controller(policy, pendulum_task())
    assert controller.batch == 1
    assert controller.infer({"observation": np.ones((3, 4), np.float32)})["action"].shape == (3, 1)
