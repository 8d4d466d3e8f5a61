"""Every criterion of the table, on every policy: conformance by existing; then what some of them promise."""

import dataclasses
import functools
import importlib
from typing import get_type_hints

import gymnasium
import numpy as np
import pytest
import torch
from networks import POLICIES
from point_planner import point
from torch import nn

from secateur.graph.groups import build_graph
from secateur.policy.planning import PLAN
from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.prune.coefficients import (
    axis_mask,
    gradient_coefficients,
    grid_coefficients,
    weighted,
)
from secateur.prune.importance import IMPORTANCE, Evidence
from secateur.prune.importance.activations import observe, places
from secateur.prune.importance.closed_loop import closed_loop
from secateur.prune.importance.fisher import weight_information
from secateur.prune.importance.taylor import taylor
from secateur.prune.importance.taylor2 import taylor2
from secateur.prune.surgery import cut, kept_indices

STATES = 24


@functools.cache
def made(name):
    torch.manual_seed(1)
    policy = POLICIES[name]()
    return policy, build_graph(policy)


def states(policy, count=STATES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(count, *example.shape[1:], generator=generator)
        for name, example in policy.entry().example_inputs.items()
    }


def score(criterion, policy, graph, visited=None, seed=5):
    visited = states(policy) if visited is None else visited
    return IMPORTANCE[criterion](policy, graph, Evidence(visited, torch.Generator().manual_seed(seed)))


everywhere = pytest.mark.parametrize(
    ("criterion", "name"), [(criterion, name) for criterion in IMPORTANCE for name in POLICIES]
)


@everywhere
def test_every_channel_has_a_finite_score_that_is_not_negative(criterion, name):
    policy, graph = made(name)
    scores = score(criterion, policy, graph)
    assert scores.keys() == graph.full.keys()
    for group in graph.groups:
        found = scores[group.name]
        assert found.shape == (group.width,)
        assert found.is_floating_point()
        assert not found.requires_grad
        assert torch.isfinite(found).all()
        assert (found >= 0).all()
        assert found.sum() > 0, group.name


