"""Coefficients of groups: found for the budget at hand, and refused where nothing is ranked."""

from math import log

import pytest
from test_search import price_of, setting, trials_of  # noqa: F401

from secateur.errors import UsageError
from secateur.job import prepare
from secateur.pipeline import PruneRequest
from secateur.prune.allocate import global_ranking
from secateur.prune.strategies import STRATEGIES
from secateur.prune.weighing import COEFFICIENTS, Ranking
from secateur.records import Budget, Limits


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_what_matters_is_weighed_up(name, setting):  # noqa: F811
    policy, _, graph, visited, scores = setting
    price = price_of(graph)
    budget = Budget(Limits(flash_bytes=price({}).flash_bytes // 4))

    def widths(coefficients):
        return global_ranking(graph, scores, price, budget, coefficients)

    ranking = Ranking(policy, graph, scores, visited, widths, trials_of(setting))
    found = COEFFICIENTS[name](ranking)
    chosen = widths(found)
    assert price(chosen).flash_bytes <= budget.total.flash_bytes
    if name == "none":
        assert found == {}
        return
    assert found.keys() == graph.full.keys()
    assert sum(map(log, found.values())) == pytest.approx(0, abs=1e-6)
    error = [ranking.trials(at, closed_loop=False).error for at in (chosen, widths({}))]
    if name == "grid":
        assert error[0] <= error[1]
    busy, idle = (
        sum(n for group, n in chosen.items() if group.startswith(part)) for part in ("busy", "idle")
    )
    assert busy > idle


def test_nothing_is_weighed_where_nothing_is_cut(setting):  # noqa: F811
    policy, _, graph, visited, scores = setting
    ranking = Ranking(policy, graph, scores, visited, lambda _: graph.full, trials_of(setting))
    assert COEFFICIENTS["gradient"](ranking) == {}


@pytest.mark.parametrize("strategy", [name for name, one in STRATEGIES.items() if one.weighed is None])
def test_strategies_without_a_ranking_refuse_coefficients(strategy):
    request = PruneRequest("no-such", "stm32f446re", Budget(Limits()), strategy, coefficients="grid")
    with pytest.raises(UsageError, match="per-component or global"):
        prepare(request)
