"""Widths that were never built are priced as if they had been."""

import random

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, GRUPolicy, one_entry
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import POLICIES, random_policies, small_camera, world_model
from torch import nn

from secateur.errors import SecateurError
from secateur.export.quantize import quantize
from secateur.export.read import read_tflite
from secateur.export.tflite import to_tflite
from secateur.graph import axes
from secateur.graph.groups import build_graph
from secateur.graph.probe import probe_widths, traced_sizes
from secateur.graph.sizes import groups_in, parameter_sizes, size_at, size_of
from secateur.graph.template import aligned, fit_template
from secateur.network import Network, Operator, Tensor
from secateur.operators.lower import lower
from secateur.policy.load import load
from secateur.policy.policy import Component, Entry, Policy
from secateur.prune.surgery import rebuild, resized
from secateur.target.by_width import PriceByWidth
from secateur.target.cost import price
from secateur.target.target import load_target


class Attending(nn.Module):
    """Tokens of two sensors through one of torch's own encoder layers."""

    def __init__(self):
        super().__init__()
        self.camera, self.joints = nn.Linear(6, 16), nn.Linear(4, 16)
        self.body = nn.TransformerEncoderLayer(16, 4, 24, dropout=0.0, norm_first=True, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, camera, joints):
        return self.head(self.body(torch.cat([self.camera(camera), self.joints(joints)], 1)).mean(1))


def attending():
    """Norms as training leaves them, for a converter leaves a factor of one out."""
    torch.manual_seed(0)
    module = Attending()
    for parameter in module.body.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return one_entry(module, camera=torch.randn(1, 2, 6), joints=torch.randn(1, 1, 4))


def remembering():
    """A recurrent cell whose state comes in and goes out."""
    inputs = {"observation": torch.randn(1, 6), "state": torch.randn(1, 10)}
    parts = tuple(Component(name, (name,)) for name in ("encoder", "memory", "head"))
    step = Entry("step", GRUPolicy.step, inputs, {"state": ("step.state",)})
    return Policy("remembering", GRUPolicy().eval(), parts, (step,))


MADE = {
    "attending": attending,
    "remembering": remembering,
    "tdmpc_cartpole": lambda: load("tdmpc_cartpole").policy,
    "small_camera": small_camera,
    "world_model": lambda: world_model(latent=24, hidden=40),
}


def _converted(policy):
    generator = np.random.default_rng(0)
    samples = {
        n: generator.normal(size=(64, *e.shape[1:])).astype("f")
        for n, e in policy.entry().example_inputs.items()
    }
    return read_tflite(quantize(to_tflite(policy), samples))


@pytest.fixture(scope="module", params=MADE)
def priced(request):
    policy = MADE[request.param]()
    graph = build_graph(policy)
    probe = probe_widths(graph)
    template = fit_template(
        graph, *(_converted(resized(policy, graph, at)) for at in (graph.full, probe)), probe, policy.deployed
    )
    return policy, graph, PriceByWidth(template, load_target("stm32f446re"))


def _check_sizes(graph, draw):
    for _ in range(3):
        widths = {group.name: draw.randint(1, group.width) for group in graph.groups if draw.random() < 0.9}
        for shape in graph.trace.weights.values():
            for axis in shape:
                assert size_at(size_of(graph, (axis,)), widths) == graph.size(axis, widths)
        counts = {name: size_at(size, widths) for name, size in parameter_sizes(graph).items()}
        assert counts == graph.parameter_counts(widths)


@pytest.mark.parametrize("name", POLICIES)
def test_sizes_multiplied_out(name):
    _check_sizes(build_graph(POLICIES[name]()), random.Random(0))


