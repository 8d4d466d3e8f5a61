"""What the sections of a run's page say, and of what is left out."""

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_kept import figures, kept, search, verification, verification_of_everything
from sample_run import sample
from test_reports import BARE, Page

from secateur.errors import SecateurError, UsageError
from secateur.operators.program import Buffer
from secateur.policy.policy import Task
from secateur.records import Budget, Limits
from secateur.report.again import show_again
from secateur.report.bars import board_bars, operator_bars, rate
from secateur.report.candidates import candidates, chosen_of, front_of, rows, tightest
from secateur.report.charts import paired
from secateur.report.compare import ROWS, named, notes, quantities, widths
from secateur.report.compare import rows as compared_rows
from secateur.report.film import film, physics_of
from secateur.report.html import render_html
from secateur.report.kept import load_figures
from secateur.report.memory import memory_drawing, memory_map
from secateur.report.omitted import omitted
from secateur.report.proof import profile_bars, verified
from secateur.report.rates import BANDS
from secateur.runfolder import MANIFEST, SUMMARY, file_hash, to_json
from secateur.simulate.controller import FunctionController

TRIALS = st.lists(
    st.fixed_dictionaries(
        {
            "flash_bytes": st.integers(1, 9),
            "error": st.floats(0.01, 1.0),
            "rounds": st.sampled_from([1, 1, 4]),
        }
    ),
    max_size=12,
)


@given(TRIALS)
def test_the_front_is_what_no_short_trial_beats(tried):
    front = front_of(tried, "flash_bytes")
    short = [t for t in tried if t["rounds"] == 1]
    for trial in short:
        beaten = any(f["flash_bytes"] <= trial["flash_bytes"] and f["error"] <= trial["error"] for f in front)
        assert beaten
    for one, other in itertools.pairwise(front):
        assert one["flash_bytes"] <= other["flash_bytes"]
        assert one["error"] > other["error"]


def test_what_was_tried_is_drawn_against_the_tightest_limit():
    summary = sample(search=search(), budget=Budget(Limits(flash_bytes=10**6, latency_s=4e-4)))
    assert tightest(summary) == "latency_s"
    drawing = str(candidates(summary))
    assert drawing.count("<circle") == 6
    assert "worst latency, predicted" in drawing
    assert len(rows(summary)) == 6
    assert candidates(sample()) == ""


def test_the_chosen_trial_is_that_of_the_predicted_cost():
    summary = sample(search=search())
    after = summary["predicted"]
    same = {key: after[key] for key in ("parameters", "flash_bytes", "ram_bytes", "latency_s")}
    tried = [*summary["search"]["tried"], {**same, "error": 0.2, "kept": 1.0, "rounds": 4}]
    assert chosen_of(summary, summary["search"]["tried"]) is None
    assert chosen_of(summary, tried)["error"] == 0.2


def test_operators_tell_predicted_from_counted():
    first, _, last = operator_bars(figures()["operators"])
    assert first.row[4:6] == ("2,083", "2,042")
    assert last.counted is None
    assert last.row[5] == last.row[7] == "–"
    assert 0 < last.predicted[0] < last.predicted[1] < first.predicted[1] <= 1


def test_boards_stand_on_one_axis_with_the_bands():
    bars, bands, ticks = board_bars(figures()["boards"])
    assert [bar.own for bar in bars] == [True, False, False]
    assert "does not fit" in bars[1].row[3]
    assert bars[2].unknown.startswith("a target states")
    assert len(bands) == len(BANDS)
    ends = [end for bar in bars[:2] for end in (*bar.before, *bar.after)]
    ends += [end for band in bands for end in (band.start, band.end)]
    assert all(0 <= end <= 100 for end in ends)
    assert [tick.label for tick in ticks] == ["1 kHz", "200 Hz", "50 Hz", "10 Hz"]
    assert bars[0].after[0] < bars[0].before[0]


def test_rates_as_people_say_them():
    assert [rate(hz) for hz in (11.7, 998, 5903, 55e3, 180e3)] == [
        *("11.7 Hz", "998 Hz", "5.9 kHz", "55 kHz", "180 kHz")
    ]


