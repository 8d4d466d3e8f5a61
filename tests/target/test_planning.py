"""The price of planning: calls, rows and MACs as they are while a planner really runs."""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from point_planner import SETTINGS, policy

from secateur.export.planner import batched, signature_name
from secateur.export.read import read_tflite
from secateur.export.tflite import to_tflite
from secateur.graph.groups import build_graph
from secateur.policy.planning import PLAN, PlannerSettings
from secateur.pricing import convert_template
from secateur.prune.allocate import on_board
from secateur.prune.surgery import rebuild
from secateur.simulate.planner import EntryModel, Planner
from secateur.target.planning import PlanPrice, with_rows
from secateur.target.target import load_any
from secateur.target.work import work_of

PIS = ("raspberry-pi-zero-2w", "raspberry-pi-3b-plus", "raspberry-pi-4b", "raspberry-pi-5")


@cache
def templates(dtype):
    original = replace(policy(), deployed=PLAN)
    graph = build_graph(original)
    return graph, {e: convert_template(original, graph, e, dtype) for e in original.planning.entries}


def priced(dtype="float32", computer="raspberry-pi-4b"):
    graph, of_entries = templates(dtype)
    return PlanPrice(graph, policy().planning, of_entries, load_any(computer), dtype, 25.0)


class Counting(EntryModel):
    """A latent model that counts its calls, and the MACs of every linear layer that runs in them."""

    def __init__(self, counted):
        super().__init__(counted, counted.planning)
        self.calls, self.macs = Counter(), 0
        for layer in counted.module.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.register_forward_hook(self.count)

    def count(self, layer, inputs, output):
        self.macs += inputs[0].numel() // layer.in_features * layer.weight.numel()

    def _run(self, name, inputs):
        self.calls[name, len(next(iter(inputs.values())))] += 1
        return super()._run(name, inputs)


SIZES = st.builds(
    PlannerSettings,
    horizon=st.integers(1, 6),
    samples=st.integers(1, 60),
    policy_samples=st.integers(1, 8),
    iterations=st.integers(1, 4),
)
WIDTHS = st.fixed_dictionaries({"encoder.2": st.integers(3, 12), "dynamics.0": st.integers(4, 40)})


@settings(deadline=None, max_examples=25)
@given(SIZES, WIDTHS)
def test_it_counts_what_a_planner_does(chosen, widths):
    price = priced()
    pruned = rebuild(replace(policy(), deployed=PLAN), price.graph, widths)
    model = Counting(pruned)
    Planner(model, chosen).plan({"observation": torch.zeros(1, 1)})
    told = Counter()
    for call in price.planning.calls(chosen):
        told[call.entry, call.rows] += call.times
    assert told == model.calls
    assert price(widths, chosen).macs == model.macs


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_work_at_rows_is_that_of_the_network_of_those_rows(dtype):
    from secateur.export.quantize import convert

    ready = batched(replace(policy(), deployed=PLAN))
    price = priced(dtype)
    for call in [call for call in price.planning.calls() if call.entry in ("next", "value")]:
        name = signature_name(call.entry, call.rows)
        samples = {k: e.numpy() for k, e in ready.entry(name).example_inputs.items()}
        network = read_tflite(convert(to_tflite(ready, name), dtype, {"": samples}))
        one = work_of(price.templates[call.entry].at(price.graph.full))
        assert with_rows(one, call.rows) == work_of(network), name


def test_components_add_up_to_the_whole_but_for_what_calls_cost():
    cost = priced()({})
    assert tuple(cost.components) == ("encoder", "dynamics", "reward", "value", "policy")
    assert sum(part.macs for part in cost.components.values()) == cost.macs
    assert cost.parameters == sum(p.numel() for p in policy().module.parameters())
    assert cost.weights_bytes == 4 * cost.parameters
    own = sum(part.latency_s.high for part in cost.components.values())
    assert 0 < own < cost.latency_s.high
    assert priced("int8")({}).weights_bytes < cost.weights_bytes / 2


def test_more_planning_and_wider_networks_cost_more_and_every_group_is_on_board():
    price = priced()
    whole = price({})
    for fewer in (
        replace(SETTINGS, horizon=2),
        replace(SETTINGS, samples=12),
        replace(SETTINGS, iterations=1),
        replace(SETTINGS, policy_samples=2),
    ):
        assert price({}, fewer).macs < whole.macs
        assert price({}, fewer).latency_s.high < whole.latency_s.high
    for group in price.graph.groups:
        assert price({group.name: 4}).macs < whole.macs
    assert len(on_board(price.graph, price)) == len(price.graph.groups)


def test_every_pi_has_a_price_and_slower_ones_a_higher():
    spans = [priced("float32", name)({}).latency_s for name in PIS]
    assert all(0 < span.low < span.high for span in spans)
    assert [s.high for s in spans] == sorted((s.high for s in spans), reverse=True)
