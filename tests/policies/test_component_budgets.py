"""A limit on one component's latency is met by cutting that component: the camera arm, and the table of it."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))
try:
    from component_budgets import BUDGETS, CONTROL, PAGE, PERCEPTION, measured, table
finally:
    sys.path.remove(str(ROOT / "bench"))


@pytest.fixture(scope="module")
def made():
    return {one.budget: one for one in measured()}


def cut_by(made, budget):
    """Group → the components it belongs to, of those that a budget cuts."""
    chosen, full = made[budget], made[()].widths
    return {name: chosen.components[name] for name, width in chosen.widths.items() if width < full[name]}


def latencies(chosen):
    return {name: part.latency_s.high for name, part in chosen.cost.components.items()}


def test_without_a_limit_nothing_is_cut(made):
    assert not cut_by(made, ())


@pytest.mark.parametrize("budget", [b for b in BUDGETS if b and all("perception" in limit for limit in b)])
def test_a_limit_on_perception_leaves_control_alone(made, budget):
    """What is cut is perception's own, or what perception gives; groups within control stay whole."""
    groups = cut_by(made, budget)
    assert groups
    assert all(components[0] == "perception" for components in groups.values())
    assert latencies(made[budget])["perception"] <= 1e-3 * float(budget[0].split("=")[1].removesuffix("ms"))


def test_a_tighter_one_cuts_more(made):
    loose, tight = (made[budget].widths for budget in BUDGETS[1:3])
    seen = [name for name in loose if name.startswith("perception.convolutions")]
    assert sum(tight[name] for name in seen) < sum(loose[name] for name in seen)


def test_limits_on_control_leave_perception_alone(made):
    groups = cut_by(made, CONTROL)
    assert groups
    assert not any(components == ("perception",) for components in groups.values())
    after, before = latencies(made[CONTROL]), latencies(made[()])
    assert after["fusion"] <= 40e-6
    assert after["head"] <= 25e-6
    assert after["perception"] >= 0.95 * before["perception"]


def test_both_cut_both(made):
    groups = {components for components in cut_by(made, (*PERCEPTION, *CONTROL)).values()}
    assert ("perception",) in groups
    assert ("head",) in groups


def test_the_table_is_in_the_documentation(made):
    assert table(list(made.values())) in PAGE.read_text(encoding="utf-8"), (
        "run python bench/component_budgets.py"
    )