class _Program:
    """As much of a program as the map looks at."""

    def __init__(self):
        self.buffers = (Buffer("ugly;name", 5, 0, 0), Buffer("uglier", 9, 0, 1), Buffer("scratch", 3, 1, 1))
        step = dataclasses.make_dataclass("Step", ["label", "writes"])
        self.steps = (step("encoder/0", (1,)), step("policy/0", (1,)))
        self.inputs = {"observation": 0}


def test_the_map_of_memory_names_what_makes_a_buffer():
    arena = memory_map(_Program())
    assert [b["name"] for b in arena["buffers"]] == ["observation", "encoder/0", "scratch"]
    assert [b["padded_bytes"] for b in arena["buffers"]] == [8, 12, 4]
    assert arena["live_bytes"] == [20, 16]
    assert arena["size_bytes"] == arena["lower_bound_bytes"] == 20
    drawing = str(memory_drawing(arena))
    assert drawing.count("<rect") == 3
    assert "encoder/0: 9 bytes from offset" in drawing
    assert memory_drawing({"size_bytes": 0, "buffers": [], "steps": []}) == ""


def test_changes_of_the_return_are_drawn_seed_by_seed():
    drawing = str(paired([1.0, 2.0, 3.0], [0.5, 2.0, 3.5]))
    assert drawing.count("<rect") == 3
    assert "1 of 3 seeds lost" in drawing
    assert "nan" not in str(paired([1.0, 1.0], [1.0, 1.0]))


def test_what_a_page_has_not_is_said_with_the_reason():
    missing = dict(omitted(sample(**BARE), kept(figures={}, film=None, still=None)))
    assert missing["Film"] == missing["Memory over time"] == "the run kept no figures.json"
    assert missing["Measured on the device"] == "no device was run"
    assert missing["What the search tried"] == "the strategy tries no candidates"
    no_film = figures() | {"film": None, "left_out": {"film": "nothing here can draw"}}
    page = render_html(sample(), kept(figures=no_film))
    assert "nothing here can draw" in page
    assert "<img" not in page
    whole = dict(omitted(sample(search=search()), kept(verification=verification())))
    assert set(whole) == {"Attribution", "Region of attraction", "Where actions differ"}
    assert "--attribution" in whole["Attribution"]


def test_the_whole_page_shows_every_section():
    page = render_html(sample(search=search()), kept(verification=verification()))
    text = " ".join(" ".join(Page(page).text).split())
    for title in (
        *("Component graph", "What the search tried", "Recovery", "Closed loop", "Film", "Verification"),
        *("Robustness profile", "Latency by operator", "Latency on every board", "Memory over time"),
        "Provenance",
    ):
        assert re.search(f"<h2[^>]*>{title}", page), title
    for part in (
        "217.3",
        "2,083",
        "54–64.8 ms",
        "encoder/0",
        "Under pushes of 1.5",
        "62.5 %",
        "it sees no image",
    ):
        assert part in text, part
    assert "<script" not in page
    assert not re.search(r"(src|href|srcset)=\"(?!#|data:image/webp)", page)
    assert len(page.encode()) < 10_000_000


def test_a_verification_shows_what_is_worse_under_stress():
    found = verified(verification())
    assert found["title"] == "Passed"
    assert [bar.judged for bar in found["profile"]] == ["as good", "worse", "not judged"]
    assert found["profile"][2].before == 0.0
    assert "pairs" in str(found["evidence"])
    assert verified({}) is None
    assert (
        verified({"verdict": {"outcome": "undecided"}, "verification": {}})["title"] == "Not enough evidence"
    )
    assert profile_bars({"rows": []}) == []


