"""The C that holds parts together, against the same parts held in Python."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_networks import Layer, Writer, network

from secateur.device.tflm import Tflm
from secateur.errors import SecateurError
from secateur.export.c.handover import flows_of, handover_ram_bytes, part_sources
from secateur.export.c.rates import rates_files
from secateur.export.read import read_tflite
from secateur.export.toolchain import WARNINGS, write_sources
from secateur.records import Part
from secateur.simulate.holding import Holding
from secateur.target.target import load_target

TARGET = load_target("rp2040")
SEE = network(6, [Layer(5, activation=1, zero_point=-128)], 0)


def feeding(size):
    """A network that takes what SEE gives, in its scale, beside an input of its own."""
    made = read_tflite(SEE)
    scale = made.tensors[made.outputs["action"]].quantization
    writer = Writer()
    features = writer.tensor("features", (1, size), "int8", list(scale.scales), list(scale.zero_points))
    joints = writer.tensor("joints", (1, size), "int8", list(scale.scales), list(scale.zero_points))
    result = writer.tensor("command", (1, size), "int8", [0.05], [3])
    writer.operator("ADD", [features, joints], [result])
    return writer.finish([features, joints], [result])


ACT = feeding(5)
NETWORKS = {"see": read_tflite(SEE), "act": read_tflite(ACT)}


def parts(period):
    return (Part("see", period), Part("act", 1, {"features": ("see", "action")}))


MAIN = """
#include <stdio.h>
#include "arm.h"
int main(void)
{
    arm_init();
    for (int step = 0; step < 12; step++) {
        for (int i = 0; i < 6; i++) {
            arm_see_input_observation()[i] = (int8_t)(11 * step + 7 * i - 60);
        }
        for (int i = 0; i < 5; i++) {
            arm_act_input_joints()[i] = (int8_t)(5 * step - 9 * i);
        }
        arm_step();
        for (int i = 0; i < 5; i++) {
            printf("%d ", arm_act_output_command()[i]);
        }
    }
    return 0;
}
"""


@settings(max_examples=3, deadline=None)
@given(st.integers(1, 5))
def test_a_step_of_all_parts_is_that_of_simulation(tmp_path_factory, period):
    folder = tmp_path_factory.mktemp("handover")
    files = part_sources(NETWORKS, parts(period), TARGET, "arm")
    write_sources({**files, "main.c": MAIN}, folder)
    sources = sorted(path for path in files if path.endswith(".c"))
    flags = [*WARNINGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["cc", *flags, *sources, "main.c", "-o", "arm"], cwd=folder, check=True)
    said = subprocess.run([folder / "arm"], capture_output=True, text=True, check=True).stdout
    holding = Holding(parts(period))
    holding.reset((0,))

    devices = {name: Tflm(read_tflite(model), model) for name, model in (("see", SEE), ("act", ACT))}

    def run(part, inputs, lanes):
        device = devices[part.name]
        return device.run({name: inputs[name] for name in device.network.external})

    wanted = []
    for step in range(12):
        seen = np.array([[11 * step + 7 * i - 60 for i in range(6)]]).astype(np.int8)
        joints = np.array([[5 * step - 9 * i for i in range(5)]]).astype(np.int8)
        wanted += holding.step({"observation": seen, "joints": joints}, (0,), run)["command"][0].tolist()
    assert [int(number) for number in said.split()] == wanted


BOARD = """
#include <stdio.h>
#include <stdlib.h>
#include "arm.h"
#include "board.h"
extern volatile uint32_t arm_late;
static int ticks, timer;
void board_start(void) {}
void board_start_timer(void) { timer = 1; }
void board_lock(void) {}
void board_unlock(void) {}
void board_idle(void) { arm_tick(); }
void board_look_inputs(void)
{
    printf("l");
    if (timer) { /* it takes two control periods */
        arm_tick();
        arm_tick();
    }
}
void board_see_inputs(void) { printf("s"); }
void board_act_inputs(void) { printf("a"); }
void board_act_outputs(void)
{
    if (++ticks == 11) {
        printf(" %u", (unsigned)arm_late);
        exit(0);
    }
}
"""


def test_in_the_loop_the_highest_rate_that_is_due_is_next_and_runs_to_its_end(tmp_path):
    networks = {"look": NETWORKS["see"], **NETWORKS}
    three = (Part("look", 4), *parts(2))
    files = {
        **part_sources(networks, three, TARGET, "arm"),
        **rates_files(networks, three, "arm", 100.0),
        "board.c": BOARD,
    }
    write_sources(files, tmp_path)
    sources = sorted(path for path in files if path.endswith(".c"))
    subprocess.run(["cc", *WARNINGS, *sources, "-o", "arm"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "arm"], capture_output=True, text=True, check=True).stdout
    assert said == "ls" + "aas" + "aas" + "laas" + "aas" + "laas" + "a" + " 0"


def test_a_flow_is_counted_in_words_and_has_one_scale():
    assert handover_ram_bytes(flows_of(NETWORKS, parts(4))) == 8 + 4
    see = NETWORKS["see"]
    index = see.outputs["action"]
    tensor = see.tensors[index]
    other = replace(tensor, quantization=replace(tensor.quantization, scales=(0.5,)))
    tensors = (*see.tensors[:index], other, *see.tensors[index + 1 :])
    with pytest.raises(SecateurError, match=r"one type, size and scale.*scale 0\.5"):
        flows_of({**NETWORKS, "see": replace(see, tensors=tensors)}, parts(4))
