"""A control step against its calls: by hand."""

import pytest
import torch
from torch import nn

from secateur.policy.policy import Component, Entry, Policy
from secateur.prune.limits import resources
from secateur.records import Budget, ComponentCost, Cost, Limits, Range
from secateur.target.step import per_step


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