def test_a_verification_shows_where_the_artifact_differs():
    found = verified(verification_of_everything())
    encoder, policy, both = found["swaps"]
    assert encoder.row[2] == "99.0 %"
    assert policy.low < policy.kept < policy.high < policy.whole
    assert both.kept == 0.0
    assert found["swap_left_out"] == [("recovered", "it norms over channels")]
    assert [form for form, _ in found["swap_meaning"]] == ["int8"]
    assert "differ by 0.031" in found["deviation"][0]
    assert "25 %" in found["deviation"][1]
    assert found["movement"][1] == ("Time with an action at its limit", "–", "1.0 %")
    drawn = str(found["region_drawing"])
    assert (drawn.count("<rect"), drawn.count("<circle"), drawn.count('class="tried lost"')) == (2, 8, 3)
    assert drawn.count('class="recovered"') == 2
    assert found["region"][0].endswith(
        "recovers from 75.0 % of the area (40.0 % to 90.0 %, as far as starts tell), the artifact from 50.0 % of the "
        "area (20.0 % to 80.0 %, as far as starts tell)."
    )
    assert "+1 rad, -4 rad/s: 2 of 2" in str(found["region_drawing"])
    assert found["region_rows"][0][:3] == ("-1 rad", "-4 rad/s", "2 of 2")
    page = render_html(sample(search=search()), kept(verification=verification_of_everything()))
    text = " ".join(Page(page).text)
    for title in ("Which component costs the return", "Where actions differ", "Region of attraction"):
        assert title in text
    assert 'id="omitted"' not in page
    earlier = verification_of_everything()  # of a grid
    for side in ("baseline", "artifact"):
        earlier["verification"]["region"][side] = {"share": 0.75, "ci95": [0.4, 0.9]}
    assert "75.0 % (40.0 % to 90.0 %) of them" in verified(earlier)["region"][0]
    earlier["verification"]["region"]["cells"] = earlier["verification"]["region"]["cells"][:2]  # on a line
    assert verified(earlier)["region_drawing"]
    no_region = verification_of_everything()
    no_region["verification"]["region"] = {"left_out": "the environment is no MujocoEnv"}
    assert verified(no_region)["region"] == []
    assert dict(omitted(sample(search=search()), kept(verification=no_region))) == {
        "Region of attraction": "the environment is no MujocoEnv"
    }


def test_runs_are_compared_side_by_side():
    runs = {"a": sample(), "b": sample(**BARE)}
    table = {row[0]: row[1:] for row in compared_rows(runs)}
    assert list(table) == list(ROWS)
    assert table["Flash"][0].endswith("(measured)")
    assert table["Flash"][1].endswith("(predicted)")
    assert table["Return kept (95 % interval)"][1] == "–"
    for quantity in quantities(runs):
        assert all(0 <= bar.filled <= 1 for bar in quantity.bars)
    assert [q.label for q in quantities(runs)][-1] == "Return kept"
    assert widths({"a": sample(), "c": sample(policy="other")}) == []
    assert widths(runs)[0] == ("encoder.0", "256", "48", "–")
    assert any("different policies" in note for note in notes({"a": sample(), "c": sample(policy="other")}))


def _run(folder, summary):
    folder.mkdir()
    (folder / SUMMARY).write_bytes(to_json(summary))
    manifest = {"files": {SUMMARY: file_hash(folder / SUMMARY)}}
    (folder / MANIFEST).write_bytes(to_json(manifest))
    return folder


def test_runs_called_alike_are_told_by_their_path(tmp_path):
    paths = [tmp_path / "one" / "run", tmp_path / "two" / "run"]
    assert list(named(paths, [sample(), sample()])) == [str(path) for path in paths]
    with pytest.raises(UsageError, match="named twice"):
        named([tmp_path, tmp_path], [sample(), sample()])
    with pytest.raises(SecateurError, match="is a front"):
        named(paths, [sample(), {"kind": "pareto"}])


def test_names_are_shown_as_they_are(tmp_path, secateur):
    """What rich would take for a mark-up, and an end of one that never began."""
    name = "a [b] [/c] :smile:"  # a folder in a folder
    (tmp_path / name).parent.mkdir()
    one = _run(tmp_path / name, {**sample(), "policy": "[/p] [red]"})
    two = _run(tmp_path / "two", sample())
    code, printed, error = secateur("report", one)
    assert (code, error) == (0, "")
    assert name in printed
    assert "[/p] [red]" in printed
    code, printed, _ = secateur("report", one, two)
    assert code == 0
    assert "[/p] [red]" in printed


