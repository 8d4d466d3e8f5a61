"""``secateur export`` and ``secateur bench`` on computers, as a user types them."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tflite_networks import Layer, network

from secateur.graph.groups import build_graph
from secateur.policy.load import load
from secateur.runfolder import RunFolder, to_json

EXPORT_TDMPC = ("export", "tdmpc_cartpole", "--target", "raspberry-pi-4b")
INT8 = network(6, [Layer(17, activation=1, zero_point=-128), Layer(3, tail=("TANH",))], 0)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(INT8)
    return path


@pytest.mark.slow
def test_export_and_bench_of_a_policy_with_rates(secateur, tmp_path):
    out = tmp_path / "out"
    code, _, err = secateur(
        "export", "policies_of_parts:camera", "--target", "raspberry-pi-5", "--format", "python",
        "--dtype", "auto", "--max-error", "5%", "-o", out,
    )  # fmt: skip
    assert code == 0, err
    manifest = json.loads((out / "manifest.json").read_bytes())
    for name, wanted in manifest["files"].items():
        assert sha256((out / name).read_bytes()).hexdigest() == wanted
    document = json.loads((out / "policy.json").read_bytes())
    assert [file["component"] for file in document["files"]] == [None, "perception", "head"]
    for file in document["files"]:
        timed = {
            d: tried["seconds"] for d, tried in file["candidates"].items() if tried["seconds"] is not None
        }
        assert file["dtype"] in timed
        assert all(signature["accuracy"]["error_share"] <= 0.05 for signature in file["signatures"])
    arguments = ("--device", "host", "--target", "raspberry-pi-5", "--max-time", "300ms")
    code, printed, err = secateur("bench", out, *arguments, "--json")
    assert code == 0, err
    (device,) = json.loads(printed)["devices"]
    assert [m["kind"] for m in device["models"]] == ["whole", "component", "component"]
    assert [m["rate_hz"] for m in device["models"]] == [None, 10.0, None]
    busy = sum(m["call"]["p99_s"] * (m["rate_hz"] or 50) for m in device["models"][1:])
    assert device["components_utilisation"] == pytest.approx(busy)
    for measured in device["models"]:
        predicted = measured["predicted"]
        assert predicted["low_s"] <= predicted["middle_s"] <= predicted["high_s"]
    code, printed, _ = secateur("bench", out, *arguments)
    assert code == 0
    assert "components at their rates" in printed
    (out / document["files"][0]["file"]).write_bytes(INT8)
    code, _, err = secateur("bench", out, "--device", "host")
    assert (code, "was changed" in err) == (1, True)


def test_export_of_a_run(secateur, tmp_path):
    """The recovered weights, not the original's, in the original's code at the run's widths."""
    loaded = load("test_robot:pole")
    graph = build_graph(loaded.policy)
    made = tmp_path / "made"
    made.mkdir()
    weights = {name: tensor + 0.25 for name, tensor in loaded.policy.module.state_dict().items()}
    save_file(weights, made / "policy.safetensors")
    (made / "widths.json").write_bytes(to_json(dict(graph.full)))
    request = {"policy": "test_robot:pole", "code_sha256": loaded.code_sha256}
    folder = RunFolder(tmp_path / "run", request, False)
    with folder:
        files = {path.name: path for path in made.iterdir()}
        folder.publish(files, {}, lambda listed: {"schema": 1, "policy": "pole", "artifacts": listed})
    out = tmp_path / "out"
    arguments = ("--target", "linux-aarch64", "--format", "tflite", "--policy", "test_robot:pole")
    code, _, err = secateur("export", folder.path, *arguments, "--name", "upright", "-o", out)
    assert code == 0, err
    from secateur.export.litert import run_signature

    observation = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    got = run_signature((out / "upright.float32.tflite").read_bytes(), {"observation": observation})["act"]
    loaded.policy.module.load_state_dict(weights)
    with torch.no_grad():
        wanted = loaded.policy.module.act(torch.from_numpy(observation)).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    (folder.path / "request.json").write_bytes(to_json({**request, "code_sha256": "another"}))
    code, _, err = secateur("export", folder.path, *arguments, "-o", tmp_path / "again")
    assert (code, "the code of test_robot:pole is another" in err) == (1, True)


