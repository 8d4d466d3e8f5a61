"""The text of the generated C, its header's arithmetic, and the images built from it."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tflite_networks import Layer, network

import secateur.operators
from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.c.names import identifier
from secateur.export.read import read_tflite
from secateur.export.toolchain import build, build_host, image_sizes
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
LAYERS = [Layer(9, activation=1, zero_point=-3), Layer(3, tail=("TANH",))]
NETWORK = read_tflite(network(7, LAYERS, 0))


def test_same_network_same_bytes(tmp_path):
    files = generate(NETWORK, TARGET, "net")
    assert files == generate(read_tflite(network(7, LAYERS, 0)), TARGET, "net")
    images = [build(files, TARGET, "net", folder) for folder in (tmp_path / "one", tmp_path / "two")]
    assert images[0].read_bytes() == images[1].read_bytes()


def test_files():
    files = generate(NETWORK, TARGET, "net")
    assert sorted(files) == [
        "net.c",
        "net.h",
        "net_weights.c",
        "net_weights.h",
        "secateur_clamp.c",
        "secateur_fully_connected.c",
        "secateur_kernels.h",
        "secateur_lookup.c",
        "secateur_requantise.h",
    ]
    assert all(text.isascii() and text.endswith("\n") for text in files.values())
    assert "/* fc0: 7 to 9 */" in files["net.c"]
    assert "#define NET_INPUT_OBSERVATION_ZERO_POINT (3)" in files["net.h"]


def test_kernels_do_not_depend_on_the_network():
    one, two = generate(NETWORK, TARGET, "one"), generate(NETWORK, TARGET, "two")
    shared = [path for path in one if path.startswith("secateur_")]
    assert len(shared) == 5
    assert all(one[path] == two[path] for path in shared)


def test_two_networks_link_into_one_firmware(tmp_path):
    files = {**generate(NETWORK, TARGET, "one"), **generate(NETWORK, TARGET, "two")}
    body = "void both_step(void);\nvoid both_step(void)\n{\n    one_step();\n    two_step();\n}\n"
    files["both.c"] = f'#include "one.h"\n#include "two.h"\n{body}'
    assert image_sizes(build(files, TARGET, "both", tmp_path)).static_ram_bytes == 2 * 20


@pytest.mark.parametrize("name", ["", "9lives", "a-b", "secateur", "a b", "ä"])
def test_names_that_c_does_not_allow(name):
    with pytest.raises(SecateurError, match="prefix"):
        generate(NETWORK, TARGET, name)


@pytest.mark.parametrize(
    ("text", "expected"), [("policy/fc1", "policy_fc1"), ("a::b;", "a_b"), ("", "unnamed"), ("é", "unnamed")]
)
def test_identifiers(text, expected):
    assert identifier(text) == expected


def test_hostile_names_stay_in_their_comments(tmp_path):
    tensors = tuple(
        replace(tensor, name=f'*/ int x; /*\\\n{index}"') for index, tensor in enumerate(NETWORK.tensors)
    )
    (first,), (last,) = NETWORK.inputs.values(), NETWORK.outputs.values()
    hostile = replace(
        NETWORK, tensors=tensors, inputs={"*/ \\\n#error": first}, outputs={"*/ \\\n#error": last}
    )
    build(generate(hostile, TARGET, "net"), TARGET, "net", tmp_path)


def test_compiler_message_is_passed_on(tmp_path):
    files = {**generate(NETWORK, TARGET, "net"), "broken.c": "int x = ;\n"}
    with pytest.raises(SecateurError, match=r"broken\.c:1"):
        build(files, TARGET, "net", tmp_path)


def test_not_an_image(tmp_path):
    (tmp_path / "x.elf").write_text("no")
    with pytest.raises(SecateurError, match="ELF"):
        image_sizes(tmp_path / "x.elf")


def test_too_large_for_the_board(tmp_path):
    small = TARGET.model_copy(update={"flash_bytes": 256})
    with pytest.raises(SecateurError, match=r"FLASH|overflow"):
        build(generate(NETWORK, small, "net"), small, "net", tmp_path)


def test_host_build_by_zig(tmp_path):
    program = build_host(generate(NETWORK, TARGET, "net"), NETWORK, "net", tmp_path)
    done = subprocess.run([program], input=bytes(7 * 5), capture_output=True, check=True)
    assert len(done.stdout) == 3 * 5


HELPERS = """
#include <stdio.h>
#include "net.h"
int main(void)
{
    float real;
    while (fread(&real, sizeof real, 1, stdin) == 1) {
        const int8_t stored = net_quantise(real, 0.1f, 3);
        const float back = net_dequantise(stored, 0.1f, 3);
        fwrite(&stored, 1, 1, stdout);
        fwrite(&back, sizeof back, 1, stdout);
    }
    return 0;
}
"""


def test_quantise_helpers(tmp_path):
    """Half away from zero in single precision, saturating; against numpy."""
    files = generate(NETWORK, TARGET, "net")
    for path, text in {**files, "main.c": HELPERS}.items():
        (tmp_path / path).write_text(text)
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no system compiler")
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    sources = sorted(path for path in (*files, "main.c") if path.endswith(".c"))
    subprocess.run([compiler, *flags, *sources, "-o", "helpers"], cwd=tmp_path, check=True)
    extremes = [0.0, 0.05, -0.05, 0.15, 12.4, 12.5, -13.1, -13.2, 1e30, -1e30, np.inf, -np.inf, np.nan]
    real = np.array([*extremes, *np.random.default_rng(0).uniform(-15, 15, 500)], np.float32)
    done = subprocess.run([tmp_path / "helpers"], input=real.tobytes(), capture_output=True, check=True)
    got = np.frombuffer(done.stdout, np.dtype([("stored", np.int8), ("back", "<f4")]))
    scaled = (real / np.float32(0.1)).astype(np.float64)
    rounded = np.nan_to_num(
        np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), nan=0.0, posinf=999, neginf=-999
    )
    want = np.clip(rounded + 3, -128, 127).astype(np.int8)
    np.testing.assert_array_equal(got["stored"], want)
    np.testing.assert_array_equal(got["back"], np.float32(0.1) * (want.astype(np.float32) - 3))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_gcc_fuses_no_product_with_a_sum(tmp_path):
    """In GNU mode too, where it would by itself."""
    folder = Path(secateur.operators.__file__).parent
    (tmp_path / "secateur_float.h").write_text((folder / "float.h").read_text())
    (tmp_path / "secateur_kernels.h").write_text("#include <stdint.h>\ntypedef float secateur_float;\n")
    (tmp_path / "kernel.c").write_text((folder / "fully_connected" / "fully_connected_float.c").read_text())
    command = ["gcc", "-std=gnu17", "-O2", "-mfma", "-S", "-o", "-", "kernel.c"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if found.returncode and "mfma" in found.stderr:
        pytest.skip("this machine's gcc has no -mfma")
    assert found.returncode == 0, found.stderr
    assert "mulss" in found.stdout
    assert "vfm" not in found.stdout
