"""Widths that were never built are priced as if they had been."""

import numpy as np
import pytest
import torch
from networks import small_camera

from secateur.export.quantize import quantize
from secateur.export.read import read_tflite
from secateur.export.tflite import to_tflite
from secateur.graph.groups import build_graph
from secateur.graph.template import fit_template, probe_widths
from secateur.operators.lower import lower
from secateur.policy.load import load
from secateur.prune.surgery import rebuild
from secateur.target.by_width import PriceByWidth
from secateur.target.cost import price
from secateur.target.target import load_target

pytestmark = pytest.mark.slow


def _converted(policy):
    generator = np.random.default_rng(0)
    samples = {
        n: generator.normal(size=(64, *e.shape[1:])).astype("f")
        for n, e in policy.entry().example_inputs.items()
    }
    return read_tflite(quantize(to_tflite(policy), samples))


@pytest.fixture(scope="module", params=["tdmpc_cartpole", "small_camera"])
def priced(request):
    policy = small_camera() if request.param == "small_camera" else load(request.param).policy
    graph = build_graph(policy)
    probe = probe_widths(graph)
    template = fit_template(
        graph, _converted(policy), _converted(rebuild(policy, graph, probe)), probe, policy.deployed
    )
    return policy, graph, PriceByWidth(template, load_target("stm32f446re"))


def test_probe_widths_tell_groups_apart(priced):
    graph = priced[1]
    probe = probe_widths(graph)
    pairs = [(g.width, probe[g.name]) for g in graph.groups]
    assert len(set(pairs)) == len(pairs)
    assert all(0 < narrow < full for full, narrow in pairs)


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
