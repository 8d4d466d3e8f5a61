"""The exported Python bundle drives a MuJoCo task in another process over UDP, in real time; prints what became of it.

    secateur export tdmpc_cartpole --target raspberry-pi-4b --format python --dtype int8 -o build/robot
    python bench/udp_rate.py build/robot --policy tdmpc_cartpole --rate 200 --seconds 60 --python ENV/bin/python

ENV is an environment with numpy and ai-edge-litert alone. This process is the robot: at every period of its own clock
it sends an observation, and at the end of the period it steps the environment with the action that came for it. Where
none came in time it holds the last one and counts that. The rate is that of the clock: physics advances by one
control step each period, however fast periods follow each other. The same seeds are then run with the bundle's policy
in this process. With --write the figures go into bench/results/udp_rate.json.
"""

import argparse
import importlib.util
import json
import platform
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from secateur.policy.load import load

RESULTS = Path(__file__).parent / "results" / "udp_rate.json"


def module_of(folder: Path, name: str) -> ModuleType:
    """A module of the bundle, as the robot's interpreter would import it."""
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def flat(observation: Any, keys: list[str]) -> np.ndarray:
    parts = [observation[key] for key in keys] if keys else [observation]
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


def over_udp(
    task: Any, wire: Any, keys: list[str], port: int, rate_hz: float, seconds: float, seed: int
) -> dict[str, Any]:
    """The robot's side, in real time."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.bind(("127.0.0.1", 0))
    env, period_s, returns, waited = task.make_env(), 1.0 / rate_hz, [], []
    total, episode, missed, late = 0.0, 0, 0, 0
    observation, _ = env.reset(seed=seed)
    action = np.zeros(env.action_space.shape, np.float32)
    periods, start = int(seconds * rate_hz), time.monotonic()
    for period in range(periods):
        begun, end, answer = time.monotonic(), start + (period + 1) * period_s, None
        connection.sendto(wire.pack(period, flat(observation, keys)), ("127.0.0.1", port))
        while (left := end - time.monotonic()) > 0:
            if answer is None:
                if select.select([connection], [], [], left)[0]:
                    sequence, values = wire.unpack(connection.recv(65_000))
                    if sequence == period:
                        answer = values
                        waited.append(time.monotonic() - begun)
            else:
                time.sleep(left)
        late += time.monotonic() - end > period_s  # this process itself was held up
        if answer is None:
            missed += 1
        else:
            action = answer.reshape(env.action_space.shape)
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            returns.append(total)
            total, episode = 0.0, episode + 1
            observation, _ = env.reset(seed=seed + episode)
    env.close()
    answered = np.quantile(waited, [0.5, 0.99, 1.0]).tolist() if waited else [None] * 3
    return {
        "periods": periods,
        "without_action_in_time": missed,
        "simulator_late": late,
        "answer_p50_s": answered[0],
        "answer_p99_s": answered[1],
        "answer_max_s": answered[2],
        "returns": returns,
    }


def in_process(task: Any, policy: Any, seed: int, episodes: int) -> list[float]:
    env, returns = task.make_env(), []
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        total, done = 0.0, False
        while not done:
            narrow = (
                {k: np.float32(v) for k, v in observation.items()}
                if isinstance(observation, dict)
                else np.float32(observation)
            )
            observation, reward, terminated, truncated, _ = env.step(policy.act(narrow))
            total += float(reward)
            done = terminated or truncated
        returns.append(total)
    env.close()
    return returns


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--policy", default="tdmpc_cartpole", help="whose task it is")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--python", default=sys.executable, help="that runs the bundle")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    task = load(arguments.policy).task
    robot, wire = module_of(arguments.bundle, "robot"), module_of(arguments.bundle, "udp_node")
    policy = robot.Policy(arguments.bundle)
    keys = policy.description["observation"]["keys"]
    command = [
        arguments.python,
        str(arguments.bundle / "udp_node.py"),
        "--port",
        "0",
        "--rate",
        str(arguments.rate),
    ]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        port = json.loads(node.stdout.readline())["listening"]
        found = over_udp(task, wire, keys, port, arguments.rate, arguments.seconds, arguments.seed)
    finally:
        node.terminate()
    statistics = json.loads(node.stdout.read().splitlines()[-1])
    node.wait()
    returns = found.pop("returns")
    alone = in_process(task, policy, arguments.seed, len(returns))
    document = {
        "policy": arguments.policy,
        "dtype": policy.description["files"][0]["dtype"],
        "rate_hz": arguments.rate,
        "seconds": arguments.seconds,
        "machine": platform.machine(),
        **found,
        "missed_share": found["without_action_in_time"] / found["periods"],
        "node": statistics,
        "episodes": len(returns),
        "return_over_udp": float(np.mean(returns)) if returns else None,
        "return_in_process": float(np.mean(alone)) if alone else None,
        "episodes_equal": sum(a == b for a, b in zip(returns, alone)),
    }
    print(json.dumps(document, indent=2))
    if arguments.write:
        RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
