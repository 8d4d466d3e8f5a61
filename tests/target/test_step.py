"""A control step against its calls: by hand."""

import pytest
import torch
from torch import nn

from secateur.errors import BudgetInfeasible
from secateur.policy.policy import Component, Entry, Policy
from secateur.prune.limits import check_feasible, resources
from secateur.records import Budget, ComponentCost, Cost, Limits, Measurement, Part, Range
from secateur.target.step import (
    HANDOVER_CODE_BYTES,
    HANDOVER_FLOW_CODE_BYTES,
    measurement_of_parts,
    of_parts,
    per_step,
)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.slow, self.fast = nn.Linear(4, 4), nn.Linear(4, 4)

    def act(self, x):
        return self.fast(self.slow(x))


def policy_of(calls=1, batch=1, slow_hz=None):
    parts = (Component("slow", ("slow",), rate_hz=slow_hz), Component("fast", ("fast",)))
    entry = Entry("act", Two.act, {"x": torch.zeros(batch, 4)}, calls_per_step=calls, batch=batch)
    return Policy("two", Two(), parts, (entry,))


def call(widths):
    """6 ms for the slow part, 1 ms for the fast one, 0.5 ms for what belongs to neither."""
    parts = {
        "slow": ComponentCost(20, 16, 20, 8, 600, Range(4e-3, 6e-3)),
        "fast": ComponentCost(20, 16, 20, 8, 100, Range(0.5e-3, 1e-3)),
    }
    return Cost(40, 32, 40, 0, 100, 16, 64, 750, Range(5e-3, 7.5e-3), parts)


def test_one_call_a_step_changes_nothing_but_names_the_load():
    cost = per_step(call, policy_of(), 100.0)({})
    assert cost.latency_s == Range(5e-3, 7.5e-3)
    assert cost.utilisation == pytest.approx(0.75)
    assert cost.components["slow"].utilisation == pytest.approx(0.6)
    assert (cost.flash_bytes, cost.ram_bytes) == (call({}).flash_bytes, call({}).ram_bytes)


def test_calls_and_rows_multiply_work_but_not_memory():
    cost = per_step(call, policy_of(calls=3, batch=2), 100.0)({})
    assert cost.latency_s.high == pytest.approx(6 * 7.5e-3)
    assert cost.instructions == 6 * 750
    assert cost.macs == 6 * 32
    assert cost.components["fast"].latency_s.high == pytest.approx(6e-3)
    assert cost.flash_bytes == call({}).flash_bytes
    assert cost.utilisation == pytest.approx(4.5)


def test_a_component_at_a_rate_of_its_own_loads_the_core_by_that_rate():
    cost = per_step(call, policy_of(slow_hz=10.0), 100.0)({})
    assert cost.latency_s.high == pytest.approx(7.5e-3)  # a period in which all of them run
    assert cost.utilisation == pytest.approx(10 * 6e-3 + 100 * 1e-3 + 100 * 0.5e-3)


def test_utilisation_is_a_resource_like_any_other():
    budget = Budget(Limits(utilisation=0.5), {"slow": Limits(utilisation=0.7)})
    cost = per_step(call, policy_of(), 100.0)({})
    total, slow = resources(budget)
    assert total.excess(cost) == pytest.approx(0.5)
    assert slow.excess(cost) == 0
    assert total.write(0.75) == "75.0 %"


class Apart(nn.Module):
    def __init__(self):
        super().__init__()
        self.slow, self.fast = nn.Linear(4, 4), nn.Linear(4, 4)

    def see(self, image):
        return self.slow(image)

    def act(self, features):
        return self.fast(features)


PARTS = (Part("see", 5), Part("act", 1, {"features": ("see", "see")}))


def apart():
    components = (Component("slow", ("slow",), 20.0), Component("fast", ("fast",)))
    entries = (
        Entry("see", Apart.see, {"image": torch.zeros(1, 4)}),
        Entry("act", Apart.act, {"features": torch.zeros(1, 4)}, {"features": ("see",)}),
    )
    return Policy("apart", Apart(), components, entries, deployed="act")


def _network(component, latency, kernels):
    part = ComponentCost(20, 16, 20, 8, 600, latency)
    cost = Cost(20, 16, 40, 4, 100, 16, 64, 750, latency, {component: part}, 0.0, frozenset(kernels))
    return lambda widths: cost


def price_apart():
    prices = {
        "see": _network("slow", Range(20e-3, 30e-3), {"conv", "dense"}),
        "act": _network("fast", Range(1e-3, 2e-3), {"dense"}),
    }
    return of_parts(prices, apart(), PARTS, 100.0, lambda _: (8, 4), {"conv": 30, "dense": 50}.__getitem__)


def test_parts_add_up_but_the_latency_is_that_of_the_quick_one():
    cost = price_apart()({})
    assert cost.latency_s == Range(1e-3, 2e-3)
    assert (cost.parameters, cost.macs, cost.instructions) == (40, 32, 1500)
    assert (cost.weights_bytes, cost.tables_bytes) == (80, 8)
    assert cost.code_bytes == 200 - 50 + HANDOVER_CODE_BYTES + 4 * HANDOVER_FLOW_CODE_BYTES
    assert (cost.static_ram_bytes, cost.stack_bytes) == (16 + 16 + 12, 128)
    assert cost.utilisation == pytest.approx(20 * 30e-3 + 100 * 2e-3)
    see, act = cost.parts
    assert (see.name, see.period_s, see.latency_s.high) == ("see", 0.05, 30e-3)
    assert see.response_s == pytest.approx(30e-3 + 4 * 2e-3)
    assert act.response_s == pytest.approx(2e-3)
    assert cost.components["slow"].utilisation == pytest.approx(0.6)


def test_what_is_measured_of_parts_adds_up_as_well():
    seen = {
        "see": Measurement("chip", 80, 8, 150, 44, 60, 700, {"conv": 7}, Range(20e-3, 28e-3), "counts"),
        "act": Measurement("chip", 80, 8, 150, 44, 40, 70, {"dense": 7}, Range(1e-3, 2e-3), "counts"),
    }
    whole = measurement_of_parts(seen, PARTS, 100.0)
    assert (whole.flash_bytes, whole.ram_bytes, whole.instructions) == (238, 44 + 100, 770)
    assert whole.latency_s == Range(1e-3, 2e-3)
    assert whole.operator_instructions == {"see: conv": 7, "act: dense": 7}
    assert [part.response_s for part in whole.parts] == pytest.approx([28e-3 + 4 * 2e-3, 2e-3])


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(Limits(latency_s=1e-3)), "component 'fast'"),
        (Budget(Limits(utilisation=0.7)), "utilisation of the whole.*component 'slow'"),
        (Budget(Limits(), {"slow": Limits(latency_s=25e-3)}), "latency of slow must be within 25 ms"),
    ],
)
def test_what_is_too_slow_is_named_by_who_takes_the_time(budget, words):
    with pytest.raises(BudgetInfeasible, match=words):
        check_feasible(price_apart(), budget, {})
