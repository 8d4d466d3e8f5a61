"""The bundle on the robot: the policy as in simulation, a loop that keeps its rate, safe actions, a task over UDP."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from policies_of_parts import camera_policy, camera_task, recurrent_policy
from torch import nn

from secateur.device import bootstrap, runner
from secateur.litert.export import Wish, export_files
from secateur.litert.sidecar import sidecar
from secateur.litert.source import Source
from secateur.litert.story import ROBOT, ComputerExport, export_for_computer
from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.target.target import load_any

PI = load_any("raspberry-pi-4b")
BENCH = Path(__file__).parent.parent.parent / "bench" / "udp_rate.py"


def module(name, folder=ROBOT):
    spec = importlib.util.spec_from_file_location(f"{name}_under_test", folder / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


sys.path.append(str(ROBOT))  # as beside each other in a bundle
robot = module("robot")


def bundle(folder, policy, task, dtype="float32"):
    """policy.json and files, without the roll-outs that calibration would take."""
    generator = torch.Generator().manual_seed(0)
    visited = {
        k: torch.rand((64, *e.shape[1:]), generator=generator)
        for k, e in policy.entry().example_inputs.items()
    }
    visited.pop("state", None)
    plain = Source(policy.name, policy.name, policy, None, visited, (0,))
    files = export_files(plain, PI, Wish(dtype), lambda m: {}, lambda *_: None)
    folder.mkdir()
    for file in files:
        (folder / file.file).write_bytes(file.model)
    described = Source(policy.name, policy.name, policy, task, visited, (0,))
    (folder / "policy.json").write_text(json.dumps(sidecar(described, files)))
    return folder


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    return bundle(tmp_path_factory.mktemp("bundles") / "camera", camera_policy(), camera_task())


def observations(count):
    env = camera_task().make_env()
    seen = [env.reset(seed=0)[0]]
    seen += [env.step(np.zeros(2, np.float32))[0] for _ in range(count - 1)]
    return seen


def in_torch(policy, task, seen):
    inputs = {name: torch.from_numpy(array) for name, array in task.to_inputs(seen).items()}
    with torch.no_grad():
        outputs = policy.entry().run(policy.module.eval(), inputs)
    return task.to_action({name: tensor.numpy() for name, tensor in outputs.items()})


def test_the_whole_policy_acts_as_in_simulation(seeing):
    policy, made, task = robot.Policy(seeing, whole=True), camera_policy(), camera_task()
    for seen in observations(10):
        action = policy.act(seen)
        assert action.shape == (2,)
        np.testing.assert_allclose(action, in_torch(made, task, seen), atol=1e-5)


def test_components_run_at_their_own_rates(seeing):
    """Perception at 10 Hz, the head at 50 Hz: the picture of every fifth period counts until the next one."""
    now = [100.0]
    policy, made, task = robot.Policy(seeing, clock=lambda: now[0]), camera_policy(), camera_task()
    seen = observations(20)
    for period, current in enumerate(seen):
        now[0] = 100.0 + period / 50.0 + 1e-6
        mixed = {"image": seen[period // 5 * 5]["image"], "joints": current["joints"]}
        np.testing.assert_allclose(policy.act(current), in_torch(made, task, mixed), atol=1e-5)
    policy.reset()
    np.testing.assert_allclose(policy.act(seen[1]), in_torch(made, task, seen[1]), atol=1e-5)


def test_a_memory_is_carried_on_and_reset(tmp_path):
    made = recurrent_policy()
    policy = robot.Policy(bundle(tmp_path / "recurrent", made, None))
    generator, state = np.random.default_rng(0), torch.zeros(1, 8)
    first = None
    for _ in range(20):
        seen = generator.uniform(0, 1, (1, 3)).astype(np.float32)
        with torch.no_grad():
            wanted = made.module.act(torch.from_numpy(seen), state)
        state = wanted["state"]
        got = policy.act({"observation": seen})
        np.testing.assert_allclose(got["action"], wanted["action"].numpy(), atol=1e-5)
        first = first if first is not None else (seen, got["action"])
    policy.reset()
    np.testing.assert_array_equal(policy.act({"observation": first[0]})["action"], first[1])


class Clock:
    """A clock that only sleeping and working move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Acting:
    """A policy that takes some time for each period, in turn, or fails."""

    def __init__(self, clock, takes, answers=(1.0,)):
        self.clock, self.takes, self.answers, self.calls = clock, takes, answers, 0

    def act(self, observation):
        answer = self.answers[self.calls % len(self.answers)]
        self.clock.now += self.takes[self.calls % len(self.takes)]
        self.calls += 1
        if isinstance(answer, Exception):
            raise answer
        return np.array([answer])


def loop(clock, policy, written, **more):
    more = {"read": lambda _: 0.0, "watchdog_s": 1e3, **more}
    return robot.ControlLoop(
        policy, 100.0, write=lambda a: written.append((clock.now, float(np.ravel(a)[0]))), safe_action=[-1.0],
        clock=clock, sleep=clock.sleep, **more,
    )  # fmt: skip


def test_periods_start_on_the_clock():
    clock, written = Clock(), []
    found = loop(clock, Acting(clock, (0.004,)), written).run(periods=10)
    assert [round(t, 6) for t, a in written[:-1]] == [round(0.01 * k + 0.004, 6) for k in range(10)]
    assert written[-1][1] == -1.0  # the last thing that the robot is told
    assert (found["periods"], found["missed"], found["safe"]) == (10, 0, 0)
    assert found["took_p50_s"] == pytest.approx(0.004)
    assert found["started_late_max_s"] == pytest.approx(0.0, abs=1e-9)


