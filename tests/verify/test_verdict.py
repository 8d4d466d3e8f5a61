"""The verdict: passes when all holds, and each broken limit is one sentence with what was seen."""

from dataclasses import replace

import pytest

from secateur.records import (
    Budget,
    ClosedLoop,
    ComponentCost,
    Cost,
    Limits,
    Measurement,
    Parity,
    PartTime,
    Range,
)
from secateur.verify import judge

PART = ComponentCost(900, 900, 1000, 200, 5000, Range(50e-6, 80e-6))
COST = Cost(900, 900, 1000, 50, 950, 300, 200, 5000, Range(60e-6, 90e-6), {"encoder": PART, "head": PART})
SEEN = Measurement(
    "emulator", 1000, 50, 800, 300, 150, 4800, {}, Range(58e-6, 86e-6), "instructions x cycles"
)
BUDGET = Budget(Limits(2000, 500, 90e-6), {"head": Limits(1000, 200, 80e-6)}, 0.05)
PARITY = Parity(256, 1e-6, 0, 0.02)
LOOP = ClosedLoop(64, 400.0, 396.0, 0.99, (0.95, 1.02), 1.0, 1.0, 1e-3, (400.0,) * 64, (396.0,) * 64)


def violations(cost=COST, seen=SEEN, budget=BUDGET, parity=PARITY, loop=LOOP, **options):
    return judge(cost, seen, budget, parity, loop, **options).violations


def test_all_limits_just_met_pass():
    verdict = judge(COST, SEEN, BUDGET, PARITY, LOOP, control_period_s=90e-6)
    assert verdict.passed
    assert verdict.violations == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"seen": replace(SEEN, code_bytes=951)},
            "Flash is 2,001 B (measured on emulator), over the limit of 2,000 B.",
        ),
        (
            {"seen": replace(SEEN, stack_bytes=201)},
            "RAM is 501 B (measured on emulator), over the limit of 500 B.",
        ),
        (
            {"seen": replace(SEEN, latency_s=Range(1e-6, 95e-6))},
            "Worst-case latency is 95 µs (on emulator, predicted from instructions x cycles), "
            "over the limit of 90 µs.",
        ),
        (
            {"seen": replace(SEEN, latency_s=Range(1e-6, 95e-6), latency_source="measured")},
            "Worst-case latency is 95 µs (measured on emulator), over the limit of 90 µs.",
        ),
        (
            {"seen": replace(SEEN, code_bytes=None), "cost": replace(COST, code_bytes=951)},
            "Flash is 2,001 B (predicted), over the limit of 2,000 B.",
        ),
        (
            {"seen": None, "cost": replace(COST, stack_bytes=201)},
            "RAM is 501 B (predicted), over the limit of 500 B.",
        ),
        (
            {"seen": None, "cost": replace(COST, latency_s=Range(0, 91e-6))},
            "Worst-case latency is 91 µs (predicted), over the limit of 90 µs.",
        ),
        (
            {"cost": replace(COST, components={"head": replace(PART, flash_bytes=1001)})},
            "Flash of head is 1,001 B (predicted), over its limit of 1,000 B.",
        ),
        (
            {"cost": replace(COST, components={"head": replace(PART, ram_bytes=201)})},
            "RAM of head is 201 B (predicted), over its limit of 200 B.",
        ),
        (
            {"cost": replace(COST, components={"head": replace(PART, latency_s=Range(0, 81e-6))})},
            "Worst-case latency of head is 81 µs (predicted), over its limit of 80 µs.",
        ),
        (
            {"control_period_s": 80e-6},
            "Worst-case latency is 86 µs (on emulator, predicted from instructions x cycles), "
            "longer than one control period of 80 µs.",
        ),
        (
            {"parity": replace(PARITY, float_max_abs_error=2e-5)},
            "The float .tflite differs from torch by up to 2e-05, over the tolerance of 1e-05.",
        ),
        (
            {"parity": replace(PARITY, float_max_abs_error=float("nan"))},
            "The float .tflite differs from torch by up to nan, over the tolerance of 1e-05.",
        ),
        (
            {"parity": replace(PARITY, int8_mismatched_bytes=3)},
            "3 output bytes over 256 golden vectors differ between the int8 .tflite in TFLM and the device; "
            "the limit is 0.",
        ),
        (
            {"loop": replace(LOOP, return_ratio=0.9, ci95=(0.88, 0.94))},
            "Of the original's return 90.0 % is kept (95 % interval 88.0 to 94.0 %, 64 episodes); "
            "the lower end is below the limit of 95.0 %.",
        ),
        (
            {"loop": replace(LOOP, ci95=(0.94999, 1.02))},
            "Of the original's return 99.0 % is kept (95 % interval 94.9 to 102.0 %, 64 episodes); "
            "the lower end is below the limit of 95.0 %: not enough evidence, more episodes may decide.",
        ),
    ],
)
def test_one_broken_limit_is_one_sentence(changes, sentence):
    assert violations(**changes) == (sentence,)


def test_no_limit_is_never_broken():
    free = Budget(Limits(), {"head": Limits()})
    assert violations(cost=replace(COST, code_bytes=10**9), seen=None, budget=free) == ()


def test_a_nan_interval_fails():
    assert len(violations(loop=replace(LOOP, ci95=(float("nan"), float("nan"))))) == 1


def test_every_violation_is_listed():
    assert len(violations(budget=Budget(Limits(1, 1, 1e-9), {"head": Limits(1, 1, 1e-9)}, 0.001))) == 7


def test_the_tolerance_can_be_given():
    assert violations(parity=replace(PARITY, float_max_abs_error=2e-5), float_tolerance=1e-4) == ()


def test_a_component_that_is_not_on_the_board_costs_nothing_there():
    assert not violations(budget=Budget(Limits(), {"tail": Limits(flash_bytes=1)}))


def test_a_handful_of_episodes_is_no_evidence():
    (sentence,) = violations(loop=replace(LOOP, episodes=5))
    assert "Not enough evidence: 5 pairs" in sentence


def test_the_tolerance_grows_with_the_output():
    large = Parity(1024, 1.5e-4, 0, 0.1, largest_output=150.0)
    assert not violations(parity=large)
    assert violations(parity=replace(large, largest_output=1.0))


def test_a_slow_part_is_through_within_its_own_period():
    quick = PartTime("act", 0.01, Range(50e-6, 86e-6), 86e-6)
    slow = PartTime("see", 0.04, Range(0.03, 0.041), 0.0415)
    seen = replace(SEEN, parts=(slow, quick))
    (found,) = violations(seen=seen, control_period_s=0.01)
    assert found == (
        "see takes 41 ms at worst (on emulator, predicted from instructions x cycles) and is interrupted by the "
        "quicker parts: it is not through after 41.5 ms, longer than its period of 40 ms."
    )
    met = replace(slow, response_s=0.04)
    assert not violations(seen=replace(SEEN, parts=(met, quick)), control_period_s=0.01)
    assert violations(cost=replace(COST, parts=(slow, quick)), seen=None)
