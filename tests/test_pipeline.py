"""The whole chain on the README's example: result, schema, determinism, kill and resume, and refusals."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from example import PRUNE, run, secateur, write_example
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from secateur.export.read import read_tflite
from secateur.graph.groups import build_graph
from secateur.policy.load import load
from secateur.policy.weights import load_weights
from secateur.prune.surgery import rebuild
from secateur.runfolder import read_finished
from secateur.verify.golden import load_golden

pytestmark = pytest.mark.slow

QUICK = ("--episodes", "50", "--recovery-steps", "1600")
STAGES = ("original", "widths", "policy", "export", "device", "loop", "figures")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def finished(example, tmp_path_factory):
    """An unbroken run: (folder, what it printed)."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = run(secateur("prune", str(example), *PRUNE, *QUICK, "-o", str(folder)))
    return folder, done.stdout


def test_the_run_passes_and_its_summary_follows_the_schema(finished):
    folder, printed = finished
    summary = read_finished(folder)
    assert summary["verdict"] == {"passed": True, "violations": []}
    assert summary["measured"]["flash_bytes"] <= 4096
    assert summary["measured"]["ram_bytes"] <= 1024
    assert summary["parity"]["vectors"] >= 1000
    assert summary["parity"]["int8_mismatched_bytes"] == 0
    assert summary["parity"]["float_max_abs_error"] <= 1e-5
    assert summary["closed_loop"]["episodes"] == 50
    assert summary["closed_loop"]["ci95"][0] >= 0.95
    assert summary["closed_loop"]["delay_s"] == summary["measured"]["latency_s"] > 0
    assert (
        "predicted" in summary["measured"]["latency_source"]
        or "counted" in summary["measured"]["latency_source"]
    )
    for section, keys in {
        "budget": ("flash_bytes", "ram_bytes", "latency_s", "max_return_drop"),
        "baseline": ("parameters", "macs", "flash_bytes", "ram_bytes", "latency_s"),
        "predicted": ("parameters", "macs", "flash_bytes", "ram_bytes", "latency_s", "components"),
        "measured": (
            "device",
            "flash_bytes",
            "ram_bytes",
            "stack_bytes",
            "instructions",
            "latency_s",
            "latency_source",
        ),
        "closed_loop": (
            "episodes",
            "baseline_return_mean",
            "artifact_return_mean",
            "return_ratio",
            "ci95",
            "success_rate",
            "delay_s",
        ),
    }.items():
        assert not [key for key in keys if key not in summary[section]], section
    assert {a["path"] for a in summary["artifacts"]} >= {
        "model.int8.tflite",
        "model.float32.tflite",
        "golden.npz",
        "widths.json",
        "report.html",
        "figures.json",
    }
    assert "PASSED" in printed


def test_the_page_is_drawn_from_figures_that_agree_with_the_summary(finished):
    folder, summary = finished[0], read_finished(finished[0])
    figures = json.loads((folder / "figures.json").read_bytes())
    counted = {o["label"]: o["counted"]["instructions"] for o in figures["operators"]}
    assert counted == summary["measured"]["operator_instructions"]
    predicted = sum(o["predicted"]["instructions"] for o in figures["operators"])
    assert 0 <= summary["predicted"]["instructions"] - predicted < 500
    assert figures["arenas"][0]["size_bytes"] == summary["measured"]["static_ram_bytes"]
    own = figures["boards"][0]
    assert own["name"] == summary["target"]
    assert own["before"]["latency_range_s"] == summary["baseline"]["latency_range_s"]
    assert own["after"]["latency_range_s"] == summary["predicted"]["latency_range_s"]
    assert len(figures["boards"]) > 10
    after = {part["name"]: part["parameters_after"] for part in figures["graph"]["components"]}
    assert sum(after.values()) == summary["predicted"]["policy_parameters"]
    loop = summary["closed_loop"]
    if film := figures.get("film"):
        assert film["baseline_return"] == loop["baseline_returns"][0]
        assert film["artifact_return"] == loop["artifact_returns"][0]
        assert (folder / "film.webp").stat().st_size < 4_000_000
    else:
        assert "OpenGL" in figures["left_out"]["film"]
    tried = summary["search"]["tried"]
    assert any(trial["flash_bytes"] == summary["predicted"]["flash_bytes"] for trial in tried)
    page = (folder / "report.html").read_text()
    assert "Memory over time" in page
    assert len(page) < 10_000_000


