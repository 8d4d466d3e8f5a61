"""Images by GCC: TFLM = generated C as GCC compiles it, byte for byte; and what is said where there is no GCC."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from batches import Batch
from other_types import FLOAT32, INT16
from reference_runtime import run_reference
from single_layers import BUILDERS
from tflite_networks import Layer, network

from secateur.device import qemu
from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.export.toolchain import build, compile_command, compiler_name
from secateur.target.target import Target, compiled_by, list_targets, load_any, load_target

MODEL = network(5, [Layer(37, activation=1, zero_point=-128), Layer(2, tail=("TANH",))], 0)
GCC = "arm-none-eabi-gcc"
needs_gcc = pytest.mark.skipif(shutil.which(GCC) is None, reason=f"{GCC} is not installed")
EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"
TYPES = {"int8": BUILDERS, "int16": INT16, "float32": FLOAT32}
CASES = (
    [(board, dtype) for board in ("rp2040", "stm32f446re", "nrf5340", "mps3-an547") for dtype in TYPES]
    if EXHAUSTIVE
    else [("stm32f446re", "int8"), ("stm32f446re", "float32"), ("mps3-an547", "int8")]
)


@needs_gcc
@pytest.mark.parametrize(("board", "dtype"), CASES)
def test_every_operator_answers_as_tflm(tmp_path, board, dtype):
    """Compiled with all warnings as errors, too."""
    if load_target(board).emulator == "qemu" and shutil.which(qemu.PROGRAM) is None:
        pytest.skip(f"{qemu.PROGRAM} is not installed")
    builders = TYPES[dtype]
    models = [one(np.random.default_rng((3, number))) for number, one in enumerate(builders.values())]
    batch = Batch(models, compiled_by(load_target(board), "gcc"), tmp_path, sanitize=False)
    try:
        for index, (kind, model) in enumerate(zip(builders, models)):
            read = batch.networks[index]
            inputs = random_inputs(read, 4, np.random.default_rng(index))
            (given,), (output,) = inputs.values(), batch.emulator(index).run(inputs).values()
            expected = run_reference(
                model, given.reshape(4, *read.tensors[next(iter(read.inputs.values()))].shape)
            )
            close = {"rtol": 1e-5, "atol": 1e-6} if expected.dtype.kind == "f" else {"rtol": 0}
            np.testing.assert_allclose(output.reshape(4, -1), expected.reshape(4, -1), err_msg=kind, **close)
    finally:
        batch.close()


@pytest.fixture
def model(tmp_path):
    """A .tflite."""
    path = tmp_path / "model.tflite"
    path.write_bytes(MODEL)
    return path


@needs_gcc
def test_bench_by_gcc(secateur, model):
    found = []
    for toolchain in ("zig", "gcc"):
        options = ("--target", "stm32f446re", "--device", "emulator", "--toolchain", toolchain, "--json")
        code, out, err = secateur("bench", model, *options)
        assert code == 0, err
        found.append(json.loads(out))
    zig, gcc = found
    assert zig["compiler"].startswith("zig ")
    assert gcc["compiler"].startswith(f"{GCC} ")
    assert gcc["parity"]["mismatched_bytes"] == 0
    assert gcc["predicted"] == zig["predicted"]
    exact = ("weights_bytes", "tables_bytes", "static_ram_bytes")
    assert [gcc["measured"][key] for key in exact] == [zig["measured"][key] for key in exact]
    assert gcc["measured"]["code_bytes"] != zig["measured"]["code_bytes"]
    said = [secateur("bench", model, *options[:-3], "--toolchain", name)[1] for name in ("zig", "gcc")]
    assert ["predicted of images by zig" in text for text in said] == [False, True]


@needs_gcc
def test_firmware_by_gcc_and_its_command(secateur, model, tmp_path):
    out = tmp_path / "out"
    options = ("--target", "stm32f446re", "--format", "firmware", "--toolchain", "gcc")
    code, _, err = secateur("export", model, *options, "-o", out)
    assert code == 0, err
    (line,) = [line for line in (out / "README.md").read_text().splitlines() if GCC in line]
    image = (out / "firmware.elf").read_bytes()
    subprocess.run(shlex.split(line), cwd=out, check=True)
    assert (out / "firmware.elf").read_bytes() == image


def test_without_gcc_it_is_said_how_to_get_it(secateur, model, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSS_COMPILE", str(tmp_path / "nowhere" / "arm-"))
    options = ("--target", "stm32f446re", "--device", "emulator", "--toolchain", "gcc")
    code, _, err = secateur("bench", model, *options)
    assert code == 1
    for part in ("nowhere/arm-gcc", "apt install gcc-arm-none-eabi", "CROSS_COMPILE", "--toolchain zig"):
        assert part in err


def test_another_prefix_and_what_the_compiler_says(tmp_path, monkeypatch):
    program = tmp_path / "arm-gcc"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nprint('1.2.3')\nsys.exit('no ' + ' '.join(sys.argv[1:]))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("CROSS_COMPILE", str(tmp_path / "arm-"))
    target = compiled_by(load_target("stm32f446re"), "gcc")
    assert compiler_name(target) == "arm-gcc 1.2.3"
    with pytest.raises(SecateurError, match=r"no -mthumb -mcpu=cortex-m4 .*secateur_memory\.c .*-lgcc"):
        build(generate(read_tflite(MODEL), target, "net"), target, "net", tmp_path / "built")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            ("bench", "{model}", "--target", "rp2040", "--device", "emulator", "--toolchain", "keil"),
            "zig, gcc",
        ),
        (
            ("bench", "{model}", "--target", "rp2040", "--device", "host", "--toolchain", "gcc"),
            "--device host",
        ),
        (("bench", "{model}", "--device", "host", "--toolchain", "gcc"), "a compiler is chosen"),
        (
            ("export", "{model}", "--target", "rp2040", "--format", "c", "--toolchain", "gcc", "-o", "{out}"),
            "--format c compiles nothing",
        ),
        (
            ("prune", "tdmpc_cartpole", "--target", "raspberry-pi-5", "--toolchain", "gcc", "-o", "{out}"),
            "a compiler is chosen",
        ),
    ],
)
def test_mistakes_are_named(secateur, model, tmp_path, command, expected):
    code, _, err = secateur(*(part.format(model=model, out=tmp_path / "out") for part in command))
    assert code in (1, 2)
    assert expected in err


def test_every_board_says_how_gcc_compiles_for_it():
    boards = [board for name in list_targets() if isinstance(board := load_any(name), Target)]
    assert all(any(flag.startswith("-mcpu=") for flag in board.toolchain.gcc) for board in boards)
    bare = boards[0].toolchain.model_copy(update={"gcc": ()})
    with pytest.raises(SecateurError, match=r"has no gcc in \[toolchain\]"):
        compile_command(
            compiled_by(boards[0].model_copy(update={"toolchain": bare}), "gcc"), [], "net", "step"
        )
