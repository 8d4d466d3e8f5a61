"""Generated C in each layout: the CMake one is built and run, the others against stand-ins for their build systems."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from reference_runtime import run_reference
from tflite_networks import Layer, Writer, network

from secateur.device.devices import open_device
from secateur.device.protocol import random_inputs
from secateur.export.c.example import Recorded
from secateur.export.c.generate import generate
from secateur.export.c.layouts import BUILT, LAYOUTS, Package
from secateur.export.read import read_tflite
from secateur.export.readme import c_readme
from secateur.export.toolchain import write_sources
from secateur.operators.lower import lower
from secateur.target.cost import price
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
MODEL = network(7, [Layer(9, activation=1, zero_point=-3), Layer(3, tail=("TANH",))], 0)
NETWORK = read_tflite(MODEL)


def package(wrong=0):
    inputs = {"observation": random_inputs(NETWORK, 3, np.random.default_rng(0))["observation"][2:]}
    outputs = {"action": run_reference(MODEL, inputs["observation"]) ^ np.int8(wrong)}
    return Package("gripper", NETWORK, generate(NETWORK, TARGET, "gripper"), Recorded(inputs, outputs))


needs_cmake = pytest.mark.skipif(
    not shutil.which("cmake") or not shutil.which("cc"), reason="needs cmake and cc"
)


def run(*command, cwd):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def configure_and_build(folder):
    for command in (
        ("cmake", "-B", "build", "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror"),
        ("cmake", "--build", "build"),
    ):
        done = run(*command, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_cmake
def test_cmake_builds_and_replays(tmp_path):
    write_sources(LAYOUTS["cmake"](package()), tmp_path)
    configure_and_build(tmp_path)
    done = run("ctest", "--test-dir", "build", "--output-on-failure", cwd=tmp_path)
    assert "100% tests passed" in done.stdout, done.stdout


@needs_cmake
def test_the_replay_notices_a_wrong_answer(tmp_path):
    write_sources(LAYOUTS["cmake"](package(wrong=1)), tmp_path)
    configure_and_build(tmp_path)
    done = run("./build/gripper_example", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "gripper: 3 values differ\n")


@needs_cmake
def test_several_inputs_whose_names_look_alike(tmp_path):
    """Recorded in another order than the model's, as files of golden vectors may be."""
    writer = Writer()
    sources = [writer.tensor(name, (1, size), "int8", [0.1], [0]) for name, size in (("a.b", 3), ("a_b", 3))]
    results = [writer.tensor(name, (1, 3), "int8", [1 / 128], [0]) for name in ("x.y", "x_y")]
    for source, result in zip(sources, results):
        writer.operator("TANH", [source], [result])
    model = writer.finish(sources, results)
    read = read_tflite(model)
    inputs = {name: values[2:] for name, values in random_inputs(read, 3, np.random.default_rng(3)).items()}
    device = open_device("tflm", model, TARGET, tmp_path)
    outputs = device.run(inputs)
    device.close()
    call = Recorded(dict(reversed(inputs.items())), dict(reversed(outputs.items())))
    write_sources(LAYOUTS["cmake"](Package("two", read, generate(read, TARGET, "two"), call)), tmp_path / "c")
    configure_and_build(tmp_path / "c")
    assert run("./build/two_example", cwd=tmp_path / "c").stdout == "two: 0 values differ\n"


@needs_cmake
def test_cmake_as_part_of_a_project(tmp_path):
    write_sources(LAYOUTS["cmake"](package()), tmp_path / "gripper")
    (tmp_path / "main.c").write_text(
        '#include "gripper.h"\nint main(void)\n{\n    gripper_step();\n    return 0;\n}\n'
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(robot C)\nadd_subdirectory(gripper)\n"
        "add_executable(robot main.c)\ntarget_link_libraries(robot PRIVATE gripper)\n"
    )
    configure_and_build(tmp_path)


