"""The whole chain for a planner on a computer, on a planner of a few thousand parameters."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from point_planner import SETTINGS, fitted, policy, task

from secateur import choosing
from secateur.deploy import ExportRequest, export
from secateur.errors import BudgetInfeasible, SecateurError, UsageError
from secateur.job import prepare
from secateur.pipeline import PruneRequest, prune
from secateur.planner.controller import BundleController
from secateur.planner.settings import Tried, choose, grid
from secateur.policy.planning import PLAN
from secateur.prune.trials import TrialPlan
from secateur.records import Budget, Cost, Limits, Range
from secateur.runfolder import read_finished
from secateur.simulate.rollout import rollouts

ROOT = Path(__file__).parent.parent.parent

REQUEST = PruneRequest(
    policy="point_planner:point",
    target="raspberry-pi-4b",
    budget=Budget(Limits(latency_s=0.02)),
    episodes=30,
    recovery_steps=320,
    entry=PLAN,
)


class FakePrice:
    """MACs are what is planned; latency a microsecond each."""

    def __init__(self):
        self.planning = policy().planning

    def __call__(self, widths, settings=None):
        s = settings or self.planning.settings
        macs = s.horizon * s.samples * s.iterations
        return Cost(1, macs, 0, 0, 0, 0, 0, None, Range(macs * 5e-7, macs * 1e-6))


def tried(kept_of, budget):
    """``settings.choose`` where each setting keeps what ``kept_of`` says."""
    original = replace(policy(), deployed=PLAN)
    judge = lambda one: 50.0 * kept_of(one.planning.settings)  # noqa: E731
    return choose(original, judge, FakePrice(), budget, {}, lambda *_: None)


def test_the_grid_is_small_and_holds_the_original():
    found = grid(SETTINGS)
    assert len(found) <= 18
    assert SETTINGS in found
    assert all(s.horizon <= SETTINGS.horizon and s.samples <= SETTINGS.samples for s in found)
    assert all(s.elites <= s.samples and s.policy_samples >= 1 for s in found)
    assert {s.temperature for s in found} == {SETTINGS.temperature}


def test_the_cheapest_setting_that_keeps_the_return_is_chosen():
    enough = lambda s: 1.0 if s.horizon >= 2 and s.samples >= 12 else 0.9  # noqa: E731
    chosen, all_tried = tried(enough, Budget(Limits()))
    price = FakePrice()
    fit = [s for s in grid(SETTINGS) if enough(s) == 1.0]
    assert price({}, chosen).macs == min(price({}, s).macs for s in fit)
    assert [t.macs for t in all_tried] == sorted(t.macs for t in all_tried)
    assert all(t.kept < 0.975 for t in all_tried[:-1])


def test_where_none_but_the_original_keeps_it_the_original_is_taken():
    chosen, all_tried = tried(lambda s: 1.0 if s == SETTINGS else 0.5, Budget(Limits()))
    assert chosen == SETTINGS
    assert isinstance(all_tried[-1], Tried)


def test_what_the_budget_does_not_hold_is_not_tried():
    limit = Budget(Limits(latency_s=60e-6))
    chosen, all_tried = tried(lambda s: s.samples / SETTINGS.samples, limit)
    assert all(FakePrice()({}, t.settings).macs <= 60 for t in all_tried)
    assert chosen.samples == max(t.settings.samples for t in all_tried)
    with pytest.raises(BudgetInfeasible, match="smallest latency"):
        tried(lambda s: 1.0, Budget(Limits(latency_s=1e-6)))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"entry": "act"}, UsageError, "plan"),
        ({"target": "stm32f446re"}, SecateurError, "microcontroller"),
        ({"dtype": "int4"}, SecateurError, "int8"),
        ({"policy": "point_planner:without_planning"}, SecateurError, "declares one"),
    ],
)
def test_what_cannot_be_planned_is_refused(change, error, match):
    with pytest.raises(error, match=match):
        prepare(replace(REQUEST, **change))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with quick trials, interrupted in the middle and resumed."""
    folder = tmp_path_factory.mktemp("runs") / "planner"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECATEUR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(choosing, "PLANNER_TRIAL", TrialPlan(steps=40, episodes=4, states=256))
        request = replace(REQUEST, budget=Budget(Limits(ram_bytes=16_000), max_return_drop=0.2))

        def broken(*_):
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr("secateur.planner.stages.export", broken)
            with pytest.raises(KeyboardInterrupt):
                prune(request, folder, False, "secateur prune")
        assert {p.name for p in (folder / ".stages").iterdir()} >= {
            "settings",
            "original",
            "widths",
            "policy",
        }
        before = fitted().state_dict()
        summary = prune(request, folder, True, "secateur prune")
        assert all(torch.equal(before[name], tensor) for name, tensor in fitted().state_dict().items())
    return folder, summary