def test_report_writes_pages_and_nothing_over_them(tmp_path, secateur):
    one, two = _run(tmp_path / "one", sample()), _run(tmp_path / "two", sample(**BARE))
    (one / "verify.json").write_text(json.dumps(verification()))
    code, printed, _ = secateur("report", one, "--html", tmp_path / "page.html")
    assert code == 0
    assert "page.html" in printed
    assert "Robustness profile" in (tmp_path / "page.html").read_text()
    code, _, error = secateur("report", one, "--html", tmp_path / "page.html")
    assert code == 1
    assert "written over" in error
    code, printed, _ = secateur("report", one, two, "--html", tmp_path / "both.html")
    assert code == 0
    assert "Worst latency" in printed
    assert "2 runs compared" in (tmp_path / "both.html").read_text()
    code, printed, _ = secateur("report", one, two, "--json")
    assert set(json.loads(printed)) == {"one", "two"}
    with pytest.raises(UsageError, match="one run"):
        show_again([one, two], tmp_path / "other.html", one / "verify.json")


def test_what_a_page_is_drawn_from_is_checked(tmp_path):
    assert load_figures(tmp_path).figures == {}
    with pytest.raises(SecateurError, match="secateur verify wrote"):
        load_figures(tmp_path, tmp_path / "verify.json")
    (tmp_path / "figures.json").write_text("[]")
    with pytest.raises(SecateurError, match="an object"):
        load_figures(tmp_path)
    (tmp_path / "figures.json").write_text("{")
    with pytest.raises(SecateurError, match="is JSON"):
        load_figures(tmp_path)
    (tmp_path / "figures.json").write_text("[" * 100_000)
    with pytest.raises(SecateurError, match="nested too deep"):
        load_figures(tmp_path)


@pytest.mark.parametrize(
    "rubbish", [{"verdict": 1}, {"verification": {"test": [1]}}, {"verification": {"stress": 1}}]
)
def test_a_verification_of_rubbish_is_one_error(tmp_path, rubbish):
    run = _run(tmp_path / "one", sample())
    (run / "verify.json").write_text(json.dumps(rubbish))
    with pytest.raises(SecateurError, match="follows its schema"):
        show_again([run], tmp_path / "page.html", None)
    assert not (tmp_path / "page.html").exists()


def _pendulum(make_env):
    return Task(
        make_env=make_env,
        to_inputs=lambda observation: {"observation": observation.astype("float32")[None]},
        to_action=lambda outputs: outputs["act"][0],
        control_hz=25,
    )


def _draws():
    """Whether OpenGL without a screen works here."""
    code = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8)"
    environment = {**os.environ, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "osmesa")}
    return not subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).returncode


def test_a_film_is_of_both_on_the_same_seed(tmp_path):
    if not _draws():
        pytest.skip("there is no OpenGL without a screen here")
    task = _pendulum(lambda: gymnasium.make("InvertedPendulum-v5", max_episode_steps=12))
    push = FunctionController(lambda observation: np.full(1, 0.5 * observation[1], np.float32))
    still = FunctionController(lambda _: np.zeros(1, np.float32))
    made = film(task, push, still, 3, 0.01, tmp_path)
    assert made.seed == 3
    assert made.baseline_return > 0
    assert {path.name for path in tmp_path.iterdir()} == {"film.webp", "film_still.webp"}
    from PIL import Image

    moving = Image.open(tmp_path / "film.webp")
    assert moving.n_frames > 3
    assert moving.size == (576, 216)
    moving.seek(moving.n_frames - 1)
    last = np.asarray(moving.convert("RGB"), np.int32)
    assert np.abs(last[:, :288] - last[:, 288:]).max() > 40  # they act otherwise, so they stand otherwise


def test_a_film_needs_a_robot_in_mujoco():
    with pytest.raises(SecateurError, match="MuJoCo environment"):
        physics_of(gymnasium.make("CartPole-v1"))
    model, data = physics_of(gymnasium.make("InvertedPendulum-v5"))
    assert data.qpos.shape == (model.nq,)


def test_no_film_where_nothing_can_draw(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl_that_is_not")
    task = _pendulum(lambda: gymnasium.make("InvertedPendulum-v5", max_episode_steps=3))
    still = FunctionController(lambda _: np.zeros(1, np.float32))
    with pytest.raises(SecateurError, match="OpenGL without a screen"):
        film(task, still, still, 3, 0.0, tmp_path)
    assert list(tmp_path.iterdir()) == []
