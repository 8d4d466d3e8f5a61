"""The control loop of generated C: under a simulated clock against the Python bundle's, its safe actions, its build."""

import contextlib
import importlib.util
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_networks import Layer, network

from secateur.export.c.control import control_files
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.export.toolchain import WARNINGS, run_compiler, write_sources
from secateur.litert.story import ROBOT
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
NETWORK = read_tflite(network(3, [Layer(2, activation=1, zero_point=-3), Layer(2, tail=("TANH",))], 0))
FLOATS = ("-Wdouble-promotion", "-Wfloat-equal", "-Wfloat-conversion", "-Wundef", "-Wcast-align")
NONE = 0xFFFFFFFF  # nothing is observed
POLICIES = ("skip", "catch-up", "stop")

BOARD = """
#include <stdio.h>
#include <string.h>
#include "control.h"
static uint32_t now, observing, thinking, guard_each, words[3];
static struct control loop;
static uint32_t ticks(void) { return now; }
static void idle(void) { now++; }
static bool observe(float *inputs)
{
    if (fread(words, sizeof words, 1, stdin) != 1) { words[1] = UINT32_MAX; }
    observing = words[0]; thinking = words[1]; now += observing;
    memcpy(&inputs[1], &words[2], sizeof(float));
    return thinking != UINT32_MAX;
}
static void infer(const float *inputs, float *outputs)
{
    for (uint32_t i = 0; i < thinking; i++) {
        now++;
        if (guard_each != 0 && now % guard_each == 0) { control_guard(&loop); }
    }
    outputs[0] = inputs[1];
}
static void say(char what) { printf("%c %u\\n", what, (unsigned)now); }
static void act(const float *outputs) { (void)outputs; say('a'); }
static void safe(void) { say('s'); }
static void alive(void) { say('w'); }
int main(void)
{
    uint32_t given[7];
    if (fread(given, sizeof given, 1, stdin) != 1) { return 3; }
    float inputs[2] = {0.0f, 0.0f}, outputs[1] = {0.0f};
    now = given[0];
    guard_each = given[6];
    const struct control_settings settings = {
        .period_ticks = given[1], .deadline_ticks = given[2], .watchdog_ticks = given[3],
        .overrun = (enum control_overrun)given[4], .input_count = 2, .output_count = 1, .inputs = inputs,
        .outputs = outputs, .ticks = ticks, .idle = idle, .observe = observe, .infer = infer, .act = act,
        .safe = safe, .alive = alive};
    control_guard(&loop); /* a timer may tick before anything has started */
    if (!control_start(&loop, &settings)) { return 4; }
    for (uint32_t i = 0; i < given[5]; i++) {
        if (control_period(&loop) != CONTROL_GOING) { break; }
    }
    const struct control_statistics *const s = &loop.statistics;
    printf("= %u %u %u %u %u %u %u %u %u %u %llu\\n", (unsigned)s->periods, (unsigned)s->missed, (unsigned)s->skipped,
           (unsigned)s->without_observation, (unsigned)s->not_finite, (unsigned)s->late, (unsigned)s->safe,
           (unsigned)s->stalled, (unsigned)s->worst_ticks, (unsigned)s->worst_start_ticks,
           (unsigned long long)s->total_ticks);
    return 0;
}
"""
FIELDS = (
    *("periods", "missed", "skipped", "without_observation", "not_finite", "late", "safe", "stalled"),
    *("worst_ticks", "worst_start_ticks", "total_ticks"),
)
needs_cc = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Settings and periods → (events, statistics), from the C with a clock of its own, under sanitizers."""
    folder = tmp_path_factory.mktemp("control")
    files = {p: c for p, c in control_files(NETWORK, "arm", None).items() if p.startswith("control.")}
    write_sources({**files, "simulated.c": BOARD}, folder)
    sanitizers = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    run_compiler(
        ["cc", *sanitizers, *WARNINGS, *FLOATS, "simulated.c", "control.c", "-o", "simulated"], folder
    )

    def run(periods, period=100, deadline=0, watchdog=10_000, overrun="skip", start=0, guard=0):
        head = struct.pack(
            "<7I", start, period, deadline, watchdog, POLICIES.index(overrun), len(periods), guard
        )
        body = b"".join(struct.pack("<IIf", *p) for p in periods)
        done = subprocess.run([folder / "simulated"], input=head + body, capture_output=True, check=False)
        assert not done.stderr, done.stderr.decode()
        if done.returncode:
            return done.returncode, None
        *events, last = [line.split() for line in done.stdout.decode().splitlines()]
        when = [(kind, (int(tick) - start) % 2**32) for kind, tick in events]
        return when, dict(zip(FIELDS, map(int, last[1:])))

    return run


def bundle_loop(periods, period, overrun):
    """Statistics of the Python bundle's loop on the same clock."""
    spec = importlib.util.spec_from_file_location("robot_beside_c", ROBOT / "robot.py")
    robot = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = robot
    spec.loader.exec_module(robot)
    now, waiting, written = [0], iter(periods), []

    def observe(_):
        seen = next(waiting)
        now.append(now[-1] + seen[0])
        return None if seen[1] == NONE else seen

    class Thinking:
        def act(self, seen):
            now.append(now[-1] + seen[1])
            return np.array([seen[2]])

    loop = robot.ControlLoop(
        *(Thinking(), 1.0 / period, observe, lambda a: written.append((now[-1], float(a[0]))), [-7.0]),
        overrun=overrun,
        watchdog_s=1e9,
        clock=lambda: now[-1],
        sleep=lambda ticks: now.append(now[-1] + ticks),
    )
    loop._guard = lambda: None
    loop.period_s = period
    with contextlib.suppress(robot.Overrun):
        loop.run(periods=len(periods))
    return loop.statistics(), [t for t, a in written[:-1] if a != -7.0]