@everywhere
def test_the_policy_is_left_as_it_was(criterion, name):
    policy, graph = made(name)
    module = policy.module
    before = {path: tensor.clone() for path, tensor in module.state_dict().items()}
    module.train()
    parts = list(module.modules())
    parts[-1].eval()
    modes = [part.training for part in parts]
    parameters = list(module.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.full_like(parameters[1], 7.0)
    try:
        score(criterion, policy, graph)
        assert [part.training for part in parts] == modes
        assert [p.requires_grad for p in parameters] == [False] + [True] * (len(parameters) - 1)
        assert [p.grad is None for p in parameters] == [True, False] + [True] * (len(parameters) - 2)
        assert (parameters[1].grad == 7.0).all()
        assert all(torch.equal(tensor, before[path]) for path, tensor in module.state_dict().items())
        assert not any(part._forward_hooks for part in parts)
    finally:
        module.eval()
        parameters[0].requires_grad_(True)
        parameters[1].grad = None


@everywhere
def test_the_same_seed_gives_the_same_scores(criterion, name):
    policy, graph = made(name)
    one, two = score(criterion, policy, graph), score(criterion, policy, graph)
    assert all(torch.equal(one[group], two[group]) for group in one)


@everywhere
def test_the_order_of_states_does_not_matter(criterion, name):
    policy, graph = made(name)
    visited = states(policy)
    order = torch.randperm(STATES, generator=torch.Generator().manual_seed(3))
    one = score(criterion, policy, graph, visited)
    two = score(criterion, policy, graph, {n: rows[order] for n, rows in visited.items()})
    for group in one:
        torch.testing.assert_close(one[group], two[group], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("criterion", [c for c in IMPORTANCE if c != "random"])
def test_a_dead_channel_scores_lowest(criterion, name):
    """All weights in and out of one channel of each group are zero."""
    policy, graph = made(name)
    dead = {group.name: group.width // 2 for group in graph.groups}
    scores = score(criterion, without(policy, graph, dead), graph)
    for group, channel in dead.items():
        assert scores[group][channel] <= scores[group].min() + 1e-7, group


def without(policy, graph, dead):
    """A copy with these channels' parameters at zero; buffers stay."""
    copy = cut(policy, graph, {})
    rest = {
        group: torch.tensor([c for c in range(graph.full[group]) if c != gone])
        for group, gone in dead.items()
    }
    with torch.no_grad():
        for path, parameter in copy.module.named_parameters():
            for position, axis in enumerate(graph.trace.weights[path]):
                gone = torch.ones(parameter.shape[position], dtype=torch.bool)
                gone[kept_indices(graph, axis, rest)] = False
                parameter.index_fill_(position, gone.nonzero().flatten(), 0.0)
    return copy


@pytest.mark.parametrize("criterion", IMPORTANCE)
def test_raw_parameters_and_recurrent_states_get_scores(criterion):
    policy, graph = made("recurrent")
    with observe(policy, graph, states(policy)) as observation:
        hidden = set(observation.hidden)
    assert hidden  # the states inside nn.GRU and nn.LSTM, which give tuples
    scores = score(criterion, policy, graph)
    for group in hidden:
        assert scores[group].sum() > 0

    class Raw(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.out = nn.Parameter(torch.randn(3, 6)), nn.Parameter(torch.randn(6, 2))

        def forward(self, x):
            return torch.relu(x @ self.into) @ self.out

    raw = Policy(
        "raw",
        Raw(),
        (Component("all", ("into", "out")),),
        (Entry("act", Raw.forward, {"x": torch.zeros(1, 3)}),),
    )
    (group,) = (graph := build_graph(raw)).groups
    assert score(criterion, raw, graph)[group.name].sum() > 0


def linear(outputs=2):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, outputs))
    entry = Entry("act", lambda module, x: module(x), {"x": torch.zeros(1, 3)})
    return Policy("linear", net, (Component("all", ("0", "1")),), (entry,))


def test_taylor_agrees_with_finite_differences_of_a_mask():
    policy = linear()
    graph = build_graph(policy)
    evidence = Evidence(states(policy, 64), torch.Generator().manual_seed(9))
    x, net = evidence.visited["x"], policy.module.double()
    x = x.double()
    generator = torch.Generator().manual_seed(9)
    signs = [torch.randint(0, 2, (1, 2), generator=generator) * 2.0 - 1.0 for _ in range(4)]
    expected = torch.zeros(5, dtype=torch.float64)
    with torch.no_grad():
        hidden = net[0](x)
        unit = net[1](hidden).std(dim=0, correction=0) + 1e-6
        for channel in range(5):
            gate = torch.ones(5, dtype=torch.float64)
            gate[channel] -= 1e-4
            slope = (net[1](hidden * gate) - net[1](hidden)) / unit / 1e-4
            expected[channel] = sum((slope * s).sum(dim=1).abs().mean() for s in signs) / 4
    policy.module.float()
    found = taylor(policy, graph, evidence)["0"]
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-6)


def test_second_order_taylor_is_the_squared_change_of_a_linear_policy():
    """One output, so that signs square away; closed-loop sensitivity masks for real and agrees."""
    policy = linear(outputs=1)
    graph = build_graph(policy)
    visited = states(policy, 64)
    with torch.no_grad():
        hidden = policy.module[0](visited["x"])
        unit = policy.module[1](hidden).std(correction=0) + 1e-6
        change = hidden * policy.module[1].weight / unit
    found = taylor2(policy, graph, Evidence(visited, torch.Generator()))["0"]
    torch.testing.assert_close(found, change.square().mean(dim=0) / 2, rtol=1e-4, atol=1e-6)
    masked = closed_loop(policy, graph, Evidence(visited, torch.Generator()))["0"]
    torch.testing.assert_close(masked, change.square().mean(dim=0).sqrt(), rtol=1e-4, atol=1e-6)


def test_information_is_the_sum_of_squared_gradients():
    """Held against a backward pass per state; one state at a time, the estimate is exact for one output."""
    policy = linear(outputs=1)
    visited = states(policy, 32 * 40)
    unit = float(policy.module(visited["x"]).detach().std(correction=0)) + 1e-6
    found = weight_information(
        policy, build_graph(policy), Evidence(visited, torch.Generator().manual_seed(0))
    )
    hidden = policy.module[0](visited["x"]).detach()
    assert found["1.bias"].item() * unit**2 == pytest.approx(len(hidden), rel=0.6)
    total = float(found["1.weight"].sum()) * unit**2
    assert total == pytest.approx(float(hidden.square().sum()), rel=0.4)


def test_groups_are_looked_at_behind_norms_and_activation_functions():
    policy, graph = made("simnorm")
    found = {(key[1], name) for key, place in places(policy, graph).items() for name in place.names}
    assert ("encoder.2", "encoder.0") in found  # Linear → LayerNorm → Mish
    assert ("policy.1", "policy.0") in found
    policy, graph = made("camera")
    found = {(key[1], name) for key, place in places(policy, graph).items() for name in place.names}
    assert ("stem.2", "stem.0") in found


def test_one_module_called_twice_is_seen_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.relu = nn.Linear(3, 6), nn.Linear(6, 7), nn.Linear(7, 2), nn.ReLU()

        def forward(self, x):
            return self.c(self.relu(self.b(self.relu(self.a(x)))))

    policy = Policy(
        "twice",
        Twice(),
        (Component("all", ("a", "b", "c")),),
        (Entry("act", Twice.forward, {"x": torch.zeros(1, 3)}),),
    )
    graph = build_graph(policy)
    assert {key: set(place.names) for key, place in places(policy, graph).items()} == {
        ("act", "relu", 0): {"a"},
        ("act", "relu", 1): {"b"},
    }
    scores = score("activation", policy, graph)
    x = states(policy)["x"]
    with torch.no_grad():
        first = torch.relu(policy.module.a(x))
        torch.testing.assert_close(scores["a"], first.mean(dim=0))
        torch.testing.assert_close(scores["b"], torch.relu(policy.module.b(first)).mean(dim=0))


class Drift(gymnasium.Env):
    """x ← x + action, reward −x²; thirty steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.steps = self.np_random.uniform(-1, 1), 0
        return self._seen(), {}

    def step(self, action):
        self.x += 0.2 * float(np.clip(action[0], -1, 1)) + 0.05
        self.steps += 1
        return self._seen(), 1.0 - self.x**2, False, self.steps >= 30, {}

    def _seen(self):
        return np.array([self.x, 1.0], np.float32)


def test_the_return_counts_where_there_is_a_task():
    """Channel 0 brakes the drift, channel 1 is a constant that matters less, the rest does nothing."""
    net = nn.Sequential(nn.Linear(2, 6), nn.Linear(6, 1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net[0].weight[0, 0], net[1].weight[0, 0] = 1.0, -2.0
        net[0].weight[1, 1], net[1].weight[0, 1] = 1.0, -0.25
    entry = Entry("act", lambda module, x: {"action": module(x)}, {"x": torch.zeros(1, 2)})
    policy = Policy("drift", net, (Component("all", ("0", "1")),), (entry,))
    task = Task(Drift, lambda o: {"x": np.asarray(o, np.float32)[None]}, lambda out: out["action"][0], 10.0)
    graph = build_graph(policy)
    visited = {"x": torch.stack([torch.linspace(-1, 1, 32), torch.ones(32)], dim=1)}
    open_loop = closed_loop(policy, graph, Evidence(visited, torch.Generator()))["0"]
    closed = closed_loop(policy, graph, Evidence(visited, torch.Generator(), task))["0"]
    assert closed[0] > open_loop[0] + 0.3  # without the brake it drifts away
    assert (closed >= open_loop).all()
    assert closed[0] > closed[1] > 0
    assert (closed[2:] == 0).all()
    assert torch.equal(net[0].weight[0], torch.tensor([1.0, 0.0]))


def branches():
    """Two branches of equal size, one of which hardly reaches the output."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.loud, self.quiet = nn.Linear(4, 12), nn.Linear(4, 12)
            self.loud_out, self.quiet_out = nn.Linear(12, 3), nn.Linear(12, 3)

        def forward(self, x):
            return self.loud_out(torch.relu(self.loud(x))) + 0.01 * self.quiet_out(torch.relu(self.quiet(x)))

    torch.manual_seed(0)
    parts = tuple(Component(n, (n, f"{n}_out")) for n in ("loud", "quiet"))
    return Policy("branches", Net(), parts, (Entry("act", Net.forward, {"x": torch.zeros(1, 4)}),))


def test_coefficients_by_gradient_favour_what_the_output_needs():
    policy = branches()
    graph = build_graph(policy)
    scores = score("l2", policy, graph)
    before = {path: tensor.clone() for path, tensor in policy.module.state_dict().items()}
    found = gradient_coefficients(policy, graph, scores, states(policy), kept_share=0.5)
    assert found == gradient_coefficients(policy, graph, scores, states(policy), kept_share=0.5)
    assert found["loud"] > 2 * found["quiet"] > 0
    assert np.prod(list(found.values())) == pytest.approx(1.0)
    assert policy.module.training
    assert all(torch.equal(tensor, before[path]) for path, tensor in policy.module.state_dict().items())
    assert all(p.grad is None for p in policy.module.parameters())


def test_coefficients_by_grid_take_what_is_better_and_nothing_else():
    scores = {"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([10.0, 30.0])}
    tried = []

    def quality(coefficients):
        tried.append(coefficients)
        return -abs(coefficients["a"] / coefficients["b"] - 4.0)

    found = grid_coefficients(scores, quality)
    assert found == {"a": pytest.approx(2.0), "b": pytest.approx(0.5)}
    assert len(tried) == 1 + 2 * 4
    assert grid_coefficients(scores, lambda _: 0.0) == {"a": 1.0, "b": 1.0}


def test_weighted_scores_are_in_one_unit():
    scores = {"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([10.0, 30.0]), "dead": torch.zeros(2)}
    found = weighted(scores, {"b": 2.0})
    assert found["a"].tolist() == [0.5, 1.5]
    assert found["b"].tolist() == [1.0, 3.0]
    assert found["dead"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", POLICIES)
def test_masks_along_axes_agree_with_surgery(name):
    graph = made(name)[1]
    keep = {group.name: torch.arange(group.width // 2) for group in graph.groups if group.width > 1}
    masks = {n: (torch.arange(graph.full[n]) < len(index)).float() for n, index in keep.items()}
    for path, its_axes in graph.trace.weights.items():
        for axis in its_axes:
            assert torch.equal(
                axis_mask(graph, axis, masks).nonzero().flatten(), kept_indices(graph, axis, keep)
            ), path


def test_the_command_line_names_every_criterion():
    """Written out there, because start-up must not import torch."""
    from secateur.cli import prune

    (option,) = get_type_hints(prune, include_extras=True)["importance"].__metadata__
    for criterion in IMPORTANCE:
        assert criterion in option.help


def test_closed_loop_of_a_planner_masks_while_it_plans(monkeypatch):
    policy, task = point()
    planned = dataclasses.replace(policy, deployed=PLAN)
    graph = build_graph(planned)
    module = importlib.import_module(closed_loop.__module__)
    monkeypatch.setattr(module, "CANDIDATES", 6)
    monkeypatch.setattr(module, "EPISODES", 2)
    visited = {"observation": torch.rand(STATES, 1) * 2 - 1}
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    with_task, without = (
        closed_loop(planned, graph, Evidence(visited, generator, given))
        for generator, given in zip(generators, (task, None))
    )
    lost = {name: with_task[name] - without[name] for name in with_task}
    assert all((each >= 0).all() for each in lost.values())
    assert any(each.any() for each in lost.values())
