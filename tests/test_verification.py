"""``secateur verify`` on known cases with known answers, and what it refuses."""

import dataclasses
import json
from contextlib import closing
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from moving import TASK, Pendulum

from secateur.device.timing import Here
from secateur.errors import SecateurError, UsageError
from secateur.openers import Bundled, OnDevice
from secateur.pipeline import Progress
from secateur.proof import attribution, latency
from secateur.proof.latency import Lateness, lateness_of
from secateur.proof.story import Proof, VerifyRequest, _kinds, _parts
from secateur.proof.subject import Subject
from secateur.proof.verdict import verdict_of
from secateur.records import Measurement, Range
from secateur.report.verification import print_verification
from secateur.report.wording import delay_line
from secateur.runfolder import to_json
from secateur.simulate.displaced import Displaced, coordinates
from secateur.simulate.disturb import Disturbance
from secateur.simulate.jitter import Jitter
from secateur.simulate.parallel import CALM, Conditions, close_all, episodes
from secateur.stages import worst_latency_s
from secateur.verify.profile import row
from secateur.verify.scores import Score, score
from secateur.verify.sequential import FAILED, PASSED, UNDECIDED
from secateur.workers import Processes

SHORT = {"deviation": False, "stress_pairs": 8, "episodes": 96}


@pytest.fixture(autouse=True)
def closed():
    yield
    close_all()


def proof_of(artifact, delay_s=0.0, workers=None, **request):
    """What is proven of a copy of the pendulum's controller."""
    policy = SimpleNamespace(name="pendulum")
    subject = Subject("here", policy, TASK, Pendulum(), artifact, "none", "torch", None, None, None)
    wanted = VerifyRequest("here", "torch", **{**SHORT, **request})
    return Proof(wanted, subject, Lateness("fixed", delay_s, "as asked for"), Progress(), workers)


def outcome_of(proof, kinds=(), work=None):
    parts = _parts(proof, kinds, work)
    return parts, verdict_of(proof, parts)


def test_a_controller_against_itself_passes_early():
    parts, verdict = outcome_of(proof_of(Pendulum()))
    test = parts["test"]
    assert verdict["passed"]
    assert 59 <= test["pairs"] <= 96
    assert test["looks"][-1]["outcome"] == PASSED
    assert test["retained"] == {"ratio": 1.0, "ci95": [1.0, 1.0]}
    assert test["improvement"]["value"] == 0.5
    assert test["retained_at_least"] >= 0.95
    assert "keeps at least" in verdict["reasons"][0]


def test_a_range_that_the_task_declares_is_what_the_test_rests_on():
    guessed, doubt = outcome_of(proof_of(Pendulum(), episodes=64))
    assert not guessed["test"]["highest_is_known"]
    assert any("This bound is empirical" in warning for warning in doubt["warnings"])
    proof = proof_of(Pendulum(), episodes=64)
    most = 1.5 * guessed["test"]["highest_return"]
    proof.subject = dataclasses.replace(
        proof.subject, task=dataclasses.replace(TASK, return_range=(0.0, most))
    )
    declared, verdict = outcome_of(proof)
    assert (declared["test"]["highest_return"], declared["test"]["highest_is_known"]) == (most, True)
    assert verdict["warnings"] == [w for w in verdict["warnings"] if "empirical" not in w]
    assert declared["test"]["retained_at_least"] < guessed["test"]["retained_at_least"]


def test_two_periods_of_delay_fell_a_quick_copy_and_only_they_do():
    quick = Pendulum(gain=3.0)
    _, calm = outcome_of(proof_of(quick))
    parts, late = outcome_of(proof_of(quick, 2 / TASK.control_hz))
    assert calm["outcome"] == PASSED
    assert late["outcome"] == FAILED
    assert parts["test"]["pairs"] < 96
    assert parts["test"]["delay"]["worst_periods"] == pytest.approx(2.0)
    assert "at most" in late["reasons"][0]


def test_an_unclear_case_is_not_passed_and_says_so():
    parts, verdict = outcome_of(proof_of(Pendulum(), episodes=40))
    assert verdict["outcome"] == UNDECIDED
    assert not verdict["passed"]
    assert "Not enough evidence after 40 pairs" in verdict["reasons"][0]
    assert "Fewer than 59 never are" in verdict["reasons"][0]
    assert any("as worked out before it ran" in warning for warning in verdict["warnings"])
    assert parts["test"]["plan"]["pairs"] is None


def test_a_copy_that_is_as_good_in_calm_and_worse_under_pushes_shows_up():
    weak = Pendulum(hardest=0.4)
    parts, verdict = outcome_of(proof_of(weak), ("pushes", "mass", "camera-exposure"))
    assert verdict["passed"]
    judged = {(row["kind"], row["level"]): row for row in parts["stress"]["rows"]}
    assert judged["pushes", 1.5]["judged"] == "worse"
    assert judged["pushes", 1.5]["ci95"][1] < 0.95
    assert judged["mass", 0.8]["judged"] == "as good"
    assert any("pushes of 1.5" in warning for warning in verdict["warnings"])
    assert parts["stress"]["left_out"] == {"camera-exposure": "no image is observed"}


