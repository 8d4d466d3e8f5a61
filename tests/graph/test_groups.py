import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from masking import assert_cut_equals_masked, random_keep
from networks import POLICIES, random_policies, world_model
from torch import nn

from secateur.errors import SecateurError
from secateur.graph.groups import build_graph
from secateur.graph.members import per_channel
from secateur.graph.probe import probe_widths
from secateur.policy.policy import Component, Entry, Policy
from secateur.prune.analyse import analyse
from secateur.prune.surgery import cut, resized


def test_world_model_has_one_coupling_group():
    graph = build_graph(world_model())
    assert len(graph.groups) == 12
    (coupling,) = [g for g in graph.groups if g.coupling]
    assert coupling.components == ("encoder", "dynamics", "reward", "value", "policy")
    assert ("encoder", "policy") in coupling.flows
    assert ("dynamics", "reward") in coupling.flows
    assert ("policy", "dynamics") not in coupling.flows  # the action flows there, not the latent
    (columns,) = [m for m in coupling.members if m.parameter == "dynamics.0.weight"]
    assert (columns.axis, columns.offset) == (1, 0)


def test_what_stays_whole_says_why():
    graph = build_graph(world_model())
    assert [(w.parameter, w.why) for w in graph.whole] == [("encoder.0.weight", "act takes it from outside")]


def test_simplices_are_pruned_whole():
    graph = build_graph(POLICIES["simnorm"]())
    widths = {g.name: g.width for g in graph.groups if "encoder.3" in g.name}
    assert list(widths.values()) == [6]  # 24 channels in simplices of four


def test_depthwise_and_flatten():
    graph = build_graph(POLICIES["camera"]())
    stem = graph.by_name["stem.0"]
    assert {m.parameter for m in stem.members} >= {
        "depthwise.weight",
        "norm.weight",
        "pointwise.weight",
        "down.weight",
    }
    down = graph.by_name["down"]
    (columns,) = [m for m in down.members if m.parameter == "fusion.0.weight"]
    assert (columns.offset, columns.stride) == (0, 9)
    (joints,) = [m for m in graph.by_name["joints.0"].members if m.parameter == "fusion.0.weight"]
    assert joints.offset == 16 * 9


@pytest.mark.parametrize("name", POLICIES)
def test_every_group_can_be_cut_alone(name):
    policy = POLICIES[name]()
    graph = build_graph(policy)
    assert graph.groups
    for group in graph.groups:
        pruned = cut(policy, graph, {group.name: torch.arange(1, group.width)})
        shapes = {n: tuple(t.shape) for n, t in pruned.module.state_dict().items()}
        assert shapes == {n: graph.shape(n, {**graph.full, group.name: group.width - 1}) for n in shapes}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_policies(), st.integers(0, 2**16))
def test_pruned_equals_masked(policy, seed):
    graph = build_graph(policy)
    assert_cut_equals_masked(policy, graph, random_keep(graph, seed))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_policies(), st.integers(0, 2**16), st.data())
def test_inner_groups_touch_their_own_component_only(policy, seed, data):
    graph = build_graph(policy)
    inner = [g for g in graph.groups if not g.coupling]
    if not inner:
        return
    component = data.draw(st.sampled_from(sorted({g.components[0] for g in inner})))
    keep = {
        n: k
        for n, k in random_keep(graph, seed).items()
        if graph.by_name[n] in inner and graph.by_name[n].components[0] == component
    }
    before, after = policy.module.state_dict(), cut(policy, graph, keep).module.state_dict()
    for path, owner in graph.component_of.items():
        if owner != component:
            assert torch.equal(before[path], after[path]), path


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", POLICIES)
def test_pruned_equals_masked_on_every_entry(name, seed):
    policy = POLICIES[name]()
    graph = build_graph(policy)
    assert_cut_equals_masked(policy, graph, random_keep(graph, seed))


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(3, 8), nn.Linear(8, 2)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.c(torch.relu(self.a(x) + self.b(x)))

    policy = Policy(
        "tied",
        Tied(),
        (Component("all", ("a", "b", "c")),),
        (Entry("act", Tied.forward, {"x": torch.zeros(1, 3)}),),
    )
    pruned = cut(policy, build_graph(policy), {"a": torch.arange(5)})
    assert pruned.module.a.weight is pruned.module.b.weight
    assert pruned.module.a.weight.shape == (5, 3)


def test_unknown_operators_leave_their_channels_whole():
    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.b(torch.sort(self.a(x), dim=-1).values)

    policy = Policy(
        "sorted",
        Sorted(),
        (Component("all", ("a", "b")),),
        (Entry("act", Sorted.forward, {"x": torch.zeros(1, 3)}),),
    )
    graph = build_graph(policy)
    assert not graph.groups
    assert any("sort" in w.why for w in graph.whole)


