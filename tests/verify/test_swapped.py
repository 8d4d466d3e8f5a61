"""One component swapped: exact as long as zero is nothing, noticed where it is not; and int8 of one part."""

from dataclasses import replace

import pytest
import torch
from masking import masked, random_keep
from torch import nn

from secateur.graph.groups import build_graph
from secateur.policy.policy import Component, Entry, Policy
from secateur.prune.surgery import cut
from secateur.simulate.controller import acting
from secateur.verify.swapped import acting_components, embeds_exactly, with_int8, with_pruned


class Net(nn.Module):
    """Encoder, a head that acts, and one that is not deployed."""

    def __init__(self, norm):
        super().__init__()
        middle = nn.LayerNorm(12) if norm else nn.ReLU()
        self.encoder = nn.Sequential(nn.Linear(5, 12), middle, nn.Linear(12, 8), nn.ELU())
        self.head = nn.Sequential(nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 2))
        self.value = nn.Linear(8, 1)

    def act(self, observation):
        return self.head(self.encoder(observation))

    def worth(self, observation):
        return self.value(self.encoder(observation))


class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.cell = nn.GRUCell(8, 12)
        self.head = nn.Linear(12, 2)

    def act(self, observation, hidden):
        hidden = self.cell(self.encoder(observation), hidden)
        return {"action": self.head(hidden), "hidden": hidden}


def policy_of(norm=False):
    torch.manual_seed(0)
    example = {"observation": torch.randn(1, 5)}
    parts = tuple(Component(name, (name,)) for name in ("encoder", "head", "value"))
    entries = (Entry("act", Net.act, example), Entry("worth", Net.worth, example))
    return Policy("net", Net(norm).eval(), parts, entries)


def remembering():
    torch.manual_seed(1)
    examples = {"observation": torch.randn(1, 5), "hidden": torch.zeros(1, 12)}
    parts = tuple(Component(name, (name,)) for name in ("encoder", "cell", "head"))
    entry = Entry("act", Memory.act, examples, feeds={"hidden": ("act.hidden",)})
    return Policy("memory", Memory().eval(), parts, (entry,))


def changed(policy):
    """The same with other weights: as if it had been recovered."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in policy.module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


def outputs(policy, observations):
    with acting(policy.module):
        return policy.module.act(observations)


@pytest.mark.parametrize("make", [policy_of, remembering])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_components_put_back_are_the_pruned_policy(make, seed):
    policy = make()
    graph = build_graph(policy)
    keep = random_keep(graph, seed)
    small = changed(cut(policy, graph, keep))
    visited = {"observation": torch.randn(24, 5)}
    whole = with_pruned(policy, graph, keep, graph.components, dict(small.module.state_dict()))
    assert embeds_exactly(small, whole, visited, (10, 14))
    other = with_pruned(policy, graph, keep, graph.components)
    assert not embeds_exactly(small, other, visited, (10, 14))


def test_where_channels_are_normed_it_is_noticed():
    policy = policy_of(norm=True)
    graph = build_graph(policy)
    keep = {graph.groups[0].name: torch.arange(0, 12, 2)}
    small = cut(policy, graph, keep)
    whole = with_pruned(policy, graph, keep, graph.components, dict(small.module.state_dict()))
    assert not embeds_exactly(small, whole, {"observation": torch.randn(9, 5)}, (9,))


def test_masked_is_the_original_with_zeros_in_that_component_alone():
    policy = policy_of()
    graph = build_graph(policy)
    keep = random_keep(graph, 3)
    observations = torch.randn(6, 5)
    every = with_pruned(policy, graph, keep, graph.components)
    torch.testing.assert_close(
        outputs(every, observations), outputs(masked(policy, graph, keep), observations)
    )
    one = with_pruned(policy, graph, keep, ("head",))
    for name, tensor in policy.module.state_dict().items():
        if not name.startswith("head"):
            assert torch.equal(one.module.state_dict()[name], tensor)
    assert not torch.equal(outputs(one, observations), outputs(policy, observations))
    nothing = with_pruned(policy, graph, keep, ())
    assert torch.equal(outputs(nothing, observations), outputs(policy, observations))


def test_components_that_do_not_act_are_left_out():
    policy = policy_of()
    graph = build_graph(policy)
    assert acting_components(policy, graph) == ("encoder", "head")
    other = replace(policy, deployed="worth")
    assert acting_components(other, build_graph(other)) == ("encoder", "value")


def test_int8_of_one_part_is_near_the_original_and_holds_its_scales():
    policy = policy_of()
    visited = {"observation": torch.randn(256, 5)}
    quantised = with_int8(policy, ("head",), visited)
    assert quantised.module is not policy.module
    wanted = outputs(policy, visited["observation"])
    got = outputs(quantised, visited["observation"])
    assert 0 < (got - wanted).abs().max() < 0.05 * wanted.abs().max()
    outputs(quantised, 100 * torch.randn(8, 5))  # what it meets later changes nothing
    assert torch.equal(got, outputs(quantised, visited["observation"]))
    alone = torch.cat([outputs(quantised, row[None]) for row in visited["observation"][:8]])
    torch.testing.assert_close(alone, got[:8], rtol=1e-5, atol=0.02)
    assert torch.equal(outputs(with_int8(policy, ("value",), visited), visited["observation"]), wanted)