def test_bench_of_a_file_needs_no_target(secateur, model):
    code, out, err = secateur("bench", model, "--device", "host", "--max-time", "200ms", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["target"] is None
    assert document["devices"][0]["models"][0]["predicted"] is None
    for key in ("temperature_c", "clock_hz", "flags"):
        assert key in document["devices"][0]["before"]  # null where the system does not tell


@pytest.mark.parametrize("named", ["../model.tflite", "/etc/passwd", 7])
def test_an_exported_folder_names_no_file_elsewhere(secateur, model, tmp_path, named):
    (tmp_path / "out").mkdir()
    file = {
        "file": named,
        "sha256": sha256(INT8).hexdigest(),
        "kind": "whole",
        "rate_hz": None,
        "signatures": [],
    }
    (tmp_path / "out" / "policy.json").write_text(json.dumps({"files": [file], "control_hz": None}))
    code, _, err = secateur("bench", tmp_path / "out", "--device", "host")
    assert (code, "an exported folder is whole" in err) == (1, True)


def test_threads_and_utilisation(secateur, model):
    arguments = (
        "--device",
        "host",
        "--threads",
        "2",
        "--utilisation",
        "20%",
        "--max-time",
        "200ms",
        "--json",
    )
    code, out, err = secateur("bench", model, *arguments)
    assert code == 0, err
    (device,) = json.loads(out)["devices"]
    assert device["threads"] == 2
    assert device["models"][0]["held_hz"] == pytest.approx(0.2 / device["models"][0]["call"]["p99_s"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("export", "{model}", "--target", "raspberry-pi-4b", "--format", "tflite", "-o", "{out}"),
            "is converted",
        ),
        (
            (*EXPORT_TDMPC, "--format", "c", "-o", "{out}"),
            "tflite, python",
        ),
        (
            (*EXPORT_TDMPC, "--format", "tflite", "--dtype", "int4", "-o", "{out}"),
            "int4",
        ),
        (
            (
                "export",
                "{model}",
                "--target",
                "rp2040",
                "--format",
                "tflite",
                "--dtype",
                "float16",
                "-o",
                "{out}",
            ),
            "one network of int8",
        ),
        (("bench", "{model}", "--device", "emulator"), "Add --target"),
        (("bench", "{model}", "--device", "emulator", "--target", "raspberry-pi-5"), "host or ssh"),
        (("bench", "{model}", "--device", "ssh://pi@x", "--target", "rp2040"), "host and tflm"),
        (
            ("bench", "{model}", "--device", "host", "--device", "tflm", "--target", "rp2040"),
            "one of emulator",
        ),
        (("bench", "{model}", "--device", "host", "--confidence", "80%"), "90%, 95% or 99%"),
        (("bench", "nothing", "--device", "host"), "secateur export"),
        (("inspect", "tdmpc_cartpole", "--target", "raspberry-pi-5", "--dtype", "int4"), "float16"),
        (("inspect", "tdmpc_cartpole", "--dtype", "int8"), "there is no --target"),
        (
            ("prune", "tdmpc_cartpole", "--target", "rp2040", "--dtype", "int16x8", "-o", "{out}"),
            "int8 for a board",
        ),
        (
            ("prune", "tdmpc_cartpole", "--target", "raspberry-pi-5", "--optimise", "size", "-o", "{out}"),
            "in generated C",
        ),
        (
            ("prune", "tdmpc_cartpole", "--target", "raspberry-pi-5", "--fake-quantise", "-o", "{out}"),
            "--dtype int8",
        ),
    ],
)
def test_mistakes_are_named(secateur, model, tmp_path, arguments, expected):
    filled = [argument.format(model=model, out=tmp_path / "out") for argument in arguments]
    code, _, err = secateur(*filled)
    assert code in (1, 2)
    assert expected in err
    assert not (tmp_path / "out").exists()


def test_a_damaged_file(secateur, tmp_path):
    path = tmp_path / "damaged.tflite"
    path.write_bytes(INT8[:200])
    code, _, err = secateur("bench", path, "--device", "host")
    assert (code, "LiteRT reads the .tflite" in err) == (1, True)


def test_documented_errors_are_those_of_the_results():
    root = Path(__file__).parent.parent.parent
    text = (root / "docs" / "computers.md").read_text(encoding="utf-8")
    found = json.loads((root / "bench" / "results" / "calibrate_host.json").read_bytes())
    for dtype, errors in found["errors"].items():
        shares = (errors["before"]["median"], errors["before"]["p90"], *errors["after"].values())
        assert f"| {dtype} | " + " | ".join(f"{share:.1%}" for share in shares) + " |" in text