def test_parameter_counts_follow_widths():
    policy = world_model()
    graph = build_graph(policy)
    widths = probe_widths(graph)
    counts = graph.parameter_counts(widths)
    pruned = resized(policy, graph, widths)
    assert sum(counts.values()) == sum(p.numel() for p in pruned.module.parameters())


def test_magnitude_counts_every_element_once():
    policy = POLICIES["camera"]()
    graph = build_graph(policy)
    ones = per_channel(policy, graph, torch.ones_like)
    group = graph.by_name["down"]
    elements = (8 * 9 + 1) + 9 * 12  # a row of the convolution, its bias, nine columns of the fusion
    assert torch.equal(ones["down"], torch.full((group.width,), float(elements)))


def test_bad_widths_are_refused():
    policy = world_model()
    graph = build_graph(policy)
    for keep in (
        {"nonsense": torch.arange(2)},
        {"encoder.0": torch.arange(0)},
        {"encoder.0": torch.tensor([3, 1])},
        {"encoder.0": torch.arange(99)},
    ):
        with pytest.raises(SecateurError):
            cut(policy, graph, keep)


def test_code_with_a_width_written_in_it_is_named():
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x):
            y = self.a(x)
            assert y.shape[-1] == 8 or torch.zeros(3) @ torch.zeros(4)
            return self.b(y)

    policy = Policy(
        "stubborn",
        Stubborn(),
        (Component("all", ("a", "b")),),
        (Entry("act", Stubborn.forward, {"x": torch.zeros(1, 3)}),),
    )
    with pytest.raises(SecateurError, match="after pruning, an entry fails"):
        cut(policy, build_graph(policy), {"a": torch.arange(4)})


def test_the_policy_is_left_as_it_was():
    policy = POLICIES["camera"]()
    before = {n: t.clone() for n, t in policy.module.state_dict().items()}
    policy.module.train()
    graph = build_graph(policy)
    cut(policy, graph, {"stem.0": torch.arange(1)})
    assert policy.module.training
    assert all(torch.equal(t, before[n]) for n, t in policy.module.state_dict().items())


class Sliced(nn.Module):
    """Positions written in the code: the cut network would run, and compute something else."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 16), nn.Linear(16, 2)

    def forward(self, x):
        h = self.a(x)
        return self.b(torch.cat([torch.relu(h[:, :8]), torch.tanh(h[:, 8:])], -1))

    def chunked(self, x):
        one, two = self.a(x).chunk(2, -1)
        return self.b(torch.cat([torch.relu(one), torch.tanh(two)], -1))


def _single(module, call):
    parts = (Component("all", tuple(name for name, _ in module.named_children())),)
    return Policy("single", module.eval(), parts, (Entry("act", call, {"x": torch.zeros(1, 3)}),))


def test_positions_written_in_the_code_are_noticed():
    policy = _single(Sliced(), Sliced.forward)
    graph = build_graph(policy)
    assert [g.width for g in graph.groups] == [8, 8]
    uneven = {graph.groups[0].name: torch.arange(3)}
    with pytest.raises(SecateurError, match="positions"):
        cut(policy, graph, uneven)
    assert analyse(policy).full == {"a#2": 8}  # what comes after the first eight may well be fewer


def test_equal_pieces_stay_equal():
    policy = _single(Sliced(), Sliced.chunked)
    graph = analyse(policy)
    assert graph.full == {"a": 8}
    assert cut(policy, graph, {"a": torch.arange(3)}).module.a.out_features == 6


def test_the_order_of_a_norm_is_not_an_axis():
    class Normalized(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 16), nn.Linear(16, 2)

        def forward(self, x):
            return self.b(nn.functional.normalize(self.a(x), dim=-1))

    graph = build_graph(_single(Normalized(), Normalized.forward))
    assert [g.width for g in graph.groups] == [16]


@pytest.mark.parametrize("answer", [None, (1, 2), {"a": 3}])
def test_entries_give_tensors(answer):
    policy = Policy(
        "odd",
        nn.Linear(3, 2),
        (Component("all", ("weight", "bias")),),
        (Entry("act", lambda m, x: answer, {"x": torch.zeros(1, 3)}),),
    )
    with pytest.raises(SecateurError, match="an entry gives one tensor"):
        build_graph(policy)


def test_probe_widths_differ_where_there_are_enough():
    layers = nn.Sequential(nn.Linear(3, 8), *[nn.Linear(8, 8) for _ in range(6)], nn.Linear(8, 2))
    policy = Policy(
        "deep",
        layers,
        (Component("all", tuple(str(i) for i in range(8))),),
        (Entry("act", lambda m, x: m(x), {"x": torch.zeros(1, 3)}),),
    )
    probe = probe_widths(build_graph(policy))
    assert len(probe) == 7
    assert len(set(probe.values())) == 7