@given(random_policies(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=15)
def test_sizes_of_random_policies_multiplied_out(policy, draw):
    _check_sizes(build_graph(policy), draw)


@pytest.mark.slow
def test_probe_widths_tell_groups_apart(priced):
    graph = priced[1]
    probe = probe_widths(graph)
    pairs = [(g.width, probe[g.name]) for g in graph.groups]
    assert len(set(pairs)) == len(pairs)
    assert all(at > 1 and at != full for full, at in pairs)


@pytest.mark.parametrize("name", [*POLICIES, *ARCHITECTURES])
def test_probe_widths_tell_sizes_apart(name):
    graph = build_graph((POLICIES | ARCHITECTURES)[name]())
    probe = probe_widths(graph)
    sizes = {size for of in traced_sizes(graph) for size in of if groups_in(size)}
    pairs = {(size_at(size, graph.full), size_at(size, probe)) for size in sizes}
    assert len(pairs) == len(sizes)
    assert all(whole != other for whole, other in pairs)
    assert all(width > 1 for width in probe.values())


def _network(shapes, operators):
    """Tensors by shape, the last constants; operators by kind and tensors."""
    tensors = tuple(
        Tensor(name, shape, "int8", constant=name.startswith("c")) for name, shape in shapes.items()
    )
    place = {name: index for index, name in enumerate(shapes)} | {"-": -1}
    made = tuple(
        Operator(kind, tuple(place[t] for t in reads), tuple(place[t] for t in writes))
        for kind, reads, writes in operators
    )
    return Network(tensors, made, {"x": place["x"]}, {"y": place["y"]})


def _two_layers(widths, share):
    """x → a → y, whose weights are one tensor where ``share`` and the widths allow it, as a converter has it."""
    a, b = widths
    once = share and a == b == 8
    shapes = {"x": (1, 8), "h": (1, a), "y": (1, b), "c1": (a, 8)} | ({} if once else {"c2": (b, a)})
    second = "c1" if once else "c2"
    return _network(
        shapes,
        [("FULLY_CONNECTED", ("x", "c1", "-"), ("h",)), ("FULLY_CONNECTED", ("h", second, "-"), ("y",))],
    )


@pytest.mark.parametrize("share", [True, False])
def test_a_constant_that_two_layers_share_has_the_size_of_each(share):
    network, others = aligned(_two_layers((8, 8), share), _two_layers((5, 6), share))
    shapes = [(one.shape, two.shape) for one, two in zip(network.tensors, others)]
    read = [shapes[operator.inputs[1]] for operator in network.operators]
    assert read == [((8, 8), (5, 8)), ((8, 8), (6, 5))]
    assert shapes[network.outputs["y"]] == ((1, 8), (1, 6))


@pytest.mark.parametrize(
    "other",
    [
        [("FULLY_CONNECTED", ("x", "c1", "-"), ("y",))],
        [("FULLY_CONNECTED", ("x", "c1", "-"), ("h",)), ("TANH", ("h",), ("y",))],
        [("FULLY_CONNECTED", ("x", "c1", "-"), ("h",)), ("FULLY_CONNECTED", ("x", "c2", "-"), ("y",))],
    ],
)
def test_networks_that_differ_in_more_than_sizes_are_refused(other):
    shapes = {"x": (1, 8), "h": (1, 5), "y": (1, 6), "c1": (5, 8), "c2": (6, 8)}
    with pytest.raises(SecateurError, match="do not depend on its widths"):
        aligned(_two_layers((8, 8), False), _network(shapes, other))


@pytest.mark.slow
def test_operators_know_their_component(priced):
    policy, _, predict = priced
    kinds = [operator.kind for operator in predict.template.network.operators]
    owners = [
        c for kind, c in zip(kinds, predict.template.components) if kind in ("FULLY_CONNECTED", "CONV_2D")
    ]
    if policy.name == "Attending":
        assert owners == ["camera", "joints", *["body"] * 6, "head"]
    elif policy.name == "remembering":
        assert owners == ["encoder", "memory", "memory", "head", "head"]
    elif policy.name == "small_camera":
        assert owners == ["perception"] * 3 + ["joints", "fusion", "head"]
    else:
        assert owners == ["encoder"] * 2 + ["policy"] * 3


@pytest.mark.slow
@given(st.data())
@settings(deadline=None, max_examples=60)
def test_by_parts_as_by_the_whole(priced, data):
    _, graph, predict = priced
    lows = {group.name: st.integers(1, min(3, group.width)) for group in graph.groups}
    anys = {group.name: st.integers(1, group.width) for group in graph.groups}
    widths = data.draw(st.fixed_dictionaries({name: lows[name] | anys[name] for name in anys}))
    name = data.draw(st.sampled_from(sorted(widths)))
    for asked in (widths, {**widths, name: data.draw(anys[name])}):
        cost, counts = predict(asked), graph.parameter_counts(asked)
        assert cost == predict.whole(asked)
        assert {name: part.parameters for name, part in cost.components.items()} == {
            name: counts[name] for name in cost.components
        }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_predicted_equals_converted(priced, seed):
    policy, graph, predict = priced
    generator = torch.Generator().manual_seed(seed)
    heads = {graph.dims[dim] for axis in graph.trace.counts.values() for (dim,) in axes.normal(axis)}
    widths = {  # with a single head, a converter leaves out the axis that counts them
        g.name: int(torch.randint(1 + (g.name in heads), g.width + 1, (1,), generator=generator))
        for g in graph.groups
    }
    converted = price(lower(_converted(rebuild(policy, graph, widths))), predict.target, predict.components)
    predicted = predict(widths)
    for field in (
        "macs",
        "weights_bytes",
        "tables_bytes",
        "static_ram_bytes",
        "instructions",
        "code_bytes",
        "stack_bytes",
    ):
        assert getattr(predicted, field) == getattr(converted, field), field
