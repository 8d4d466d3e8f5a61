import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from secateur.errors import Diverged
from secateur.graph.groups import build_graph
from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.prune.allocate import keep_best
from secateur.prune.lessons import Training
from secateur.prune.recover import Recovery, RecoveryPlan, recover
from secateur.prune.schedule import SCHEDULES
from secateur.prune.states import evenly, visited_inputs
from secateur.prune.surgery import cut
from secateur.prune.teachers import teacher_of
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts


class Follow(gymnasium.Env):
    """Drive x to zero; the reward is higher the closer."""

    observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.left = self.np_random.uniform(-1, 1, 2).astype(np.float32), 20
        return self.x.copy(), {}

    def step(self, action):
        self.x = self.x + 0.2 * np.float32(np.clip(action[0], -1, 1))
        self.left -= 1
        return self.x.copy(), float(np.exp(-np.abs(self.x).sum())), False, self.left == 0, {}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 32), nn.Linear(32, 1)

    def act(self, observation):
        return torch.tanh(self.head(torch.relu(self.encoder(observation))))


@pytest.fixture(scope="module")
def setting():
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(300):
        x = torch.randn(128, 2)
        loss = ((net.act(x)[:, 0] - torch.tanh(-2 * x.sum(1))) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    parts = (Component("encoder", ("encoder",)), Component("head", ("head",)))
    policy = Policy("follow", net, parts, (Entry("act", Net.act, {"observation": torch.zeros(1, 2)}),))
    task = Task(Follow, lambda o: {"observation": o[None]}, lambda out: out["act"][0], control_hz=10.0)
    visited = visited_inputs(task, rollouts(task, torch_controller(policy, task), range(8)))
    return policy, task, visited


def _recovered(setting, keep, seed=0, learning_rate=Training.learning_rate, **changes):
    policy, task, visited = setting
    graph = build_graph(policy)
    pruned = cut(policy, graph, keep)
    teacher = teacher_of(policy, graph, 0)
    teacher.training = Training(learning_rate=learning_rate)
    plan = RecoveryPlan(**{"rounds": 3, "steps": 60, "episodes": 4, "judged_episodes": 8, **changes})
    return pruned, *recover(Recovery(teacher, teacher.lesson(visited), task, seed, plan), pruned, keep)


def test_what_is_kept_is_the_best_of_the_curve(setting):
    policy, task, _ = setting
    pruned, recovered, curve = _recovered(setting, {"encoder": torch.arange(0, 32, 8)})
    returns = [point.return_mean for point in curve]
    assert len(curve) == 4
    assert max(returns) > returns[0]  # four of 32 units, blindly chosen: there is something to recover
    before, after = (
        np.mean([t.return_ for t in rollouts(task, torch_controller(p, task), range(100, 110))])
        for p in (pruned, recovered)
    )
    assert after > before
    assert policy.module.encoder.out_features == 32


def test_a_recovery_that_does_not_help_is_not_taken(setting):
    """Training with an absurd learning rate ruins the policy; the curve says so, and it is handed back as it was."""
    keep = {"encoder": torch.arange(30)}
    pruned, recovered, curve = _recovered(setting, keep, rounds=2, steps=20, episodes=2, learning_rate=50.0)
    assert max(point.return_mean for point in curve[1:]) < curve[0].return_mean
    for name, tensor in pruned.module.state_dict().items():
        assert torch.equal(tensor, recovered.module.state_dict()[name])


def test_it_ends_when_there_is_nothing_left_to_recover_or_when_time_is_up(setting):
    keep = {"encoder": torch.arange(0, 32, 8)}
    _, _, whole = _recovered(setting, keep)
    _, _, enough = _recovered(setting, keep, enough=whole[1].return_mean)
    assert len(enough) == 2
    _, _, at_once = _recovered(setting, keep, enough=-1e9)
    assert len(at_once) == 1
    _, _, late = _recovered(setting, keep, minutes=0.0)
    assert len(late) == 2


def test_rounding_begins_at_half_from_the_best_so_far_which_is_judged_again(setting):
    keep = {"encoder": torch.arange(0, 32, 8)}
    _, exact, plain = _recovered(setting, keep, rounds=4)
    _, rounded, curve = _recovered(setting, keep, rounds=4, fake_quantise=True)
    assert [point.steps for point in curve] == [0, 60, 120, 120, 180, 240]
    assert curve[1:3] == plain[1:3]
    before = max(point.return_mean for point in curve[:3])
    assert curve[3].return_mean == pytest.approx(before, abs=0.5)
    assert curve[3].return_mean != before
    assert not rounded.module.encoder._forward_hooks
    assert not torch.equal(exact.module.encoder.weight, rounded.module.encoder.weight)


def test_rounding_begins_at_once_where_nothing_is_left_to_recover(setting):
    _, _, curve = _recovered(setting, {"encoder": torch.arange(0, 32, 8)}, fake_quantise=True, enough=-1e9)
    assert [point.steps for point in curve] == [0, 0]


def test_rounding_that_makes_things_worse_is_not_taken(setting):
    keep = {"encoder": torch.arange(30)}
    pruned, recovered, curve = _recovered(
        setting, keep, rounds=2, steps=20, episodes=2, learning_rate=50.0, fake_quantise=True
    )
    assert curve[2].return_mean > curve[3].return_mean
    for name, tensor in pruned.module.state_dict().items():
        assert torch.equal(tensor, recovered.module.state_dict()[name])


class Fragile(Follow):
    """Breaks under fifteen hard pushes one after the other, which the original never gives."""

    def reset(self, *, seed=None, options=None):
        self.pushes = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.pushes = self.pushes + 1 if action[0] > 0.9 else 0
        observation, *rest = super().step(action)
        return observation + np.float32(np.inf if self.pushes == 15 else 0.0), *rest


def test_a_student_that_diverges_learns_from_the_original_alone_until_it_does_no_longer(setting):
    policy, task, visited = setting
    graph = build_graph(policy)
    keep = {"encoder": torch.arange(0, 32, 8)}
    pruned = cut(policy, graph, keep)
    with torch.no_grad():
        pruned.module.head.bias += 4.0
    teacher = teacher_of(policy, graph, 0)
    fragile = dataclasses.replace(task, make_env=Fragile)
    with pytest.raises(Diverged):
        rollouts(fragile, torch_controller(pruned, fragile), range(4))
    plan = RecoveryPlan(rounds=4, steps=150, episodes=2, judged_episodes=4)
    recovery = Recovery(teacher, teacher.lesson(visited), fragile, 0, plan)
    student, curve = recover(recovery, pruned, keep)
    assert curve[0].return_mean == -np.inf
    assert curve[-1].return_mean > 0
    rollouts(fragile, torch_controller(student, fragile), range(4))


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_gives_the_widths_and_follows_the_original(setting, name):
    policy, task, visited = setting
    graph = build_graph(policy)
    teacher = teacher_of(policy, graph, 0)

    def by_size(cut_policy, _):
        return {"encoder": cut_policy.module.encoder.weight.detach().norm(dim=1)}

    plan = RecoveryPlan(rounds=6, steps=40, episodes=2, judged_episodes=4)
    recovery = Recovery(teacher, teacher.lesson(visited), task, 0, plan)
    made = SCHEDULES[name](recovery, by_size(policy, graph), by_size, {"encoder": 8})
    student, curve = made.policy, made.curve
    assert len(made.keep["encoder"].unique()) == 8
    assert student.module.encoder.out_features == 8
    assert [p.steps for p in curve] == sorted(p.steps for p in curve)
    keep = keep_best(by_size(policy, graph), {"encoder": 8})
    before = teacher.error(cut(policy, graph, keep), keep, teacher.lesson(visited))
    assert teacher.error(student, {"encoder": torch.arange(8)}, teacher.lesson(visited)) < before


def test_the_same_seed_gives_the_same_weights(setting):
    keep = {"encoder": torch.arange(0, 32, 8)}
    one, two, other = (_recovered(setting, keep, seed, steps=30)[1] for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.module.parameters(), two.module.parameters()))
    assert not all(torch.equal(a, b) for a, b in zip(one.module.parameters(), other.module.parameters()))


def test_the_pruned_policy_itself_is_not_trained(setting):
    keep = {"encoder": torch.arange(0, 32, 8)}
    pruned, _, _ = _recovered(setting, keep)
    fresh = cut(setting[0], build_graph(setting[0]), keep)
    assert all(torch.equal(a, b) for a, b in zip(pruned.module.parameters(), fresh.module.parameters()))


def test_visited_states_are_those_acted_on(setting):
    _, task, visited = setting
    assert visited["observation"].shape == (8 * 20, 2)
    assert evenly(visited, 7)["observation"].shape == (7, 2)
    assert len(evenly(visited, 10_000)["observation"]) == 160
    assert task.control_hz == 10.0
