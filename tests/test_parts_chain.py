"""The whole chain on a policy in parts: cut across the flow, stored in one scale, timed at two rates, and exported."""

import json
import shutil
import subprocess
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from secateur.device.devices import open_device
from secateur.export.read import read_tflite
from secateur.report.bench import print_bench
from secateur.runfolder import read_finished
from secateur.runparts import parts_of_run
from secateur.target.target import load_target
from secateur.verify.golden import load_golden

pytestmark = pytest.mark.slow

PRUNE = ("prune", "parts_policy:seeing", "--target", "stm32f446re", "--strategy", "uniform")
QUICK = ("--recovery-steps", "16", "--episodes", "4")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parts") / "run"


@pytest.fixture
def finished(secateur, run_folder):
    if not run_folder.exists():
        code, _, said = secateur(
            *PRUNE, *QUICK, "--flash", "4300B", "--component", "perception.latency=300us", "-o", run_folder
        )
        assert code in (0, 4), said
    return run_folder


def test_a_policy_in_parts_goes_the_whole_way(finished):
    summary, widths = read_finished(finished), json.loads((finished / "widths.json").read_text())
    assert widths["perception.5"] < 8
    predicted, measured = summary["predicted"], summary["measured"]
    for exact in ("weights_bytes", "tables_bytes", "static_ram_bytes"):
        assert predicted[exact] == measured[exact], exact
    for bound in ("code_bytes", "stack_bytes"):
        assert 0 <= predicted[bound] - measured[bound] <= 1024, bound
    assert measured["flash_bytes"] <= 4300
    assert summary["parity"]["int8_mismatched_bytes"] == 0
    assert summary["parity"]["float_max_abs_error"] <= 1e-5
    see, act = summary["parts"]
    assert (see["name"], see["period"], see["rate_hz"]) == ("see", 4, 25.0)
    assert (act["name"], act["period"], act["fed"]) == ("act", 1, {"features": ["see", "see"]})
    assert summary["parity"]["vectors"] == see["parity"]["vectors"] + act["parity"]["vectors"]
    assert see["late_periods"] == 1
    assert act["late_periods"] == 0
    for part in (see, act):
        assert part["measured"]["latency_s"] <= part["measured"]["response_s"] < 1 / part["rate_hz"]
    assert measured["latency_s"] == act["measured"]["latency_s"] < see["measured"]["latency_s"]
    assert see["measured"]["response_s"] == see["measured"]["latency_s"] + act["measured"]["latency_s"]
    busy = predicted["components"]["perception"]
    assert busy["utilisation"] == pytest.approx(25 * busy["latency_s"])
    assert predicted["utilisation"] == pytest.approx(sum(p["predicted"]["utilisation"] for p in (see, act)))
    assert "Rates" in (finished / "report.html").read_text()


def test_the_page_draws_each_part(finished):
    summary, figures = read_finished(finished), json.loads((finished / "figures.json").read_bytes())
    assert [arena["part"] for arena in figures["arenas"]] == ["see", "act"]
    counted = {row["label"]: row["counted"]["instructions"] for row in figures["operators"]}
    assert counted == summary["measured"]["operator_instructions"]
    own = figures["boards"][0]
    for stage, told in (("before", "baseline"), ("after", "predicted")):
        assert own[stage]["latency_range_s"] == summary[told]["latency_range_s"]
    page = (finished / "report.html").read_text()
    assert "The arena of see is" in page
    assert "The arena of act is" in page


def test_flows_have_one_scale_and_devices_agree_on_every_part(finished, tmp_path):
    parts = parts_of_run(finished)
    models = {part.name: (finished / f"{part.name}.int8.tflite").read_bytes() for part in parts}
    networks = {name: read_tflite(model) for name, model in models.items()}
    made = networks["see"].tensors[networks["see"].outputs["see"]]
    taken = networks["act"].tensors[networks["act"].inputs["features"]]
    assert (made.shape, made.dtype, made.quantization) == (taken.shape, taken.dtype, taken.quantization)
    for name, model in models.items():
        golden = load_golden(finished / f"{name}.golden.npz")
        device = open_device("host", model, load_target("rp2040"), tmp_path / name)
        for output, values in device.run(golden.quantized_inputs).items():
            np.testing.assert_array_equal(values, golden.quantized[output])
        device.close()


