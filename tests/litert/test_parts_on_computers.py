"""A policy in parts on a computer: the program on the robot does what was judged, in line and in the background."""

import json

import numpy as np
import parts_policy
import pytest

from secateur.device.litert import LiteRt
from secateur.export.read import read_tflite
from secateur.litert.export import channels_last_task
from secateur.litert.source import Source
from secateur.planner.controller import BundleController, program
from secateur.policy.parts import parts_of
from secateur.runfolder import read_finished
from secateur.runparts import parts_of_run
from secateur.simulate.rollout import rollouts
from secateur.verify.firmware import FirmwareController

pytestmark = pytest.mark.slow

PRUNE = ("prune", "parts_policy:seeing", "--target", "raspberry-pi-4b", "--strategy", "uniform")
QUICK = ("--dtype", "int8", "--ram", "1600B", "--recovery-steps", "0", "--episodes", "4")


def test_a_policy_in_parts_is_inspected_for_a_computer(secateur, tmp_path):
    """Latency, rate and share of every component; and the same as a page."""
    page, command = tmp_path / "page.html", ("inspect", "parts_policy:seeing", "--target", "raspberry-pi-4b")
    code, out, said = secateur(*command, "--json", "--html", page)
    assert code == 0, said
    described = json.loads(out)
    predicted, rates = described["predicted"], {c["name"]: c["rate_hz"] for c in described["components"]}
    assert (predicted["dtype"], predicted["parts"]) == ("float32", ["see", "act"])
    for name, part in predicted["components"].items():
        assert part["time_share"] == pytest.approx(part["latency_range_s"][1] * rates[name])
    assert 0 < sum(p["time_share"] for p in predicted["components"].values()) < predicted["time_share"] < 1
    assert "Predicted on raspberry-pi-4b, float32" in page.read_text()
    assert "all calls in a control step of each of see, act" in page.read_text()


def test_a_policy_in_parts_is_pruned_and_runs_as_it_was_judged(secateur, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    code, _, said = secateur(*PRUNE, *QUICK, "-o", folder)
    assert code in (0, 4), said
    summary = read_finished(folder)
    assert summary["predicted"]["ram_bytes"] <= 1600
    assert json.loads((folder / "widths.json").read_text())["perception.5"] < 8
    assert [(p["name"], p["late_periods"]) for p in summary["parts"]] == [("see", 1), ("act", 0)]
    assert summary["parity"]["float_max_abs_error"] <= 1e-5
    policy, task = parts_policy.seeing()
    parts = parts_of(policy, task.control_hz)
    assert parts_of_run(folder) == parts
    models = {p.name: (folder / f"{p.name}.int8.tflite").read_bytes() for p in parts}
    devices = {name: LiteRt(read_tflite(model), model) for name, model in models.items()}
    taken = channels_last_task(Source("", "", policy, task, {}, ()))
    judged = rollouts(task, FirmwareController(devices, taken, parts, {"see": 1}), (5, 6))
    bundle = rollouts(task, BundleController(folder / "robot", task), (5, 6))
    for one, two in zip(judged, bundle):
        np.testing.assert_allclose(one.actions, two.actions, atol=0.02)  # a byte of an input, by rounding
    monkeypatch.syspath_prepend(folder / "robot")
    robot = program(folder / "robot")
    behind = robot.Policy(folder / "robot", background=True)
    observations = bundle[0].observations
    for step, wanted in enumerate(bundle[0].actions):
        seen = {name: values[step] for name, values in observations.items()}
        described = behind.description["observation"] is not None
        given = behind.act(seen if described else task.to_inputs(seen))
        action = given if behind.description["action"] is not None else task.to_action(given)
        np.testing.assert_array_equal(action, wanted)
    out = tmp_path / "out"
    code, _, said = secateur("export", folder, "--target", "raspberry-pi-4b", "--format", "python", "-o", out)
    assert code == 0, said
    assert (out / "policy.json").read_bytes() == (folder / "robot" / "policy.json").read_bytes()
