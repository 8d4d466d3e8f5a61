"""Widths that were never built are priced as if they had been."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import POLICIES, random_policies, small_camera, world_model

from secateur.export.quantize import quantize
from secateur.export.read import read_tflite
from secateur.export.tflite import to_tflite
from secateur.graph.groups import build_graph
from secateur.graph.probe import probe_widths
from secateur.graph.sizes import parameter_sizes, size_at, size_of
from secateur.graph.template import fit_template
from secateur.operators.lower import lower
from secateur.policy.load import load
from secateur.prune.surgery import rebuild, resized
from secateur.target.by_width import PriceByWidth
from secateur.target.cost import price
from secateur.target.target import load_target

MADE = {
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
        graph, _converted(policy), _converted(resized(policy, graph, probe)), probe, policy.deployed
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
    assert all(0 < narrow < full for full, narrow in pairs)


@pytest.mark.slow
def test_operators_know_their_component(priced):
    policy, _, predict = priced
    kinds = [operator.kind for operator in predict.template.network.operators]
    owners = [
        c for kind, c in zip(kinds, predict.template.components) if kind in ("FULLY_CONNECTED", "CONV_2D")
    ]
    if policy.name == "small_camera":
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
    widths = {g.name: int(torch.randint(1, g.width + 1, (1,), generator=generator)) for g in graph.groups}
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
