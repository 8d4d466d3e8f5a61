"""Policies at the edge of what can be cut: either the cut equals the mask, or the axis is whole and says why."""

import pytest
import torch
from architectures import one_entry
from masking import assert_cut_equals_masked, random_keep
from torch import nn
from torch.nn import functional

from secateur.errors import SecateurError
from secateur.policy.load import load
from secateur.policy.policy import Component, Entry, Policy
from secateur.prune.analyse import analyse
from secateur.prune.surgery import cut
from secateur.report.structure import describe


class Between(nn.Module):
    """Something between two layers of eight."""

    def __init__(self, what):
        super().__init__()
        self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 2)
        self.what = what if isinstance(what, nn.Module) else [what]

    def forward(self, x):
        h = self.a(x)
        return self.b(self.what(h) if isinstance(self.what, nn.Module) else self.what[0](h))


def _between(what):
    torch.manual_seed(0)
    return one_entry(Between(what), x=torch.randn(2, 5))


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_a_norm_without_weights_follows_its_channels(norm):
    policy = _between(norm(8, elementwise_affine=False))
    graph = analyse(policy)
    assert graph.full == {"a": 8}
    for seed in range(3):
        assert_cut_equals_masked(policy, graph, random_keep(graph, seed))
    pruned = cut(policy, graph, {"a": torch.arange(3)})
    assert pruned.module.what.normalized_shape == (3,)
    assert policy.module.what.normalized_shape == (8,)
    assert analyse(pruned).full == {"a": 3}


def test_a_norm_without_weights_over_two_axes_stays_whole():
    class Image(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.norm = nn.Conv2d(1, 4, 1), nn.LayerNorm((4, 3, 3), elementwise_affine=False)
            self.b = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.b(self.norm(self.a(x)))

    graph = analyse(one_entry(Image(), x=torch.randn(1, 1, 3, 3)))
    assert not graph.groups
    assert {w.why for w in graph.whole if w.parameter == "a.weight" and w.axis == 0} == {
        "a norm over several axes has their sizes written in it"
    }


@pytest.mark.parametrize(
    "extreme",
    [
        lambda h: h + h.amax(-1, keepdim=True),
        lambda h: h + h.min(-1, keepdim=True).values,
        lambda h: h + h.prod(-1, keepdim=True),
        lambda h: h * h.max(-1, keepdim=True).indices,
    ],
)
def test_what_a_maximum_runs_over_stays_whole(extreme):
    graph = analyse(_between(extreme))
    assert not graph.groups
    assert "a maximum, minimum or product runs over it" in {w.why for w in graph.whole}


def test_a_mean_over_channels_is_of_those_that_are_left():
    policy = _between(lambda h: h - h.mean(-1, keepdim=True))
    graph = analyse(policy)
    keep = torch.tensor([0, 3, 4])
    pruned = cut(policy, graph, {"a": keep})
    x = torch.randn(4, 5)
    with torch.no_grad():
        left = policy.module.a(x)[:, keep]
        wanted = functional.linear(
            left - left.mean(-1, keepdim=True), policy.module.b.weight[:, keep], policy.module.b.bias
        )
        torch.testing.assert_close(pruned.module(x), wanted)


def test_pooling_without_a_batch_keeps_channels():
    class Unbatched(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 6, 3), nn.Linear(6, 2)

        def forward(self, x):
            pooled = functional.max_pool2d(torch.relu(self.a(x[0])), 2)
            return self.b(functional.avg_pool2d(pooled, 2).flatten()[None])

    policy = one_entry(Unbatched(), x=torch.randn(1, 1, 6, 6))
    graph = analyse(policy)
    assert graph.full == {"a": 6}
    assert_cut_equals_masked(policy, graph, random_keep(graph, 1))


def test_weights_that_no_entry_uses_stay_whole_and_say_so():
    class Trained(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 32), nn.Linear(32, 2)
            self.critic = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1))

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))

    policy = one_entry(Trained(), x=torch.randn(1, 5))
    graph = analyse(policy)
    assert graph.full == {"a": 32}
    unused = [w for w in graph.whole if w.parameter.startswith("critic.")]
    assert {w.why for w in unused} == {"no entry uses it"}
    pruned = cut(policy, graph, {"a": torch.arange(4)})
    assert pruned.module.critic(torch.randn(1, 5)).shape == (1, 1)


def test_analysis_leaves_buffers_that_code_writes_into_as_they_were():
    class Running(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 2)
            self.register_buffer("mean", torch.zeros(8))
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            h = self.a(x)
            self.mean.mul_(0.9).add_(0.1 * h.mean(0))
            self.count = self.count + 1
            return self.b(h - self.mean)

    policy = one_entry(Running(), x=torch.randn(2, 5))
    mean = policy.module.mean
    assert analyse(policy).full == {"a": 8}
    assert policy.module.mean is mean
    assert not mean.any()
    assert policy.module.count == 0


class Latent(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.dynamics, self.head = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def act(self, observation):
        return self.head(torch.relu(self.encoder(observation)))

    def encode(self, observation):
        return self.encoder(observation)

    def after(self, latent):
        return {"latent": self.dynamics(torch.relu(latent))}


def _latent(source, batch=1):
    observation = {"observation": torch.randn(1, 5)}
    return Policy(
        "latent",
        Latent().eval(),
        tuple(Component(name, (name,)) for name in ("encoder", "dynamics", "head")),
        (
            Entry("act", Latent.act, observation),
            Entry("encode", Latent.encode, observation),
            Entry("next", Latent.after, {"latent": torch.randn(batch, 8)}, feeds={"latent": source}),
        ),
    )


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        (("act",), r"next.latent takes \[1, 8\], and act.act gives \[1, 1\]"),
        (("encode", "next.latnet"), r"next.latent is fed by next.latnet, and next gives latent"),
    ],
)
def test_feeds_that_do_not_fit_are_refused(source, seen):
    with pytest.raises(SecateurError, match=seen):
        analyse(_latent(source))


def test_examples_of_different_batches_stay_what_they_are():
    policy = _latent(("encode", "next"), batch=4)
    graph = analyse(policy)
    assert graph.full == {"encoder": 8}
    pruned = cut(policy, graph, {"encoder": torch.arange(5)})
    assert pruned.entry("next").example_inputs["latent"].shape == (4, 5)


def test_flows_to_the_outside_have_the_width_of_the_output():
    loaded = load("cartpole_gru")
    graph = analyse(loaded.policy)
    flows = {flow["output"]: flow for flow in describe(loaded.policy, graph)["outputs"]}
    assert flows["hidden"]["width"] == loaded.policy.entry().example_inputs["hidden"].shape[-1]
