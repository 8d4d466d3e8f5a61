"""The story on an engine of the test's own: counts, resume, report, estimate; no policy is loaded."""

import json
import sqlite3
from contextlib import contextmanager

import pytest
from errands import errand, pretend, summary
from hypothesis import given
from hypothesis import strategies as st

from secateur.errors import SecateurError
from secateur.pipeline import Progress
from secateur.report.sweep import boards, front_of
from secateur.sweep import story
from secateur.sweep.estimate import Durations, earlier
from secateur.sweep.file import read_sweep
from secateur.sweep.results import look

TOML = 'policies = ["p", "q"]\ntargets = ["a", "b"]\nseeds = [0, 1, 2]\nstrategies = ["uniform"]\n'


class Here:
    """Workers that are none; they stop after so many outcomes, as a killed sweep does."""

    count, tells_which = 2, True

    def __init__(self, stop_after=None):
        self.stop_after, self.done = stop_after, []

    def ended(self, function, calls):
        if function is story.checked_inputs:
            ((requests,),) = calls
            yield (
                0,
                [{"weights_sha256": "w", "code_sha256": "c", "target_sha256": r.target} for _, r in requests],
            )
            return
        for number, (one,) in reversed(list(enumerate(calls))):
            if self.stop_after is not None and len(self.done) == self.stop_after:
                raise KeyboardInterrupt
            self.done.append(one.number)
            yield number, pretend(one)


def _sweep(tmp_path, name, workers, go_on=False, text=TOML, told=None):
    file = tmp_path / "many.toml"
    file.write_text(text)
    folder = tmp_path / name
    story._require_folder(folder, go_on)
    with story._locked(folder):
        progress = Progress(tell=(told if told is not None else []).append)
        return story._carried_out(read_sweep(file), folder, workers, go_on, progress)


def test_a_broken_off_sweep_goes_on_to_the_same_results(tmp_path):
    whole = _sweep(tmp_path, "whole", Here())
    told = []
    with pytest.raises(KeyboardInterrupt):
        _sweep(tmp_path, "broken", Here(stop_after=5))
    rest = Here()
    resumed = _sweep(tmp_path, "broken", rest, go_on=True, told=told)
    assert sorted(rest.done) == list(range(7))
    assert resumed["results_sha256"] == whole["results_sha256"]
    assert whole["counts"] == resumed["counts"] == {"passed": 6, "failed": 6}
    assert "12 runs: 2 policies on 2 targets; 7 missing; 2 workers; about" in told[0]
    again = Here()
    _sweep(tmp_path, "broken", again, go_on=True)
    assert again.done == []
    assert (tmp_path / "whole" / "report.html").read_text().count("<svg") == 2