@pytest.mark.slow
def test_the_run_follows_the_schema_and_calls_nothing_measured(finished):
    folder, summary = finished
    assert read_finished(folder) == summary
    assert summary["measured"] is None
    assert summary["predicted"]["macs"] < summary["baseline"]["macs"] / 2
    assert summary["predicted"]["ram_bytes"] <= 16_000 < summary["baseline"]["ram_bytes"]
    assert summary["predicted"]["instructions"] is None
    assert summary["parity"]["float_max_abs_error"] < 1e-4
    assert summary["parity"]["int8_mismatched_bytes"] is None
    assert summary["closed_loop"]["episodes"] == 30
    assert summary["closed_loop"]["delay_s"] >= summary["predicted"]["latency_s"]
    assert summary["verdict"]["passed"], summary["verdict"]
    planner = summary["planner"]
    assert planner["before"]["samples"] == SETTINGS.samples >= planner["after"]["samples"]
    assert any(group["after"] < group["before"] for group in summary["widths"])
    paths = {a["path"] for a in summary["artifacts"]}
    assert paths >= {
        "model.float32.tflite",
        "model.int8.tflite",
        "robot/policy.json",
        "robot/robot.py",
        "robot/planner.py",
        "widths.json",
        "report.html",
    }
    page = (folder / "report.html").read_text()
    assert "Planner" in page
    assert "predicted" in page


@pytest.mark.slow
def test_what_is_exported_is_what_was_judged(finished, tmp_path):
    folder, summary = finished
    export(ExportRequest(str(folder), "raspberry-pi-4b", "python"), tmp_path / "robot", "secateur export")
    for path in (folder / "robot").iterdir():
        assert (tmp_path / "robot" / path.name).read_bytes() == path.read_bytes()
    files = json.loads((tmp_path / "robot" / "policy.json").read_text())["files"]
    assert (tmp_path / "robot" / files[0]["file"]).read_bytes() == (
        folder / "model.float32.tflite"
    ).read_bytes()
    seeds = range(8)
    got = rollouts(task(), BundleController(tmp_path / "robot", task()), seeds)
    assert np.mean([t.return_ for t in got]) > 0.8 * summary["closed_loop"]["baseline_return_mean"]
    with pytest.raises(UsageError, match="as it was judged"):
        export(ExportRequest(str(folder), "raspberry-pi-4b", "python", dtype="int8"), tmp_path / "other", "")


def test_the_page_shows_the_kept_results_and_they_meet_their_claim(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    import planner as bench

    text = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
    assert bench.filled(text) == text, "run python bench/planner.py"
    document = json.loads(bench.RESULTS.read_bytes())
    judged = document["dtypes"]["float32"]
    assert judged["fewer_macs"] >= 5
    assert judged["closed_loop"]["return_ratio"] >= 0.95
    assert document["verdict"]["passed"]
    assert set(judged["pruned"]["predicted_latency_s"]) == set(bench.PIS)