def test_an_original_that_gets_nothing_leaves_shares_out_and_ends_no_proof(monkeypatch):
    nothing = [Score(seed, 0.0, 50, None, False, 0.0) for seed in range(32)]
    monkeypatch.setattr(attribution, "episodes", lambda *_: nothing)
    found = attribution.attribute(proof_of(Pendulum()), None)
    assert found["rows"] == []
    assert set(found["left_out"]) == {"masked", "recovered", "int8"}
    assert "it is 0" in found["left_out"]["int8"]
    stressed = row(Disturbance("mass", 0.8), nothing, nothing, 0.0, 0.05, np.random.default_rng(0))
    assert stressed["baseline_of_calm"] is stressed["ratio"] is stressed["judged"] is None


def test_the_same_seed_gives_the_same_document_with_one_process_and_with_two():
    kinds = ("sensor-noise", "actuator-delay")
    one, two = (
        outcome_of(proof_of(Pendulum(gain=0.8), 0.013, workers, region=True, deviation=True), kinds)
        for workers in (None, Processes(2))
    )
    assert to_json(one) == to_json(two)  # and every number is finite
    assert one[0]["deviation"]["action_rms"] > 0
    assert one[0]["deviation"]["artifact"]["change_per_step"] > 0
    assert len(one[0]["region"]["cells"]) == 49


def test_it_is_shown_verdict_first(capsys):
    from rich.console import Console

    proof = proof_of(Pendulum(gain=0.9), episodes=64, region=True, deviation=True)
    parts, verdict = outcome_of(proof, ("sensor-bias", "camera-exposure"))
    document = {
        "verdict": verdict,
        "verification": parts,
        "policy": "pendulum",
        "device": "torch",
        "wall_s": 3.0,
        "processes": 1,
        "peak_memory_bytes": {"main": 1, "largest_process": 0},
    }
    print_verification(json.loads(json.dumps(document)), Console(width=120))
    shown = capsys.readouterr().out
    assert shown.startswith(("PASSED", "NOT ENOUGH EVIDENCE"))
    for words in ("mean return", "sensor bias 20%", "left out: camera-exposure", "moved starts", "ways part"):
        assert words in shown


def test_a_start_is_moved_by_what_it_is_told():
    with closing(TASK.make_env()) as env:
        slide, hinge = coordinates(env)
        assert (slide.unit, hinge.unit) == ("m", "rad")
        plain, _ = env.reset(seed=3)
        moved = Displaced(env, ((hinge.qpos, 0.3),), ((slide.qvel, -1.0),))
        away, _ = moved.reset(seed=3)
        again, _ = env.reset(seed=3)
    np.testing.assert_allclose(away - plain, [0, 0.3, -1.0, 0], atol=1e-12)
    assert np.array_equal(again, plain)
    far = episodes(Pendulum(), range(4), Conditions(qpos=((hinge.qpos, 0.9),)), None, score)
    near = episodes(Pendulum(), range(4), CALM, None, score)
    assert max(s.return_ for s in far) < min(s.return_ for s in near)


@pytest.mark.parametrize("stress", ["earthquakes", "pushes,,", "standard,mass"])
def test_stress_is_of_known_kinds(stress):
    with pytest.raises(UsageError, match="standard set or some"):
        _kinds(stress)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere", "--device", "tflm"), 2, "--target"),
        (("nowhere", "--device", "tflm", "--target", "rp2040"), 1, "a policy is a shipped name"),
        (("tdmpc_cartpole", "--device", "toaster", "--target", "rp2040"), 2, "the device is one of"),
        (
            ("tdmpc_cartpole", "--device", "tflm", "--target", "raspberry-pi-5"),
            1,
            "Prune it for that computer",
        ),
        (("tdmpc_cartpole", "--device", "tflm", "--max-return-drop", "200%"), 2, "at most 100 %"),
        (("tdmpc_cartpole", "--device", "tflm", "--stress", "hail"), 2, "standard set"),
    ],
)
def test_what_cannot_be_proven_is_refused_in_one_line(secateur, arguments, code, words):
    ended, out, said = secateur("verify", *arguments)
    assert ended == code
    assert out == ""
    assert words in said


def test_a_folder_that_is_no_run_is_refused(secateur, tmp_path):
    (tmp_path / "something").write_text("else")
    code, _, said = secateur("verify", tmp_path, "--device", "tflm")
    assert code == 1
    assert "a run folder holds summary.json" in said


def test_nothing_is_written_over(secateur, tmp_path):
    there = tmp_path / "verify.json"
    there.write_text("{}")
    code, _, said = secateur(
        "verify", "tdmpc_cartpole", "--target", "rp2040", "--device", "tflm", "-o", there
    )
    assert code == 1
    assert "nothing is written over" in said
    assert there.read_text() == "{}"


