"""``secateur export`` and ``secateur bench``, as a user types them."""

import json
import shlex
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from reference_runtime import run_reference
from single_layers import Net
from tflite_networks import Layer, Writer, network

from secateur.export import firmware
from secateur.export.firmware.image import RESERVED
from secateur.runfolder import RunFolder
from secateur.verify.golden import Golden, save_golden

MODEL = network(6, [Layer(17, activation=1, zero_point=-128), Layer(3, tail=("TANH",))], 0)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "My arm-2.tflite"
    path.write_bytes(MODEL)
    return path


@pytest.fixture
def run_folder(tmp_path):
    """A finished run, with as much in it as these commands read."""
    made = tmp_path / "made"
    made.mkdir()
    stored = np.random.default_rng(1).integers(-128, 128, (5, 6), dtype=np.int8)
    golden = Golden(
        {"observation": stored.astype(np.float32)},
        {"action": np.zeros((5, 3), np.float32)},
        {"observation": stored},
        {"action": run_reference(MODEL, stored)},
    )
    save_golden(golden, made / "golden.npz")
    (made / "model.int8.tflite").write_bytes(MODEL)
    (made / "model.float32.tflite").write_bytes(MODEL)
    folder = RunFolder(tmp_path / "run", {}, False)
    with folder:
        artifacts = {path.name: path for path in made.iterdir()}
        folder.publish(artifacts, {}, lambda listed: {"schema": 1, "policy": "gripper", "artifacts": listed})
    return folder.path