def test_a_run_in_parts_is_benched(secateur, finished):
    code, out, said = secateur("bench", finished, "--target", "stm32f446re", "--device", "emulator", "--json")
    assert code == 0, said
    found = json.loads(out)
    assert [part["part"]["name"] for part in found["parts"]] == ["see", "act"]
    assert found["parity"]["mismatched_bytes"] == 0
    assert [one["utilisation"] < 1 for one in found["schedule"]] == [True, True]
    console = Console(width=100, record=True, file=StringIO())
    print_bench(found, console)
    assert "Part see" in console.export_text()


FLAGS = "-Wall -Wextra -Werror -Wconversion -Wno-sign-conversion"
BOARD = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "seeing.h"
#include "board.h"
extern volatile uint32_t seeing_late;
static int locked, timer, ticks, looks;
void board_start(void) {}
void board_start_timer(void) { timer = 1; }
void board_lock(void) { locked = 1; }
void board_unlock(void) { locked = 0; }
void board_idle(void) { if (!locked && timer) { seeing_tick(); } }
void board_see_inputs(void)
{
    memset(seeing_see_input_image(), ticks, SEEING_SEE_INPUT_IMAGE_SIZE);
    looks++;
}
void board_act_inputs(void) { memset(seeing_act_input_joints(), 7, SEEING_ACT_INPUT_JOINTS_SIZE); }
void board_act_outputs(void)
{
    printf("%d %d\\n", seeing_act_output_action()[0], seeing_act_output_action()[1]);
    if (++ticks == 10) {
        printf("%d %u\\n", looks, (unsigned)seeing_late);
        exit(0);
    }
}
"""


@pytest.mark.skipif(not shutil.which("cmake") or not shutil.which("cc"), reason="needs cmake and cc")
def test_a_run_in_parts_is_proven_each_part_at_its_rate(secateur, finished, tmp_path):
    found, verify = {}, ("verify", finished, "--policy", PRUNE[1])
    for device in ("emulator", "tflm"):
        options = ("--episodes", "6", "--processes", "1", "--json", "-o", tmp_path / f"{device}.json")
        code, out, said = secateur(*verify, "--device", device, *options)
        assert code == 4, said  # so few are no evidence
        found[device] = json.loads(out)["verification"]
    assert found["emulator"]["test"]["artifact"] == found["tflm"]["test"]["artifact"]
    assert found["emulator"]["deviation"] == found["tflm"]["deviation"]
    assert found["tflm"]["test"]["outcome"] == "undecided"
    code, _, said = secateur(*verify, "--device", "tflm", "--delay", "measured", "-o", tmp_path / "m.json")
    assert code == 1
    assert "where one call makes a decision" in said


def test_the_c_replays_and_runs_its_parts_at_their_rates(secateur, finished, tmp_path):
    folder = tmp_path / "c"
    code, _, said = secateur("export", finished, "--target", "stm32f446re", "--format", "c", "-o", folder)
    assert code == 0, said
    (tmp_path / "board.c").write_text(BOARD)
    for command in (
        ("cmake", "-B", "build", f"-DCMAKE_C_FLAGS={FLAGS}", f"-DSEEING_BOARD={tmp_path / 'board.c'}"),
        ("cmake", "--build", "build"),
        ("ctest", "--test-dir", "build", "--output-on-failure"),
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([folder / "build" / "seeing_control"], capture_output=True, text=True, check=False)
    *lines, counts = done.stdout.splitlines()
    assert counts == "3 0"
    devices = {
        name: open_device("tflm", (finished / f"{name}.int8.tflite").read_bytes(), None, tmp_path)
        for name in ("see", "act")
    }
    for tick, line in enumerate(lines):
        image = np.full((1, 1, 12, 12), tick - tick % 4, np.int8)
        features = devices["see"].run({"image": image})["see"]
        action = devices["act"].run({"features": features, "joints": np.full((1, 3), 7, np.int8)})["action"]
        assert line == " ".join(map(str, action[0]))


def test_other_formats_have_a_folder_or_a_file_for_every_part(secateur, finished, tmp_path):
    for form, wanted in (
        ("tflite", {"see.int8.tflite", "act.int8.tflite", "parts.json"}),
        ("tflm", {"see", "act"}),
    ):
        folder = tmp_path / form
        code, _, said = secateur("export", finished, "--target", "rp2040", "--format", form, "-o", folder)
        assert code == 0, said
        assert wanted <= {path.name for path in folder.iterdir()}


def test_what_does_not_fit_is_named(secateur, tmp_path):
    limit = ("--component", "perception.latency=1us")
    code, _, said = secateur(*PRUNE, *QUICK, *limit, "-o", tmp_path / "run")
    assert code == 3, said
    assert "latency of perception" in said
