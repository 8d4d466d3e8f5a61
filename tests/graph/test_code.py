"""Where a policy's own code meets no size there is nothing that a trial could find; where it does, it is tried."""

import pytest
import torch
from architectures import ARCHITECTURES, one_entry
from hypothesis import given, settings
from networks import POLICIES, random_policies
from torch import nn

from secateur.graph import code
from secateur.graph.groups import build_graph
from secateur.prune.analyse import analyse, try_groups
from secateur.prune.surgery import ATTRIBUTES


class Through(nn.Module):
    """Two layers, and between them what is asked for."""

    def __init__(self, between, first=nn.Linear, **sizes):
        super().__init__()
        self.a, self.b, self.between = first(6, 8, **sizes), nn.Linear(8, 3), between

    def forward(self, x):
        return self.b(self.between(self.a(x)))


def _asserting(x):
    assert x.shape[-1] == 8
    return x


BLIND = {
    "function": torch.relu,
    "module": nn.LayerNorm(8),
    "sum": lambda x: x + torch.tanh(x) * 2,
    "centred": lambda x: x - x.mean(1, keepdim=True),
    "container": nn.Sequential(nn.BatchNorm1d(8), nn.SiLU(), nn.Dropout(0.1)),
    "flat": lambda x: x.flatten(1),
}
SIZED = {
    "view": lambda x: x.view(-1, 8),
    "shape": _asserting,
    "length": lambda x: x * len(x),
    "slice": lambda x: x[:, :8],
    "split": lambda x: torch.cat(x.split([4, 4], 1), 1),
    "constant": lambda x: x + torch.ones(8),
    "norm": lambda x: nn.functional.layer_norm(x, (8,)),
    "attribute": nn.Unflatten(1, (2, 4)),
    "transpose": lambda x: x.T.T,
}


@pytest.mark.parametrize("name", BLIND)
def test_code_without_sizes_is_not_tried(name):
    policy = one_entry(Through(BLIND[name]), x=torch.randn(2, 6))
    graph = build_graph(policy)
    assert graph.trace.sized == ""
    assert analyse(policy).full == try_groups(policy, graph).full == {"a": 8}


@pytest.mark.parametrize("name", SIZED)
def test_code_with_sizes_is_tried(name):
    between = SIZED[name]
    if name == "attribute":
        between = nn.Sequential(between, nn.Flatten())
    assert build_graph(one_entry(Through(between), x=torch.randn(2, 6))).trace.sized


def test_an_assertion_on_a_width_is_found():
    policy = one_entry(Through(_asserting), x=torch.randn(2, 6))
    assert build_graph(policy).full == {"a": 8}
    assert analyse(policy).full == {}


def _assert_nothing_to_find(policy):
    graph = build_graph(policy)
    if not graph.trace.sized:
        assert try_groups(policy, graph).full == graph.full


@pytest.mark.parametrize("name", [*POLICIES, *ARCHITECTURES])
def test_a_trial_finds_nothing_where_none_is_made(name):
    _assert_nothing_to_find((POLICIES | ARCHITECTURES)[name]())


@given(random_policies())
@settings(deadline=None, max_examples=20)
def test_a_trial_finds_nothing_in_random_policies_where_none_is_made(policy):
    _assert_nothing_to_find(policy)


def test_modules_that_are_not_watched_are_those_that_surgery_keeps_up_to_date():
    widthless = {"activation", "dropout", "pooling"}
    for kind in code.KNOWN - {nn.Identity}:
        assert issubclass(kind, tuple(ATTRIBUTES)) or kind.__module__.rpartition(".")[2] in widthless