BOARD = """
#include <stdio.h>
#include <stdlib.h>
#include "board.h"
static uint32_t now, seen;
void board_start(void) {}
uint32_t board_ticks(void) { return now; }
void board_idle(void) { now++; }
void board_alive(void) {}
void board_safe(void) { puts("safe"); }
void board_act(const float *outputs) { printf("%u %d\\n", (unsigned)now, outputs[0] == outputs[0]); }
bool board_observe(float *inputs)
{
    for (int i = 0; i < 7; i++) { inputs[i] = 0.1f; }
    if (seen++ == 2) { exit(0); }
    return true;
}
"""


@needs_cmake
def test_cmake_builds_the_control_loop_on_a_board(tmp_path):
    write_sources({**LAYOUTS["cmake"](package()), "board.c": BOARD}, tmp_path)
    done = run(
        "cmake",
        "-B",
        "build",
        "-DGRIPPER_BOARD=board.c",
        "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    done = run("cmake", "--build", "build", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("./build/gripper_control", cwd=tmp_path).stdout == "0 1\n20000 1\n"


STAND_INS = {
    "esp-idf": (
        'function(idf_component_register)\n    cmake_parse_arguments(A "" "" "SRCS;INCLUDE_DIRS" ${ARGN})\n'
        "    add_library(part STATIC ${A_SRCS})\n    target_include_directories(part PUBLIC ${A_INCLUDE_DIRS})\n"
        "endfunction()\n"
    ),
    "zephyr": (
        "set(CONFIG_GRIPPER y)\n"
        "function(zephyr_library_named name)\n    add_library(${name} STATIC)\nendfunction()\n"
        "function(zephyr_library_sources)\n    target_sources(gripper PRIVATE ${ARGN})\nendfunction()\n"
        "function(zephyr_include_directories)\n    target_include_directories(gripper PUBLIC ${ARGN})\nendfunction()\n"
    ),
}


@needs_cmake
@pytest.mark.parametrize("layout", STAND_INS)
def test_components_list_their_sources(layout, tmp_path):
    files = LAYOUTS[layout](package())
    own = files["CMakeLists.txt"]
    files["CMakeLists.txt"] = f"cmake_minimum_required(VERSION 3.16)\nproject(x C)\n{STAND_INS[layout]}{own}"
    write_sources(files, tmp_path)
    configure_and_build(tmp_path)


ARDUINO = """
#include <cstdio>
struct Port {
    void begin(long) {}
    void print(const char *v) { std::fputs(v, stdout); }
    void print(long v) { std::printf("%ld", v); }
    void println(long v) { print(v); }
};
static Port Serial;
inline unsigned long micros() { return 0; }
inline void delay(int) {}
"""


@pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler")
def test_the_sketch_replays(tmp_path):
    files = LAYOUTS["arduino"](package())
    assert "includes=gripper.h\n" in files["library.properties"]
    sketch = files["examples/replay/replay.ino"] + "int main() { setup(); loop(); return 0; }\n"
    write_sources({**files, "sketch.cpp": sketch, "Arduino.h": ARDUINO}, tmp_path)
    objects = []
    for source in sorted((tmp_path / "src").glob("*.c")):
        objects.append(str(source.with_suffix(".o")))
        assert run("cc", "-c", str(source), "-o", objects[-1], cwd=tmp_path).returncode == 0
    done = run("c++", "-I.", "-Isrc", "-Wall", "sketch.cpp", *objects, "-o", "sketch", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run("./sketch", cwd=tmp_path).stdout.startswith("gripper: 0 values differ")


def test_platformio():
    files = LAYOUTS["platformio"](package())
    manifest = json.loads(files["library.json"])
    assert manifest["name"] == "gripper"
    for example in manifest["examples"]:
        assert all(f"{example['base']}/{file}" in files for file in example["files"])
    assert f"{manifest['build']['srcDir']}/{manifest['headers']}" in files


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_generated_files_and_says_what_was_tried(layout):
    made = package()
    files = LAYOUTS[layout](made)
    assert {f"src/{path}": text for path, text in made.files.items()}.items() <= files.items()
    readme = c_readme(made, layout, TARGET, price(lower(NETWORK), TARGET))
    assert ("laid out and not built" in readme) is (layout not in BUILT)
    assert "gripper_input_observation()" in readme
    assert "Predicted on stm32f446re" in readme
