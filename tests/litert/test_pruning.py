"""secateur prune for a computer: priced by its latency model, judged with the bundle's program in closed loop."""

import json
from dataclasses import replace

import numpy as np
import pytest

from secateur.deploy import ExportRequest, export
from secateur.errors import BudgetInfeasible, SecateurError
from secateur.export.quantize import convert
from secateur.export.read import read_tflite
from secateur.export.tflite import to_tflite
from secateur.job import prepare
from secateur.litert import pruning
from secateur.pipeline import PruneRequest, prune
from secateur.prune.surgery import rebuild
from secateur.records import Budget, Limits
from secateur.report.wording import device_line
from secateur.runfolder import read_finished
from secateur.target.planning import program_s
from secateur.target.work import work_of

REQUEST = PruneRequest(
    policy="follow_policy:follow",
    target="raspberry-pi-4b",
    budget=Budget(Limits(flash_bytes=2500), max_return_drop=0.1),
    strategy="uniform",
    episodes=30,
    recovery_steps=320,
    dtype="int8",
)


@pytest.fixture(scope="module")
def job():
    return prepare(REQUEST)


@pytest.fixture(scope="module")
def price(job):
    return pruning.price_of(job, pruning.templates_of(job, dtype=job.dtype))


def test_the_price_is_that_of_what_is_built(job, price):
    """Weights and work to the byte, at widths that the template was not made from."""
    generator = np.random.default_rng(0)
    widths = {name: int(generator.integers(2, width)) for name, width in job.graph.full.items()}
    inputs = {"": {"observation": generator.uniform(-1, 1, (64, 4)).astype(np.float32)}}
    network = read_tflite(convert(to_tflite(rebuild(job.policy, job.graph, widths)), "int8", inputs))
    work, cost = work_of(network), price(widths)
    assert (cost.weights_bytes, cost.macs) == (work.weights_bytes, work.macs)
    assert cost.static_ram_bytes == work.weights_bytes + work.activations_bytes
    around = program_s(job.computer, 1)
    assert cost.latency_s.high == pytest.approx(job.computer.latency_s(work, "int8").high + around.high)
    assert cost.instructions is None
    assert sum(part.flash_bytes for part in cost.components.values()) == cost.weights_bytes
    parts = sum(part.latency_s.high for part in cost.components.values())
    assert 0 < parts < cost.latency_s.high
    assert cost.utilisation == pytest.approx(50 * cost.latency_s.high)


def test_what_cannot_be_pruned_for_a_computer_is_refused(job, tmp_path):
    with pytest.raises(SecateurError, match="int4"):
        prepare(replace(REQUEST, dtype="int4"))
    with pytest.raises(BudgetInfeasible, match="smallest latency"):
        prune(replace(REQUEST, budget=Budget(Limits(latency_s=1e-6))), tmp_path / "run", False, "")
    assert not (tmp_path / "run").exists()
    with pytest.raises(SecateurError, match=r"raspberry-pi-4b runs .tflite files.*without --pareto"):
        _ = job.board


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "computer"
    return folder, prune(REQUEST, folder, False, "secateur prune")


@pytest.mark.slow
def test_a_run(finished):
    folder, summary = finished
    assert read_finished(folder) == summary
    assert summary["verdict"]["passed"], summary["verdict"]
    assert summary["predicted"]["flash_bytes"] <= 2500 < summary["baseline"]["flash_bytes"]
    assert summary["measured"] is None
    assert summary["closed_loop"]["delay_s"] >= summary["predicted"]["latency_s"]
    assert summary["parity"]["float_max_abs_error"] < 1e-4 < summary["parity"]["int8_max_abs_error"]
    assert "Latency is predicted for raspberry-pi-4b" in device_line(summary)
    assert "the int8 file ran on LiteRT" in (folder / "report.html").read_text()
    assert {a["path"] for a in summary["artifacts"]} >= {
        *("model.float32.tflite", "model.int8.tflite", "robot/policy.json", "robot/robot.py"),
        *("widths.json", "policy.safetensors", "report.html"),
    }
    network = read_tflite((folder / "model.int8.tflite").read_bytes())
    assert work_of(network).weights_bytes == summary["predicted"]["weights_bytes"]


@pytest.mark.slow
def test_the_run_is_exported_and_measured(finished, secateur, tmp_path):
    folder, _ = finished
    export(ExportRequest(str(folder), "raspberry-pi-4b", "python"), tmp_path / "robot", "secateur export")
    for path in (folder / "robot").iterdir():
        assert (tmp_path / "robot" / path.name).read_bytes() == path.read_bytes()
    code, out, err = secateur("bench", folder, "--device", "host", "--max-time", "200ms", "--json")
    assert code == 0, err
    names = [model["name"] for model in json.loads(out)["devices"][0]["models"]]
    assert names == ["model.float32.tflite", "model.int8.tflite"]