PERIODS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 7, 60]),
        st.sampled_from([0, 5, 99, 100, 101, 250, 730, NONE]),
        st.sampled_from([0.0, 1.5, float("inf"), -float("inf"), float("nan")]),
    ),
    min_size=1,
    max_size=20,
)


@needs_cc
@settings(max_examples=60, deadline=None)
@given(PERIODS, st.sampled_from(POLICIES), st.sampled_from([0, 2**31 - 50, 2**32 - 150]))
def test_same_as_the_python_bundle(simulated, periods, overrun, start):
    """Wherever the counter starts, so that it wraps round under way."""
    periods = [(o, t, x if t != NONE and np.isfinite(x) else 0.0) for o, t, x in periods]
    wanted, acted = bundle_loop(periods, 100, overrun)
    events, found = simulated(periods, overrun=overrun, start=start)
    for name in ("missed", "skipped", "without_observation", "periods"):
        assert found[name] == wanted[name], name
    assert [tick for kind, tick in events if kind == "a"] == acted
    assert found["worst_ticks"] == (wanted["took_max_s"] or 0)
    assert found["worst_start_ticks"] == (wanted["started_late_max_s"] or 0)
    assert found["total_ticks"] == sum(t for _, t, _ in periods[: found["periods"]] if t != NONE)


@needs_cc
@settings(max_examples=40, deadline=None)
@given(PERIODS, st.sampled_from(POLICIES[:2]), st.sampled_from([0, 1, 10]))
def test_every_observed_period_ends_in_an_action_or_the_safe_one(simulated, periods, overrun, guard):
    deadline = 99
    events, found = simulated(periods, deadline=deadline, overrun=overrun, guard=guard)
    observed = [(t, x) for _, t, x in periods if t != NONE]
    bad = [x for _, x in observed if not np.isfinite(x)]
    late = [t for t, x in observed if np.isfinite(x) and t > deadline]
    assert (found["not_finite"], found["late"]) == (len(bad), len(late))
    assert sum(kind == "a" for kind, _ in events) == len(observed) - len(bad) - len(late)
    assert sum(kind == "s" for kind, _ in events) == found["safe"] == len(bad) + len(late)
    assert sum(kind == "w" for kind, _ in events) == len(periods)
    if guard == 1:  # an interrupt in every tick: the safe action comes at the deadline, not at the end
        assert found["stalled"] == len(late)


@needs_cc
def test_the_guard_does_not_wait_for_the_end(simulated):
    events, found = simulated([(0, 450, 1.0), (0, 10, 1.0)], deadline=100, guard=10)
    assert events == [("s", 110), ("w", 450), ("a", 510), ("w", 510)]
    assert (found["missed"], found["skipped"], found["late"], found["stalled"]) == (1, 4, 1, 1)
    assert (found["worst_ticks"], found["total_ticks"]) == (450, 460)


@needs_cc
def test_nothing_seen_for_too_long(simulated):
    events, found = simulated([(0, 10, 1.0)] + 5 * [(0, NONE, 0.0)], watchdog=300)
    assert [tick for kind, tick in events if kind == "s"] == [300, 400, 500]
    assert found["without_observation"] == 5


