"""Strategies against a price that is made up: what they promise holds whatever things cost."""

import re

import pytest
import torch
from architectures import ARCHITECTURES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import world_model

from secateur.errors import BudgetInfeasible
from secateur.graph.groups import build_graph
from secateur.prune.allocate import bare_floors, global_ranking, keep_best, step_of, uniform
from secateur.prune.analyse import analyse
from secateur.prune.limits import check_feasible, resources, total_limits
from secateur.prune.strategies import STRATEGIES
from secateur.records import Budget, ComponentCost, Cost, Limits, Range
from secateur.units import parse_seconds

torch.manual_seed(0)
GRAPH = build_graph(world_model(latent=22, hidden=37))
LAYERS = {
    "encoder": ("encoder.0.weight", "encoder.2.weight"),
    "policy": ("policy.0.weight", "policy.2.weight", "policy.4.weight"),
}
"""The deployed entry: dynamics, reward and value are not on the board."""
OFF_BOARD = {g.name for g in GRAPH.groups if g.name.split(".")[0] in ("dynamics", "reward", "value")}
CODE_BYTES = 900


def price(widths):
    """Weights exactly, RAM as the peak over layers in steps of 16 bytes (with plateaus), latency by work."""
    parts = {}
    for component, weights in LAYERS.items():
        shapes = [GRAPH.shape(path, {**GRAPH.full, **widths}) for path in weights]
        macs = sum(out * into for out, into in shapes)
        parts[component] = ComponentCost(
            parameters=macs,
            macs=macs,
            flash_bytes=sum(out * into + 8 * out for out, into in shapes),
            ram_bytes=max(-(-out // 16) * 16 + -(-into // 16) * 16 for out, into in shapes),
            instructions=3 * macs,
            latency_s=Range(macs * 1.1e-8, macs * 2.3e-8),
        )
    return Cost(
        parameters=sum(GRAPH.parameter_counts({**GRAPH.full, **widths}).values()),
        macs=sum(part.macs for part in parts.values()),
        weights_bytes=sum(part.flash_bytes for part in parts.values()),
        tables_bytes=256,
        code_bytes=CODE_BYTES,
        static_ram_bytes=max(part.ram_bytes for part in parts.values()),
        stack_bytes=128,
        instructions=sum(part.instructions for part in parts.values()),
        latency_s=Range(
            sum(part.latency_s.low for part in parts.values()),
            sum(part.latency_s.high for part in parts.values()),
        ),
        components=parts,
    )


LIMITS = [(kind, where) for kind in ("flash_bytes", "ram_bytes", "latency_s") for where in ("", *LAYERS)]


def reading(cost, kind, where):
    value = getattr(cost.components[where] if where else cost, kind)
    return value.high if kind == "latency_s" else value


def budget_of(limits):
    """(kind, component or "") → limit, as a Budget."""

    def of(where):
        return Limits(**{kind: limit for (kind, there), limit in limits.items() if there == where})

    return Budget(of(""), {name: of(name) for name in LAYERS if any(there == name for _, there in limits)})


def scores_of(seed, dead=0.3):
    generator = torch.Generator().manual_seed(seed)
    return {
        g.name: torch.rand(g.width, generator=generator) ** 3
        * (torch.rand(g.width, generator=generator) > dead)
        for g in GRAPH.groups
    }


@st.composite
def feasible_limits(draw, least):
    """Some limits, each between what the least widths take and a little above what the full ones do."""
    low, high = price(least), price(GRAPH.full)
    limits = {}
    for key in draw(st.lists(st.sampled_from(LIMITS), min_size=1, max_size=4, unique=True)):
        share = draw(st.one_of(st.just(0.0), st.floats(0, 1.1)))
        value = reading(low, *key) + share * max(0, reading(high, *key) - reading(low, *key))
        limits[key] = value if key[0] == "latency_s" else int(value)
    return limits


everywhere = pytest.mark.parametrize("name", STRATEGIES)
quietly = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@everywhere
@quietly
@given(st.data(), st.integers(0, 2**16), st.floats(0, 1))
def test_every_limit_is_met_within_floors_and_full_widths(name, data, seed, dead):
    strategy = STRATEGIES[name]
    least = strategy.least(GRAPH)
    limits = data.draw(feasible_limits(least))
    scores = scores_of(seed, dead)
    widths = strategy.choose(GRAPH, scores, price, budget_of(limits))
    cost = price(widths)
    for key, limit in limits.items():
        assert reading(cost, *key) <= limit, key
    assert widths.keys() == GRAPH.full.keys()
    for group in GRAPH.groups:
        width = widths[group.name]
        assert least[group.name] <= width <= group.width
        assert width % 4 == 0 or width == group.width
    assert widths == strategy.choose(GRAPH, scores, price, budget_of(limits))


@everywhere
def test_a_budget_that_is_wide_enough_cuts_nothing(name):
    roomy = budget_of({("flash_bytes", ""): 10**9, ("ram_bytes", "policy"): 10**9, ("latency_s", ""): 1e3})
    assert STRATEGIES[name].choose(GRAPH, scores_of(1), price, roomy) == GRAPH.full


@everywhere
@pytest.mark.parametrize("key", LIMITS, ids=lambda key: f"{key[1] or 'total'}.{key[0]}")
def test_an_infeasible_budget_names_the_least_that_could_be_met(name, key):
    strategy = STRATEGIES[name]
    kind, where = key
    least = reading(price(strategy.least(GRAPH)), *key)
    with pytest.raises(BudgetInfeasible) as error:
        strategy.choose(GRAPH, scores_of(2), price, budget_of({key: least * 0.9}))
    said = str(error.value)
    assert kind.split("_")[0] in said
    if where:
        assert f"of {where}" in said
    else:
        largest = max(LAYERS, key=lambda part: reading(price(strategy.least(GRAPH)), kind, part))
        assert repr(largest) in said
    smallest = re.search(r"smallest \w+ that could be met is (.+)\.$", said)[1]
    limit = parse_seconds(smallest) if kind == "latency_s" else int(smallest.removesuffix(" B"))
    assert limit == pytest.approx(least, abs=1.1e-9)
    widths = strategy.choose(GRAPH, scores_of(2), price, budget_of({key: limit}))
    assert reading(price(widths), *key) <= limit


@everywhere
def test_of_several_limits_the_one_furthest_off_is_named(name):
    least = price(STRATEGIES[name].least(GRAPH))
    limits = {("flash_bytes", ""): least.flash_bytes - 1, ("ram_bytes", "encoder"): 8}
    with pytest.raises(BudgetInfeasible, match="ram of encoder"):
        STRATEGIES[name].choose(GRAPH, scores_of(2), price, budget_of(limits))


def test_the_shared_code_is_named_where_flash_is_short():
    with pytest.raises(BudgetInfeasible, match=f"{CODE_BYTES} B of it shared code"):
        check_feasible(price, budget_of({("flash_bytes", ""): 1000}), bare_floors(GRAPH))


@quietly
@given(st.integers(0, 2**16), st.floats(0, 1))
def test_component_aware_leaves_alone_what_is_not_on_the_board(seed, share):
    strategy = STRATEGIES["component-aware"]
    low, high = price(strategy.least(GRAPH)).flash_bytes, price(GRAPH.full).flash_bytes
    limits = {("flash_bytes", ""): int(low + share * (high - low))}
    widths = strategy.choose(GRAPH, scores_of(seed), price, budget_of(limits))
    assert len(OFF_BOARD) == 8
    assert all(widths[name] == GRAPH.full[name] for name in OFF_BOARD)


def test_component_aware_cuts_dead_channels_first():
    scores = {g.name: torch.ones(g.width) for g in GRAPH.groups}
    scores["policy.0"][:20] = 0
    limits = {("flash_bytes", ""): int(price({"policy.0": 20}).flash_bytes)}
    widths = STRATEGIES["component-aware"].choose(GRAPH, scores, price, budget_of(limits))
    assert widths == {**GRAPH.full, "policy.0": 20}


def test_a_peak_that_two_layers_hold_is_brought_down():
    """RAM falls only where several groups are cut, and by more than one quad: no single step frees anything."""
    full = price(GRAPH.full)
    limits = {("ram_bytes", ""): full.ram_bytes - 16}
    assert all(
        price({**GRAPH.full, g.name: g.width - 4}).ram_bytes == full.ram_bytes
        for g in GRAPH.groups
        if g.width > 8
    )
    widths = STRATEGIES["component-aware"].choose(GRAPH, scores_of(3), price, budget_of(limits))
    assert price(widths).ram_bytes <= full.ram_bytes - 16


def test_a_component_that_is_not_on_the_board_takes_nothing():
    budget = Budget(Limits(), {"dynamics": Limits(flash_bytes=16, latency_s=1e-6)})
    for strategy in STRATEGIES.values():
        assert strategy.choose(GRAPH, scores_of(4), price, budget) == GRAPH.full
    assert all(resource.excess(price(GRAPH.full)) == 0 for resource in resources(budget))


def test_global_ranking_leaves_groups_without_scores_whole_and_says_so_where_that_is_too_dear():
    scores = {name: score for name, score in scores_of(5).items() if name != "policy.0"}
    half = {("flash_bytes", ""): (price(GRAPH.full).flash_bytes + price({"encoder.0": 4}).flash_bytes) // 2}
    assert global_ranking(GRAPH, scores, price, budget_of(half))["policy.0"] == GRAPH.full["policy.0"]
    least = price({**bare_floors(GRAPH), "policy.0": GRAPH.full["policy.0"]}).flash_bytes
    with pytest.raises(BudgetInfeasible, match=f"could be met is {least} B"):
        global_ranking(GRAPH, scores, price, budget_of({("flash_bytes", ""): least - 1}))
    widths = global_ranking(GRAPH, scores, price, budget_of({("flash_bytes", ""): least}))
    assert price(widths).flash_bytes <= least


def test_coefficients_move_channels_from_group_to_group():
    scores = scores_of(6, dead=0.0)
    limits = budget_of({("flash_bytes", ""): price(GRAPH.full).flash_bytes * 2 // 3})
    plain = global_ranking(GRAPH, scores, price, limits)
    favoured = global_ranking(GRAPH, scores, price, limits, {"policy.0": 8.0})
    assert favoured["policy.0"] > plain["policy.0"]
    assert sum(favoured.values()) < sum(plain.values()) + GRAPH.full["policy.0"]


def test_equal_scores_are_cut_evenly_rather_than_all_at_once():
    scores = {g.name: torch.ones(g.width) for g in GRAPH.groups}
    limits = budget_of({("flash_bytes", ""): price(GRAPH.full).flash_bytes - 64})
    widths = global_ranking(GRAPH, scores, price, limits)
    assert sum(widths.values()) > 0.8 * sum(GRAPH.full.values())


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_keep_best_takes_the_top_scores_and_the_lower_index_of_equals(values, data):
    width = data.draw(st.integers(1, len(values)))
    kept = keep_best({"g": torch.tensor(values, dtype=torch.float32)}, {"g": width})["g"].tolist()
    ranked = sorted(range(len(values)), key=lambda index: (-values[index], index))
    assert kept == sorted(ranked[:width])


def test_the_board_fills_in_what_the_user_leaves_open():
    assert total_limits(Limits(flash_bytes=5), 100, 200) == Limits(5, 200, None)
    assert total_limits(Limits(ram_bytes=7, latency_s=0.1), 100, 200) == Limits(100, 7, 0.1)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_group_goes_by_as_few_channels_as_are_whole_quads_in_every_weight(name):
    torch.manual_seed(0)
    for group in analyse(ARCHITECTURES[name]()).groups:
        rows = [member.stride * member.repeats for member in group.members]
        whole = [n for n in range(1, 5) if all(n * each % 4 == 0 for each in rows)]
        assert step_of(group) == whole[0]


def test_heads_and_simplices_of_whole_quads_are_cut_one_by_one_down_to_two():
    torch.manual_seed(0)
    for name, group, floor in (
        ("transformer", "body.layers.0.self_attn.in_proj_weight", 2),
        ("tdmpc2", "encoder.1", 2),
        ("attention-fused", "attend.q", 4),
    ):
        graph = analyse(ARCHITECTURES[name]())
        assert bare_floors(graph)[group] == floor
        scores = {g.name: torch.rand(g.width) for g in graph.groups}

        def parameters(widths, graph=graph):
            n = sum(graph.parameter_counts({**graph.full, **widths}).values())
            return Cost(n, n, n, 0, 0, 0, 0, 0, Range(0, 0), {})

        budget = Budget(Limits(flash_bytes=parameters(bare_floors(graph)).flash_bytes))
        for strategy in (uniform, global_ranking):
            assert strategy(graph, scores, parameters, budget)[group] == floor