def test_the_run_is_proven_by_its_firmware(example, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    verify = secateur("verify", str(folder), "--policy", str(example))
    command = [*verify, "--device", "emulator", "--delay", "measured", "--json"]
    done = run([*command, "--stress", "pushes", "--stress-pairs", "8", "--attribution", "--region"])
    document = json.loads(done.stdout)
    assert json.loads((folder / "verify.json").read_text()) == document
    assert document["verdict"]["outcome"] == "passed"
    parts = document["verification"]
    assert parts["test"]["pairs"] >= 59
    assert parts["test"]["delay"]["mode"] == "measured"
    assert 0 < parts["test"]["delay"]["worst_s"] < 1e-3
    assert {row["kind"] for row in parts["stress"]["rows"]} == {"pushes"}
    assert {row["form"] for row in parts["attribution"]["rows"]} == {"masked", "recovered", "int8"}
    whole = [row for row in parts["attribution"]["rows"] if row["component"] == "all"]
    assert {row["form"]: row["ratio"] > 0.9 for row in whole}["recovered"]
    assert parts["deviation"]["action_rms"] > 0
    assert len(parts["region"]["cells"]) == 49
    read_finished(folder)  # what is beside the run changes nothing in it
    again = run([*verify, "--device", "tflm"], check=False)
    assert again.returncode == 1
    assert "nothing is written over" in again.stderr
    late = [*verify, "--device", "tflm", "-o", str(tmp_path / "late.json")]
    failed = run([*late, "--delay", "500ms", "--json"], check=False)
    assert failed.returncode == 4
    assert json.loads(failed.stdout)["verdict"]["outcome"] == "failed"
    unknown = run([*verify, "--device", "tflm", "-o", "x", "--delay", "measured"], check=False)
    assert unknown.returncode == 1
    assert "tells how long a call takes" in unknown.stderr


def test_predictions_equal_the_link_map(finished):
    summary = read_finished(finished[0])
    predicted, measured = summary["predicted"], summary["measured"]
    for exact in ("weights_bytes", "tables_bytes", "static_ram_bytes"):
        assert predicted[exact] == measured[exact], exact
    for bound in ("code_bytes", "stack_bytes"):
        assert 0 <= predicted[bound] - measured[bound] <= 512, bound


def test_the_policy_is_rebuilt_from_widths_and_weights(example, finished):
    folder = finished[0]
    original = load(str(example)).policy
    policy = rebuild(original, build_graph(original), json.loads((folder / "widths.json").read_text()))
    load_weights(policy.module, folder / "policy.safetensors")
    golden = load_golden(folder / "golden.npz")
    with torch.no_grad():
        answer = policy.module.act(torch.from_numpy(golden.inputs["observation"])).numpy()
    np.testing.assert_allclose(answer, golden.torch["act"], atol=1e-5)
    assert read_tflite((folder / "model.int8.tflite").read_bytes()).inputs.keys() == {"observation"}


def _kill_in(stage, command, folder):
    """Starts the command and kills it as soon as it is at work in a stage."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 300
    while not (folder / ".stages" / f".{stage}").exists() and not (folder / ".stages" / stage).exists():
        assert process.poll() is None, f"ended before {stage}"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_in_every_stage_it_resumes_to_the_same_result(example, finished, tmp_path):
    folder = tmp_path / "broken"
    command = secateur("prune", str(example), *PRUNE, *QUICK, "-o", str(folder))
    _kill_in(STAGES[0], command, folder)
    refused = run(command, check=False)
    assert refused.returncode == 1
    assert "--resume" in refused.stderr
    for stage in STAGES[1:]:
        _kill_in(stage, [*command, "--resume"], folder)
        assert not (folder / "summary.json").exists()
    run([*command, "--resume"])
    one, two = read_finished(finished[0]), read_finished(folder)
    for name in (
        "widths.json",
        "policy.safetensors",
        "model.float32.tflite",
        "model.int8.tflite",
        "c/policy.c",
        "c/policy_weights.c",
    ):
        assert (finished[0] / name).read_bytes() == (folder / name).read_bytes(), name
    for section in (
        "baseline",
        "predicted",
        "measured",
        "parity",
        "closed_loop",
        "verdict",
        "widths",
        "recovery",
    ):
        assert one[section] == two[section], section


def test_a_finished_run_is_shown_again_and_not_redone(example, finished):
    folder = finished[0]
    before = (folder / "summary.json").stat().st_mtime_ns
    again = run(secateur("prune", str(example), *PRUNE, *QUICK, "-o", str(folder), "--resume", "--json"))
    assert json.loads(again.stdout) == read_finished(folder)
    assert (folder / "summary.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ("--flash", "600B"),
            3,
            ("flash of the whole policy", "component", "smallest flash that could be met"),
        ),
        (("--ram", "64B"), 3, ("ram of the whole policy", "smallest ram that could be met")),
        (("--rate", "10MHz"), 3, ("latency of the whole policy", "smallest latency that could be met")),
        (("--component", "head.latency=1us"), 3, ("latency of head",)),
        (("--flash", "12kb"), 2, ("a size is",)),
        (("--component", "tail.latency=1us"), 1, ("'tail'", "encoder, head")),
        (("--strategy", "magic"), 2, ("component-aware",)),
        (("--target", "stm32f446rf"), 1, ("stm32f446re",)),
    ],
)
def test_refusals_are_one_line_and_write_nothing(example, tmp_path, arguments, code, words):
    folder = tmp_path / "run"
    target = () if "--target" in arguments else ("--target", "stm32f446re")
    refused = run(secateur("prune", str(example), *target, *arguments, "-o", str(folder)), check=False)
    assert refused.returncode == code
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("secateur: ")]
    for word in words:
        assert word in line
    assert "Traceback" not in refused.stderr
    assert not refused.stdout
    assert not folder.exists()


def test_the_least_that_could_be_met_can_be_met(example, tmp_path):
    refused = run(
        secateur(
            "prune", str(example), "--target", "stm32f446re", "--flash", "600B", "-o", str(tmp_path / "a")
        ),
        check=False,
    )
    least = refused.stderr.rsplit("could be met is ", 1)[1].split(" B")[0]
    command = secateur(
        "prune",
        str(example),
        "--target",
        "stm32f446re",
        "--flash",
        f"{least}B",
        "--recovery-steps",
        "0",
        "--episodes",
        "2",
    )
    met = run([*command, "-o", str(tmp_path / "b")], check=False)
    assert met.returncode in (0, 4), met.stderr
    assert json.loads((tmp_path / "b" / "summary.json").read_text())["measured"]["flash_bytes"] <= int(least)


@pytest.mark.parametrize(
    ("strategy", "coefficients"), [("global", "gradient"), ("per-component", "grid"), ("uniform", "none")]
)
def test_the_other_strategies_take_the_same_chain(example, tmp_path, strategy, coefficients):
    folder = tmp_path / strategy
    quick = ("--episodes", "4", "--recovery-steps", "160", "--fake-quantise", "--recovery-enough", "1%")
    done = run(
        secateur(
            *("prune", str(example), *PRUNE, *quick, "-o", str(folder)),
            *("--strategy", strategy, "--coefficients", coefficients),
        ),
        check=False,
    )
    assert done.returncode in (0, 4), done.stderr
    summary = read_finished(folder)
    assert summary["strategy"] == strategy
    # A hundredth of the return is there at once, in float as in int8.
    assert [point["step"] for point in summary["recovery"]] == [0, 0]
    assert (summary["coefficients"] is None) == (coefficients == "none")
    assert summary["measured"]["flash_bytes"] <= 4096
    assert summary["parity"]["int8_mismatched_bytes"] == 0


def _with_weights(example, folder, change):
    folder.mkdir()
    (folder / "policy.py").write_text((example / "policy.py").read_text())
    (folder / "weights.safetensors").write_bytes(change((example / "weights.safetensors").read_bytes()))
    return folder


def _not_a_number(weights):
    tensors = load_safetensors(weights)
    tensors["head.0.bias"][3] = float("nan")
    return save_safetensors(tensors)


@pytest.mark.parametrize(
    ("change", "words"),
    [(_not_a_number, "head.0.bias holds NaN"), (lambda weights: weights[:-7], "whole safetensors file")],
    ids=["nan", "truncated"],
)
def test_bad_weights_are_one_error(example, tmp_path, change, words):
    broken = _with_weights(example, tmp_path / "broken", change)
    refused = run(secateur("prune", str(broken), *PRUNE, "-o", str(tmp_path / "run")), check=False)
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_policy_that_raises_is_one_error(example, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    text = (
        (example / "policy.py")
        .read_text()
        .replace("self.head(self.encoder(observation))", "self.head(observation)")
    )
    (broken / "policy.py").write_text(text)
    (broken / "weights.safetensors").write_bytes((example / "weights.safetensors").read_bytes())
    refused = run(secateur("inspect", str(broken)), check=False)
    assert refused.returncode == 1
    assert "every entry runs on its example inputs" in refused.stderr


def test_inspect_prices_components_on_a_board(example, tmp_path):
    page = tmp_path / "new" / "page.html"
    command = secateur("inspect", str(example), "--target", "stm32f446re", "--json", "--html", str(page))
    described = json.loads(run(command).stdout)
    assert "<svg" in page.read_text()
    again = run(command, check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert "there already" in again.stderr
    assert 0 < described["predicted"]["time_share"] < 1
    predicted = described["predicted"]
    assert set(predicted["components"]) == {"encoder", "head"}
    assert sum(part["flash_bytes"] for part in predicted["components"].values()) < predicted["flash_bytes"]


def test_module_and_function_name_a_policy_too(example, tmp_path):
    (tmp_path / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(example)!r})\nfrom policy import policy\n"
    )
    done = subprocess.run(
        secateur("inspect", "mine:policy", "--json"), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    described = json.loads(done.stdout)
    assert [c["name"] for c in described["components"]] == ["encoder", "head"]
    assert [g["name"] for g in described["groups"] if g["coupling"]] == ["encoder.2"]
