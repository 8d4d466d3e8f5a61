"""Allocation by measurement, on a policy whose components are known to matter differently."""

import pytest
import torch
from test_recover import Follow
from torch import nn

from secateur.graph.groups import build_graph
from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.prune.allocate import by_importance
from secateur.prune.curves import component_parts, group_parts, nearest
from secateur.prune.limits import resources
from secateur.prune.search import _finalists, search
from secateur.prune.states import visited_inputs
from secateur.prune.teachers import teacher_of
from secateur.prune.trials import Trial, TrialPlan, Trials
from secateur.records import Budget, ComponentCost, Cost, Limits, Range
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts


class Lopsided(nn.Module):
    """All that matters goes through ``busy``; ``idle`` is as large and its outputs are next to nothing."""

    def __init__(self):
        super().__init__()
        self.busy, self.idle = (
            nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()) for _ in range(2)
        )
        self.head = nn.Linear(128, 1)

    def act(self, observation):
        both = torch.cat([self.busy(observation), 1e-3 * self.idle(observation)], dim=-1)
        return torch.tanh(self.head(both))


@pytest.fixture(scope="module")
def setting():
    torch.manual_seed(0)
    net = Lopsided()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(400):
        x = torch.randn(128, 2)
        wanted = torch.tanh(-2 * x[:, 0] + torch.sin(3 * x[:, 1]))
        loss = ((net.act(x)[:, 0] - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    parts = tuple(Component(name, (name,)) for name in ("busy", "idle", "head"))
    policy = Policy("lopsided", net, parts, (Entry("act", Lopsided.act, {"observation": torch.zeros(1, 2)}),))
    task = Task(Follow, lambda o: {"observation": o[None]}, lambda out: out["act"][0], control_hz=10.0)
    graph = build_graph(policy)
    visited = visited_inputs(task, rollouts(task, torch_controller(policy, task), range(40)))
    scores = {g.name: torch.ones(g.width) for g in graph.groups}  # a criterion that knows nothing
    return policy, task, graph, visited, scores


def price_of(graph):
    def price(widths):
        counts = graph.parameter_counts({**graph.full, **widths})
        parts = {n: ComponentCost(c, c, c, 0, c, Range(0, 0)) for n, c in counts.items()}
        total = sum(counts.values())
        return Cost(total, total, total, 0, 0, 0, 0, total, Range(0, 0), parts)

    return price


def trials_of(setting, known=None):
    policy, task, graph, visited, scores = setting
    teacher = teacher_of(policy, graph, 0)
    return Trials(
        teacher, teacher.lesson(visited), scores, task, 0, TrialPlan(steps=60, episodes=4, states=256), known
    )


def test_the_component_that_matters_keeps_more(setting):
    _, _, graph, _, scores = setting
    price = price_of(graph)
    budget = Budget(Limits(flash_bytes=price({}).parameters // 12))
    trials = trials_of(setting)
    found = search(graph, scores, price, budget, trials)
    assert all(limit.excess(price(found.widths)) == 0 for limit in resources(budget))
    counts = graph.parameter_counts(found.widths)
    assert counts["busy"] > counts["idle"]
    assert found.trial.rounds == trials.plan.final_rounds
    finals = [t for t in trials.asked if t.rounds > 1]
    assert found.trial.loss == min(t.loss for t in finals)
    assert found.trials == len(trials.asked) > 5
    blind = trials.final(by_importance(graph, scores, price, budget))
    assert found.trial.error < blind.error
    assert {curve.part.name for curve in found.curves} >= {"busy", "idle"}


def test_trials_are_remembered_and_can_be_handed_on(setting):
    one = trials_of(setting)
    first = one({"busy.0": 8})
    assert one({"busy.0": 8}) is first
    other = trials_of(setting, one.records)
    assert other({"busy.0": 8}) == first
    assert len(other.asked) == 1
    repeated = trials_of(setting)({"busy.0": 8})
    assert repeated == first


def test_a_budget_under_which_nothing_is_lost_is_not_searched(setting):
    _, _, graph, _, scores = setting
    price = price_of(graph)
    trials = trials_of(setting)
    found = search(graph, scores, price, Budget(Limits(flash_bytes=10**9)), trials)
    assert found.widths == graph.full
    assert len(trials.asked) == 1
    assert found.curves == ()


def test_settings_of_a_part_fall_and_end_at_the_floors(setting):
    _, _, graph, _, scores = setting
    by_group = group_parts(graph, scores, list(graph.groups))
    assert nearest(by_group, graph.full) == (0,) * len(by_group)
    for part in (*component_parts(graph, scores, list(graph.groups)), *by_group):
        sizes = [sum(widths.values()) for widths in part.widths]
        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) == len(sizes) == len(part.shares)


@pytest.mark.parametrize(("kept", "plain"), [(0.1, True), (0.6, False)])
def test_plain_allocations_get_a_longer_trial_where_short_ones_are_blind(kept, plain):
    ranking, equal = Trial({"a": 8}, 0.9, 0.05), Trial({"a": 9}, 0.8, 0.05)
    found = [Trial({"a": width}, width / 10, kept) for width in (1, 2, 3, 4)]
    chosen = _finalists([ranking, equal, *found])
    assert chosen == ([*found[:2], ranking, equal] if plain else found[:3])


def test_no_finalist_is_tried_twice():
    same, other = Trial({"a": 1}, 0.1, 0.0), Trial({"a": 2}, 0.2, 0.0)
    assert _finalists([same, same, other]) == [same, other]