def bench_json(secateur, *arguments):
    code, out, _ = secateur("bench", *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_bench_on_the_emulator(secateur, model):
    found = bench_json(secateur, model, "--target", "stm32f446re", "--device", "emulator", "--calls", "7")
    predicted, measured = found["predicted"], found["measured"]
    for exact in ("weights_bytes", "tables_bytes", "static_ram_bytes"):
        assert predicted[exact] == measured[exact]
    assert measured["flash_bytes"] <= predicted["flash_bytes"] <= measured["flash_bytes"] + 512
    assert sum(measured["operator_instructions"].values()) <= measured["instructions"]
    assert measured["latency_s"]["low"] < measured["latency_s"]["high"]
    assert measured["latency_source"].startswith("counted instructions")
    assert found["arena"]["bytes"] == found["arena"]["lower_bound_bytes"]
    assert found["parity"] == {"vectors": 7, "mismatched_bytes": 0, "reason": None}
    assert found["model"]["sha256"] == sha256(MODEL).hexdigest()


def test_bench_in_tflm_gives_its_arena(secateur, model):
    found = bench_json(secateur, model, "--target", "rp2040", "--device", "tflm")
    assert found["arena"]["tflm_bytes"] > found["arena"]["bytes"]
    assert found["parity"] is None


def test_bench_on_the_host_speaks_of_the_host(secateur, model):
    code, out, _ = secateur("bench", model, "--target", "nrf5340", "--device", "host")
    assert code == 0
    assert "not on the board" in out
    assert "no bytes differ over 16 calls" in out


def test_bench_of_a_run_uses_its_golden_vectors(secateur, run_folder):
    found = bench_json(secateur, run_folder, "--target", "teensy41", "--device", "emulator", "--calls", "12")
    assert found["model"]["name"] == "gripper"
    assert found["parity"] == {"vectors": 12, "mismatched_bytes": 0, "reason": None}


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")
def test_bench_on_qemu(secateur, model):
    found = bench_json(secateur, model, "--target", "stm32f446re", "--device", "qemu", "--calls", "7")
    emulated = bench_json(secateur, model, "--target", "stm32f446re", "--device", "emulator", "--calls", "7")
    measured = found["measured"]
    assert found["parity"] == {"vectors": 7, "mismatched_bytes": 0, "reason": None}
    assert found["device"].startswith("qemu (mps2-an386 for cortex-m4")
    for same in ("flash_bytes", "static_ram_bytes"):
        assert measured[same] == emulated["measured"][same]
    assert measured["instructions"] == pytest.approx(emulated["measured"]["instructions"], rel=0.01)
    assert measured["cycles"] is None
    assert measured["round_trip_s"]["low"] > 0


def test_a_run_that_was_changed_is_refused(secateur, run_folder):
    (run_folder / "model.int8.tflite").write_bytes(MODEL + b"\0")
    for command in (
        ("bench", run_folder, "--device", "tflm"),
        ("export", run_folder, "--format", "c", "-o", "x"),
    ):
        code, _, err = secateur(*command, "--target", "rp2040")
        assert code == 1
        assert "was changed" in err


def test_wrong_bytes_end_with_the_verdicts_exit_code(secateur, model, monkeypatch):
    import secateur.benchmark as benchmark

    monkeypatch.setattr(
        benchmark, "_against_tflm", lambda *_: {"vectors": 1, "mismatched_bytes": 2, "reason": None}
    )
    assert secateur("bench", model, "--target", "rp2040", "--device", "host")[0] == 4


def exported(folder):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    files = {
        str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"
    }
    assert {name: sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == manifest["files"]
    return files


@pytest.mark.parametrize("layout", ["cmake", "arduino"])
def test_export_c(secateur, model, tmp_path, layout):
    out = tmp_path / "out"
    code, said, _ = secateur(
        "export", model, "--target", "rp2040", "--format", "c", "--layout", layout, "-o", out
    )
    assert (code, str(out) in said) == (0, True)
    files = exported(out)
    assert {"src/my_arm_2.c", "src/my_arm_2.h", "README.md"} <= set(files)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("target", "run", "said"),
    [
        ("stm32f446re", "openocd -f board/st_nucleo_f4.cfg", "Flash it with a tool of your own"),
        ("rp2040", "qemu-system-arm -M mps2-an385", "write the three functions"),
    ],
)
def test_export_of_firmware(secateur, model, tmp_path, target, run, said):
    out = tmp_path / "out"
    code, printed, _ = secateur("export", model, "--target", target, "--format", "firmware", "-o", out)
    assert code == 0
    assert run in printed
    assert f"{out}/firmware.elf" in printed
    files = exported(out)
    text = (out / "README.md").read_text()
    assert said in text
    command = next(line.strip() for line in text.splitlines() if "-m ziglang" in line)
    before = files["firmware.elf"].read_bytes()
    assert before[:4] == b"\x7fELF"
    files["firmware.elf"].unlink()
    rebuilt = shlex.split(command.replace("python", sys.executable, 1))
    subprocess.run(rebuilt, cwd=out, check=True, capture_output=True)
    assert files["firmware.elf"].read_bytes()[:4] == b"\x7fELF"


def test_export_of_a_run(secateur, run_folder, tmp_path):
    for form, wanted in (
        ("tflite", {"model.int8.tflite", "model.float32.tflite", "README.md"}),
        ("tflm", {"arm_model.h", "arm_model.cc", "arm_tflm.h", "example/main.cc", "README.md"}),
    ):
        out = tmp_path / form
        code, *_ = secateur(
            "export", run_folder, "--target", "rp2040", "--format", form, "--name", "arm", "-o", out
        )
        assert (code, set(exported(out))) == (0, wanted)


def test_a_network_larger_than_the_board(secateur, tmp_path):
    path = tmp_path / "large.tflite"
    path.write_bytes(network(600, [Layer(900)], 0))
    for command in (
        ("export", path, "--format", "c", "-o", tmp_path / "out"),
        ("export", path, "--format", "tflm", "-o", tmp_path / "out"),
        ("bench", path, "--device", "emulator"),
    ):
        code, _, err = secateur(*command, "--target", "stm32g0b1re")
        assert code == 1
        assert "stm32g0b1re has 524,288 B" in err


def test_nothing_is_written_over(secateur, model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    code, _, err = secateur("export", model, "--target", "rp2040", "--format", "c", "-o", tmp_path / "out")
    assert code == 1
    assert "nothing is written over" in err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_full_disk_leaves_nothing_behind(secateur, model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("secateur.runfolder.write_atomically", full)
    before = sorted(tmp_path.iterdir())
    code, _, err = secateur("export", model, "--target", "rp2040", "--format", "c", "-o", tmp_path / "out")
    assert (code, "No space left" in err) == (1, True)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (("export", "{model}", "--format", "elf", "-o", "{out}"), 2, "format"),
        (("export", "{model}", "--format", "c", "--layout", "bazel", "-o", "{out}"), 2, "layout"),
        (("export", "{model}", "--format", "c", "--name", "9", "-o", "{out}"), 1, "prefix"),
        (("export", "no such.tflite", "--format", "c", "-o", "{out}"), 1, "No such file"),
        (("bench", "no such policy", "--device", "host"), 1, "secateur export"),
        (("bench", "{model}", "--device", "fpga"), 1, "devices are"),
    ],
)
def test_mistakes_are_named(secateur, model, tmp_path, arguments, status, expected):
    filled = [argument.format(model=model, out=tmp_path / "out") for argument in arguments]
    code, _, err = secateur(*filled, "--target", "rp2040")
    assert code == status
    assert expected in err
    assert not (tmp_path / "out").exists()


def test_a_model_without_kernels_here_still_runs_in_tflm(secateur, tmp_path):
    writer = Writer()
    source = writer.tensor("in", (1, 4), "int32")
    result = writer.tensor("out", (1, 4), "int32")
    writer.operator("RESHAPE", [source], [result], "ReshapeOptions", newShape=[1, 4])
    path = tmp_path / "odd.tflite"
    path.write_bytes(writer.finish([source], [result]))
    found = bench_json(secateur, path, "--target", "rp2040", "--device", "tflm")
    assert found["predicted"] is None
    assert found["arena"]["bytes"] is None


@pytest.mark.slow
def test_export_of_a_policy(secateur, tmp_path):
    out = tmp_path / "out"
    code, *_ = secateur(
        "export", "tdmpc_cartpole", "--target", "stm32f446re", "--format", "tflite", "-o", out
    )
    assert (code, set(exported(out))) == (0, {"model.int8.tflite", "model.float32.tflite", "README.md"})
    found = bench_json(secateur, out / "model.int8.tflite", "--target", "stm32f446re", "--device", "emulator")
    assert found["parity"]["mismatched_bytes"] == 0


def test_export_for_speed_and_for_size(secateur, tmp_path):
    model = tmp_path / "model.tflite"
    net = Net(np.random.default_rng(0), (1, 6, 6, 8))
    net.conv(8, (3, 3))
    model.write_bytes(net.finish())
    for optimise, kernel in (("speed", "conv"), ("size", "conv_wide")):
        out = tmp_path / optimise
        target = ("--target", "stm32f446re", "--optimise", optimise)
        code, _, _ = secateur("export", model, *target, "--format", "c", "-o", out)
        assert code == 0
        assert [path.name for path in out.rglob("secateur_conv*.c")] == [f"secateur_{kernel}.c"]
    code, _, err = secateur("bench", model, "--device", "host", *target[:3], "little")
    assert code == 2
    assert "got 'little'" in err


def test_a_network_named_as_a_source_of_the_firmware(secateur, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(MODEL)
    options = ("--target", "stm32f446re", "--format", "firmware", "-o", tmp_path / "out")
    code, _, err = secateur("export", path, *options, "--name", "main")
    assert code == 1
    assert "got 'main'. Choose another by --name" in err
    assert secateur("export", path, *options)[0] == 0
    assert (tmp_path / "out" / "model_network.c").is_file()


def test_the_names_of_all_sources_of_firmware_are_known():
    folder = Path(firmware.__file__).parent
    sources = {path.stem for path in folder.iterdir() if path.suffix in (".c", ".h")} | {"board", "wire"}
    assert sources == set(RESERVED)


@pytest.fixture
def cnn(tmp_path):
    net = Net(np.random.default_rng(5), (1, 24, 24, 3))
    net.conv(8, (3, 3), (2, 2))
    net.depthwise((3, 3))
    net.conv(24, (1, 1))
    net.depthwise((3, 3), (2, 2))
    net.mean((1, 2), False, True)
    path = tmp_path / "cnn.tflite"
    path.write_bytes(net.finish())
    return path


def test_a_budget_of_ram_is_met_by_patches(secateur, cnn):
    board = ("--target", "stm32f446re", "--device", "emulator", "--calls", "3")
    whole, found = (bench_json(secateur, cnn, *board, *ram) for ram in ((), ("--ram", "4700B")))
    assert whole["patches"] is None
    assert whole["measured"]["ram_bytes"] > 4700 >= found["measured"]["ram_bytes"]
    assert found["predicted"]["static_ram_bytes"] == found["measured"]["static_ram_bytes"]
    assert found["patches"]["whole"]["instructions"] == whole["predicted"]["instructions"]
    assert found["measured"]["instructions"] > whole["measured"]["instructions"]
    assert found["parity"]["mismatched_bytes"] == 0
    code, out, _ = secateur("bench", cnn, *board, "--ram", "4700B")
    assert code == 0
    assert "By patches: " in out
    assert "times the instructions" in out


def test_export_by_patches(secateur, cnn, tmp_path):
    c = ("--target", "stm32f446re", "--format", "c")
    for name, ram in (("whole", ()), ("roomy", ("--ram", "32KiB")), ("tight", ("--ram", "4700B"))):
        code, out, _ = secateur("export", cnn, *c, *ram, "-o", tmp_path / name)
        assert code == 0
        assert ("By patches: " in out) == (name == "tight")
    read = {
        name: {path.name: path.read_text() for path in (tmp_path / name / "src").iterdir()}
        for name in ("whole", "roomy", "tight")
    }
    assert read["whole"] == read["roomy"]
    assert "secateur_patch_read.c" in read["tight"]
    assert "By patches: " in (tmp_path / "tight" / "README.md").read_text()
    assert json.loads((tmp_path / "tight" / "manifest.json").read_text())["patches"]["chains"][0]["grid"]


def test_a_budget_of_ram_that_nothing_meets(secateur, cnn, tmp_path):
    board = ("--target", "stm32f446re", "--format")
    code, _, error = secateur("export", cnn, *board, "c", "--ram", "1KiB", "-o", tmp_path / "out")
    assert code == 3
    assert "at least by patches" in error
    code, _, error = secateur("export", cnn, *board, "tflm", "--ram", "1KiB", "-o", tmp_path / "out")
    assert code == 2
    assert "--format c or firmware" in error
    code, _, error = secateur("bench", cnn, *board[:2], "--device", "tflm", "--ram", "1KiB")
    assert code == 2
    assert "--device emulator, host, qemu" in error
    code, _, error = secateur(
        "bench", cnn, "--target", "raspberry-pi-4b", "--device", "host", "--ram", "1KiB"
    )
    assert code == 2
    assert "and computers run .tflite files" in error