def test_errors_keep_their_three_parts():
    import pickle

    error = pickle.loads(pickle.dumps(UsageError("rule", "seen", "remedy")))
    assert isinstance(error, SecateurError)
    assert (error.rule, error.seen, error.remedy, error.exit_code) == ("rule", "seen", "remedy", 2)


def test_a_delay_comes_from_where_it_is_said_to():
    proof = proof_of(Pendulum())
    run = dataclasses.replace(
        proof.subject, summary={"predicted": {"latency_s": 0.03, "latency_range_s": [0.01, 0.03]}}
    )
    predicted = lateness_of(run, "predicted")
    assert (predicted.delay, predicted.worst_s, predicted.of_board) == (0.03, 0.03, True)
    assert lateness_of(run, "none").worst_s == 0.0
    assert lateness_of(run, "5ms").worst_s == 0.005
    for wrong in ("5", "soon", "-1ms", ""):
        with pytest.raises(UsageError, match="a delay is measured, predicted, none or a time"):
            lateness_of(run, wrong)
    jitter = Lateness("measured", Jitter((0.001, 0.003)), "by a watch", True).to_data(TASK)
    assert jitter["given_s"] == jitter["worst_s"]  # a MujocoEnv is delayed within the period
    coarse = dataclasses.replace(TASK, make_env=lambda: gymnasium.make("MountainCarContinuous-v0"))
    rounded = Lateness("fixed", 0.003, "as asked for").to_data(coarse)
    assert (rounded["worst_s"], rounded["given_s"]) == (0.003, 0.04)
    assert delay_line(rounded).endswith("by whole control periods only: it was given 40 ms.")
    assert "whole control periods" not in delay_line(jitter)
    assert jitter["jitter"]
    assert jitter["mean_s"] == pytest.approx(0.002)
    assert jitter["worst_periods"] == pytest.approx(0.075)


def test_a_latency_that_nobody_told_is_not_none():
    with pytest.raises(SecateurError, match="told no latency"):
        worst_latency_s(Measurement("tflm"))
    assert worst_latency_s(Measurement("emulator", latency_s=Range(1e-3, 2e-3))) == 2e-3


def test_this_machines_time_is_never_a_microcontrollers():
    device = OnDevice(None, (), "host", "rp2040")
    subject = dataclasses.replace(
        proof_of(Pendulum()).subject, artifact=device, device="host", target="rp2040"
    )
    with pytest.raises(SecateurError, match="this machine, which is no rp2040"):
        lateness_of(subject, "measured")


class Far:
    """A link to a computer that is not here."""

    name = "ssh://pi"


@pytest.mark.parametrize(("link", "of_board"), [(Here(), False), (Far(), True)])
def test_this_machines_time_is_not_taken_for_a_computers(monkeypatch, link, of_board):
    call = {
        "min_s": 0.3,
        "p50_s": 0.4,
        "p90_s": 0.5,
        "p99_s": 0.6,
        "max_s": 0.7,
    }  # longer than a control period
    found = {
        "throttled": False,
        "models": [{"call": call}],
        "machine": {"architecture": "aarch64", "bits": 64},
    }
    monkeypatch.setattr(
        latency, "subjects_of", lambda _: ([SimpleNamespace(timed=None, calls_per_step=1)], 25)
    )
    monkeypatch.setattr(latency, "open_link", lambda _: link)
    monkeypatch.setattr(latency, "time_models", lambda *_: found)
    proof = proof_of(Pendulum())
    robot = Bundled(None, "robot", "raspberry-pi-5")
    proof.subject = dataclasses.replace(proof.subject, artifact=robot, target="raspberry-pi-5")
    proof.lateness = lateness_of(proof.subject, "measured")
    assert (proof.lateness.mode, proof.lateness.of_board) == ("measured", of_board)
    assert proof.lateness.worst_s > 0.6
    verdict = verdict_of(proof, {"test": PASSED_TEST, "stress": None, "attribution": None})
    assert (verdict["outcome"] == FAILED) == of_board
    assert any("timed on this machine" in warning for warning in verdict["warnings"]) == (not of_board)
    found["machine"]["architecture"] = "x86_64"
    with pytest.raises(SecateurError, match="a device is of its target's architecture"):
        lateness_of(proof.subject, "measured")


PASSED_TEST = {
    "outcome": PASSED,
    "pairs": 80,
    "max_return_drop": 0.05,
    "retained_at_least": 0.96,
    "plan": {"pairs": 80},
    "lowest_is_known": True,
    "highest_is_known": True,
}


def test_a_board_that_cannot_keep_the_rate_fails_whatever_the_returns_are():
    proof = proof_of(Pendulum(hardest=2.9))
    proof.lateness = Lateness("predicted", 1.2 / TASK.control_hz, "as predicted", True)
    verdict = verdict_of(proof, {"test": PASSED_TEST, "stress": None, "attribution": None})
    assert verdict["outcome"] == FAILED
    assert "longer than one control period" in verdict["reasons"][1]