def test_a_late_period_eats_others_or_not():
    takes = (0.004, 0.025, 0.004, 0.004, 0.004)
    clock, written = Clock(), []
    found = loop(clock, Acting(clock, takes), written).run(periods=5)
    assert (found["missed"], found["skipped"]) == (1, 2)
    assert written[2][0] == pytest.approx(0.044)  # the period of 0.04
    clock, written = Clock(), []
    found = loop(clock, Acting(clock, takes), written, overrun="catch-up").run(periods=5)
    assert found["skipped"] == 0
    assert written[2][0] == pytest.approx(0.039)  # at once
    assert found["missed"] >= 2  # a period that starts too late misses its own end
    clock = Clock()
    with pytest.raises(robot.Overrun):
        loop(clock, Acting(clock, takes), written, overrun="stop").run(periods=5)
    assert written[-1][1] == -1.0


def test_failures_are_answered_with_the_safe_action():
    clock, written = Clock(), []
    answers = (0.5, ValueError("broken"), np.nan, np.inf, 0.5)
    found = loop(clock, Acting(clock, (0.001,), answers), written).run(periods=5)
    assert [a for _, a in written] == [0.5, -1.0, -1.0, -1.0, 0.5, -1.0]
    assert (found["failed"], found["not_finite"], found["safe"]) == (1, 2, 3)
    assert found["last_error"] == "ValueError: broken"


def test_nothing_observed_for_too_long():
    clock, written = Clock(), []
    seen = iter([0.0, 0.0] + [None] * 8)
    found = loop(clock, Acting(clock, (0.001,)), written, read=lambda _: next(seen), watchdog_s=0.045).run(
        periods=10
    )
    assert found["without_observation"] == 8
    assert [a for _, a in written].count(-1.0) == found["safe"] + 1
    assert 3 <= found["safe"] <= 5


def test_a_policy_that_hangs_is_overruled():
    written, hanging = [], threading.Event()

    class Hanging:
        def act(self, observation):
            hanging.wait(5)
            return np.array([1.0])

    running = robot.ControlLoop(
        Hanging(),
        100.0,
        lambda _: 0.0,
        lambda a: written.append(float(np.ravel(a)[0])),
        [-1.0],
        watchdog_s=0.05,
    )
    thread = threading.Thread(target=running.run, kwargs={"periods": 1})
    thread.start()
    end = time.monotonic() + 4
    while -1.0 not in written and time.monotonic() < end:
        time.sleep(0.01)
    hanging.set()
    thread.join()
    assert written[0] == -1.0
    assert running.counts["stalled"] >= 1


def test_wishes_that_are_none():
    for wrong in ({"overrun": "hope"}, {"rate_hz": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            robot.ControlLoop(
                None, **{"rate_hz": 1.0, "read": None, "write": None, "safe_action": [0], **wrong}
            )


class Pole(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def act(self, observation):
        return torch.tanh(self.body(observation))


def pole():
    torch.manual_seed(0)
    policy = Policy(
        "pole",
        Pole().eval(),
        (Component("body", ("body",)),),
        (Entry("act", Pole.act, {"observation": torch.zeros(1, 4)}),),
    )
    task = Task(
        make_env=lambda: gymnasium.make("InvertedPendulum-v5", max_episode_steps=15),
        to_inputs=lambda seen: {"observation": seen.astype("float32")[None]},
        to_action=lambda outputs: 3.0 * outputs["act"][0],
        control_hz=25,
    )
    return policy, task


def write_bundle(folder, dtype="int8"):
    request = ComputerExport("test_robot:pole", "python", dtype)
    files, _ = export_for_computer(request, PI, lambda *_: None)
    assert set(files) == {
        "policy.json",
        "README.md",
        f"pole.{dtype}.tflite",
        "robot.py",
        "udp_node.py",
        "ros2_node.py",
    }
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def drive(folder, rate, seconds, python=sys.executable):
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(BENCH), str(folder), "--policy", "test_robot:pole", "--rate", str(rate)]
    command += ["--seconds", str(seconds), "--python", str(python)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(found, periods):
    missed = found["without_action_in_time"]
    assert found["periods"] == periods
    assert missed <= 0.1 * periods  # this machine may be busy with other things
    assert found["episodes"] >= 2
    assert found["episodes_equal"] >= found["episodes"] - missed
    assert found["node"]["failed"] == found["node"]["not_finite"] == found["node"]["malformed"] == 0
    seen = found["node"]["periods"] + found["node"]["stale"]
    assert periods - 1 <= seen <= periods


def test_a_task_in_another_process_over_udp(tmp_path):
    write_bundle(tmp_path / "bundle")
    check(drive(tmp_path / "bundle", rate=20, seconds=3), 60)


@pytest.mark.slow
def test_numpy_and_a_runtime_are_enough(tmp_path):
    write_bundle(tmp_path / "bundle")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "ai-edge-litert==2.3.0", "numpy"]
    subprocess.run(install, check=True)
    check(drive(tmp_path / "bundle", rate=20, seconds=3, python=python), 60)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (Path(runner.__file__), (3, 7)),
        (Path(bootstrap.__file__), (3, 7)),
        *((path, (3, 9)) for path in sorted(ROBOT.glob("*.py"))),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else None,
)
def test_programs_for_robots_keep_to_old_python_and_few_libraries(path, version):
    tree = ast.parse(path.read_text(), feature_version=version)
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    }
    allowed = {"numpy", "ai_edge_litert", "tflite_runtime", "robot", "planner", "parts"}
    if path.name == "ros2_node.py":
        allowed |= {"rclpy", "std_msgs"}
    assert modules - sys.stdlib_module_names <= allowed