def test_nothing_is_written_over_and_nothing_else_gone_on_with(tmp_path):
    _sweep(tmp_path, "one", Here())
    with pytest.raises(SecateurError, match="not empty"):
        _sweep(tmp_path, "one", Here())
    with pytest.raises(SecateurError, match="sweep was"):
        _sweep(tmp_path, "one", Here(), go_on=True, text=TOML.replace("[0, 1, 2]", "[0, 1]"))
    with story._locked(tmp_path / "one"), pytest.raises(SecateurError, match="in use"):
        _sweep(tmp_path, "one", Here(), go_on=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("mine")
    with pytest.raises(SecateurError, match="something else"):
        _sweep(tmp_path, "thesis", Here(), go_on=True)


def test_a_sweep_that_another_has_just_finished_is_not_written_over(tmp_path, monkeypatch):
    """It looked at the folder before the other one had begun, and waited for nothing."""

    @contextmanager
    def late(output):
        output.mkdir()
        (output / "results.sqlite").write_bytes(b"of the other")
        yield

    (tmp_path / "many.toml").write_text(TOML)
    monkeypatch.setattr(story, "_locked", late)
    with pytest.raises(SecateurError, match="not empty"):
        story.sweep(tmp_path / "many.toml", tmp_path / "one", 1)
    assert (tmp_path / "one" / "results.sqlite").read_bytes() == b"of the other"


def test_a_sweep_can_be_looked_at_while_it_runs(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _sweep(tmp_path, "broken", Here(stop_after=5))
    document = story.report(tmp_path / "broken")
    assert document["counts"] == {"missing": 7, "failed": 3, "passed": 2}
    assert "missing" in (tmp_path / "broken" / "report.html").read_text()


def test_a_page_of_its_own_is_for_runs(tmp_path, secateur):
    _sweep(tmp_path, "one", Here())
    code, _, error = secateur("report", tmp_path / "one", "--html", tmp_path / "page.html")
    assert code == 2
    assert "is a sweep" in error


def test_results_of_rubbish_are_one_error(tmp_path):
    _sweep(tmp_path, "one", Here())
    connection = sqlite3.connect(tmp_path / "one" / "results.sqlite")
    with connection:
        connection.execute("UPDATE results SET violations = '{', latency_s = 'soon'")
    connection.close()
    with pytest.raises(SecateurError, match="follows its schema"):
        story.report(tmp_path / "one")


def test_earlier_runs_are_what_a_time_is_estimated_from(tmp_path):
    told = []
    _sweep(tmp_path, "first", Here(), told=told)
    assert "no earlier run of these policies is known" in told[0]
    runs = read_sweep(tmp_path / "many.toml").runs
    assert earlier(tmp_path, runs).count == 12
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text(
        json.dumps({"policy": "p", "strategy": "uniform", "wall_s": 1e6})
    )
    (tmp_path / "rubbish").mkdir()
    (tmp_path / "rubbish" / "summary.json").write_text("[" * 100_000)
    found = earlier(tmp_path, runs)
    assert found.count == 13
    assert found.expected_s(("p", "uniform")) > 1e5 > found.expected_s(("q", "uniform"))


@given(
    st.dictionaries(st.sampled_from("abc"), st.floats(0.5, 100), min_size=1),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=40),
    st.integers(1, 8),
)
def test_the_remaining_time_is_true_where_times_are_known(seconds, kinds, workers):
    """Against a schedule played out: never longer than it, and at most one run shorter."""
    durations = Durations()
    for kind, time in seconds.items():
        durations.learn((kind, "s"), time)
    kinds = [kind for kind in kinds if kind in seconds]
    free = [0.0] * workers
    for kind in kinds:
        free[free.index(min(free))] += seconds[kind]
    estimated = durations.remaining_s([(kind, "s") for kind in kinds], workers)
    longest = max((seconds[kind] for kind in kinds), default=0.0)
    assert estimated <= max(free) + 1e-6
    assert max(free) <= estimated + longest + 1e-6


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 2)), min_size=1, max_size=20))
def test_a_front_has_what_nothing_smaller_matches(points):
    rows = [
        {"run": n, "policy": "p", "target": "t", "flash_bytes": f, "return_kept": k, "status": "passed"}
        for n, (f, k) in enumerate(points)
    ]
    front = front_of(rows, "p")["t"]
    for row in rows:
        beaten = any(
            o["flash_bytes"] <= row["flash_bytes"]
            and o["return_kept"] >= row["return_kept"]
            and (o["flash_bytes"], o["return_kept"]) != (row["flash_bytes"], row["return_kept"])
            for o in rows
        )
        assert (row["run"] in front) <= (not beaten)
    kept = [rows[n]["return_kept"] for n in front]
    assert kept == sorted(kept)
    (board,) = boards(rows)
    assert rows[board["best"]]["flash_bytes"] == min(f for f, _ in points)


def test_figures_are_those_of_the_summaries(tmp_path):
    _sweep(tmp_path, "one", Here())
    for row in look(tmp_path / "one").rows():
        made = summary(row["run"])
        assert row["flash_bytes"] == made["predicted"]["flash_bytes"]
        assert (row["return_kept"], row["cost_source"]) == (made["closed_loop"]["return_ratio"], "predicted")


def test_a_run_has_one_name(tmp_path):
    assert errand(tmp_path, 7).output == tmp_path / "runs" / "00007"
