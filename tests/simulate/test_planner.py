"""Planning in a latent model: right on a model whose best plan is known, and each lane on its own."""

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from secateur.errors import SecateurError
from secateur.policy.planning import PLAN, PlannerSettings, Planning
from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.prune.sensitivity import planned
from secateur.simulate.planner import EntryModel, Planner, PlanningController, policy_controller
from secateur.simulate.rollout import rollouts


class Line(nn.Module):
    """A point on a line, as a latent model that is exact: x' = x + 0.2 a, reward −x²; the policy stands still."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def encode(self, observation):
        return self.scale * observation

    def next(self, latent, action):
        return latent + 0.2 * action

    def reward(self, latent, action):
        return -((latent + 0.2 * action) ** 2)

    def value(self, latent, action):
        return {"a": -3 * latent**2, "b": -3 * latent**2 + 0.1}

    def choose(self, latent):
        return 0.0 * latent

    def act(self, observation):
        return self.choose(self.encode(observation))


class Point(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.left = self.np_random.uniform(-1, 1, 1).astype(np.float32), 20
        return self.x.copy(), {}

    def step(self, action):
        self.x = self.x + 0.2 * np.float32(action)
        self.left -= 1
        return self.x.copy(), float(1 - self.x[0] ** 2), False, self.left == 0, {}


def line(deployed=PLAN, **entries):
    one = torch.ones(1, 1)
    both = {"latent": one, "action": one}
    feeds = {"latent": ("encode", "next")}
    made = {
        "act": Entry("act", Line.act, {"observation": one}),
        "encode": Entry("encode", Line.encode, {"observation": one}),
        "next": Entry("next", Line.next, both, feeds=feeds),
        "reward": Entry("reward", Line.reward, both, feeds=feeds),
        "value": Entry("value", Line.value, both, feeds=feeds),
        "choose": Entry("choose", Line.choose, {"latent": one}, feeds=feeds),
    } | entries
    return Policy(
        "line",
        Line(),
        (Component("all", ("scale",)),),
        tuple(made.values()),
        deployed,
        Planning(settings=PlannerSettings(horizon=3, iterations=4)),
    )


TASK = Task(
    Point,
    lambda o: {"observation": np.asarray(o, np.float32)[None]},
    lambda out: next(iter(out.values()))[0],
    control_hz=10.0,
)


def test_it_drives_the_point_to_zero_where_the_policy_stands_still():
    plan = Planner(EntryModel(line(), line().planning), line().planning.settings, seed=0)
    first = plan.plan({"observation": torch.tensor([[0.8], [-0.8], [0.0]])})
    assert first[0, 0] < -0.7
    assert first[1, 0] > 0.7
    assert abs(first[2, 0]) < 0.2
    returns = [t.return_ for t in rollouts(TASK, policy_controller(line(), TASK), range(10))]
    still = [t.return_ for t in rollouts(TASK, policy_controller(line("act"), TASK), range(10))]
    assert min(returns) > 18.5
    assert np.mean(still) < 16


@pytest.mark.parametrize("seeds", [[3], [7, 3], [1, 2, 4, 5, 6, 7, 8, 9, 10, 3, 11]])
def test_an_episode_does_not_depend_on_those_beside_it(seeds):
    alone = rollouts(TASK, PlanningController(line(), TASK), [3])[0]
    among = rollouts(TASK, PlanningController(line(), TASK), seeds)[seeds.index(3)]
    assert np.allclose(alone.actions, among.actions, atol=1e-6)


def test_what_plans_hang_on_counts_for_more():
    entries = {"observation": torch.rand(64, 1) * 2 - 1}
    policy = planned(line("act"), entries, seed=0)
    assert policy.plans
    assert policy.entry().name == "encode"
    assert max(policy.entry_weights.values()) == 1.0
    assert policy.entry_weights["choose"] < policy.entry_weights["value"]  # 0.0 × latent: nothing to perturb
    assert set(policy.entry_weights) == {"encode", "next", "reward", "value", "choose"}


def test_a_planner_calls_entries_that_exist():
    with pytest.raises(SecateurError, match="'choose'"):
        Policy(
            "line",
            Line(),
            (Component("all", ("scale",)),),
            line().entries[:5],
            PLAN,
            Planning(),
        )