@needs_cc
def test_a_stop_ends_safely_and_starves_the_watchdog(simulated):
    events, found = simulated([(0, 10, 1.0), (0, 150, 1.0), (0, 10, 1.0)], overrun="stop")
    assert events == [("a", 10), ("w", 10), ("a", 250), ("s", 250)]
    assert (found["periods"], found["missed"]) == (2, 1)


@needs_cc
@pytest.mark.parametrize(
    "wrong", [{"period": 0}, {"period": 2**31}, {"deadline": 2**31}, {"watchdog": 2**32 - 1}]
)
def test_settings_out_of_range(simulated, wrong):
    assert simulated([], **wrong) == (4, None)


BOARD_C = """
#include "board.h"
#include <stddef.h>
#ifdef ON_HOST
#include <stdio.h>
#include <stdlib.h>
#define END(code) exit(code)
#define SAY(...) printf(__VA_ARGS__)
#else
#define END(code) for (;;) {}
#define SAY(...) (void)0
#endif
static uint32_t now, periods;
void board_start(void) {}
uint32_t board_ticks(void) { return now; }
void board_idle(void) { now++; }
void board_alive(void) { arm_guard(); }
void board_safe(void) { SAY("safe\\n"); }
bool board_observe(float *inputs)
{
    if (periods == 3) { END(0); }
    for (size_t i = 0; i < 3; i++) { inputs[i] = periods == 1 ? 1.0f / 0.0f : 0.25f * (float)i; }
    periods++;
    return true;
}
void board_act(const float *outputs) { SAY("%u %.6f %.6f\\n", (unsigned)now, (double)outputs[0], (double)outputs[1]); }
"""


@needs_cc
def test_the_main_program_runs_the_network(tmp_path):
    """Against the network's own step function; the second observation is infinite."""
    files = {**generate(NETWORK, TARGET, "arm"), **control_files(NETWORK, "arm", 40.0), "board.c": BOARD_C}
    check = (
        '#include <stdio.h>\n#include "arm.h"\nint main(void)\n{\n    const float in[3] = {0.0f, 0.25f, 0.5f};\n'
        "    float out[2];\n    arm_input_observation_write(in);\n    arm_step();\n    arm_output_action_read(out);\n"
        '    printf("%.6f %.6f\\n", (double)out[0], (double)out[1]);\n    return 0;\n}\n'
    )
    write_sources({**files, "check.c": check}, tmp_path)
    network_c = sorted(p for p in files if p.endswith(".c") and p not in ("main.c", "board.c", "control.c"))
    common = [
        "cc",
        "-g",
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        *WARNINGS,
        *FLOATS[:1],
    ]
    own = [
        "-Wno-div-by-zero",
        "-fno-sanitize=float-divide-by-zero",
        "-DON_HOST",
        "main.c",
        "control.c",
        "board.c",
    ]
    run_compiler([*common, *network_c, *own, "-o", "control"], tmp_path)
    run_compiler([*common, *network_c, "check.c", "-o", "check"], tmp_path)
    said = subprocess.run([tmp_path / "control"], capture_output=True, text=True, check=True).stdout
    wanted = subprocess.run([tmp_path / "check"], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [f"0 {wanted.strip()}", "safe", f"50000 {wanted.strip()}"]


def test_built_for_a_cortex_m4_without_double(tmp_path):
    """Everything that a board links, and no helper of the compiler for double."""
    files = {**generate(NETWORK, TARGET, "arm"), **control_files(NETWORK, "arm", None), "board.c": BOARD_C}
    write_sources(files, tmp_path)
    cross = ("-target", TARGET.toolchain.triple, f"-mcpu={TARGET.toolchain.cpu}", *TARGET.toolchain.flags)
    flags = ("-O2", "-ffreestanding", "-fno-sanitize=all", "-fno-stack-protector", *WARNINGS, *FLOATS)
    zig = [sys.executable, "-m", "ziglang", "cc", *cross, *flags]
    for source in ("main.c", "control.c"):
        run_compiler([*zig, "-c", source, "-o", f"{source}.o"], tmp_path)
        symbols = (tmp_path / f"{source}.o").read_bytes()
        assert b"__aeabi_d" not in symbols
        assert b"malloc" not in symbols


def test_rates():
    assert "UINT64_C(33300) /* the task's */" in control_files(NETWORK, "arm", 33.3)["main.c"]
    assert "UINT64_C(50000) /* set it to the task's */" in control_files(NETWORK, "arm", None)["main.c"]
    board = control_files(NETWORK, "arm", None)["board.h"]
    assert " * [0] to [2]: observation [1, 3]" in board
