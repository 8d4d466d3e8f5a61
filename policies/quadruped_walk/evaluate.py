"""Return, tracking and falls over unseen episodes, as JSON: ``python policies/quadruped_walk/evaluate.py``."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policies.quadruped_walk.environment import QuadrupedWalk
from policies.quadruped_walk.model import Walker
from policies.quadruped_walk.policy import describe, task
from policies.tdmpc.evaluation import FIRST_SEED, summarise
from policies.tdmpc.rollout import Outcome

from secateur.policy.policy import Policy
from secateur.policy.weights import load_weights
from secateur.simulate.controller import Controller, FunctionController, torch_controller
from secateur.simulate.rollout import rollouts


def measure(
    controller: Controller,
    episodes: int,
    delay_s: float = 0.0,
    make_env: Callable[[], QuadrupedWalk] = QuadrupedWalk,
) -> dict[str, float]:
    """Over the first episodes of an evaluation; errors are means over episodes, whether they end early or not."""
    infos: list[dict[str, Any]] = []

    def heard(info: dict[str, Any]) -> bool:
        infos.append(info)
        return bool(info["success"])

    watched = replace(task(), success=heard, make_env=make_env)
    done = rollouts(watched, controller, range(FIRST_SEED, FIRST_SEED + episodes), delay_s)
    outcome = Outcome(np.array([t.return_ for t in done]), np.array([bool(t.success) for t in done]))
    errors = {
        name: round(float(np.mean([info[name] for info in infos])), 3)
        for name in ("linear_error_m_s", "turn_error_rad_s")
    }
    return summarise(outcome) | errors | {"falls": sum(bool(info["fallen"]) for info in infos)}


def forgetful(policy: Policy) -> Policy:
    """The same without a past: every frame of the history is the newest."""
    entry = policy.entry()

    def act(module: Walker, history: torch.Tensor, command: torch.Tensor) -> Any:
        return entry.call(module, history=history[:, :, -1:].expand_as(history), command=command)

    return replace(policy, entries=(replace(entry, call=act), *policy.entries[1:]))


def on_ground(rough: bool) -> Callable[[], QuadrupedWalk]:
    """Makes environments whose ground is always the roughest, or always level."""

    def make_env() -> QuadrupedWalk:
        env = QuadrupedWalk()
        env.roughness = 1.0 if rough else 0.0
        return env

    return make_env


def main() -> None:
    """Reads the arguments, evaluates, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path(__file__).with_name("weights.safetensors"))
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--delays", type=int, nargs="*", default=[0, 10, 20, 40], help="in ms")
    args = parser.parse_args()
    torch.set_num_threads(1)
    load_weights(module := Walker(), args.weights)
    policy = describe(module.eval())
    walking = torch_controller(policy, task())
    report: dict[str, Any] = {
        "weights": args.weights.name,
        "first_seed": FIRST_SEED,
        "episodes": args.episodes,
    }
    for delay in args.delays:
        row = measure(walking, args.episodes, delay / 1000)
        report["act" if delay == 0 else f"act_delay_{delay}ms"] = row
    report["level"] = measure(walking, args.episodes, make_env=on_ground(rough=False))
    report["roughest"] = measure(walking, args.episodes, make_env=on_ground(rough=True))
    report["forgetful"] = measure(torch_controller(forgetful(policy), task()), args.episodes)
    report["standing"] = measure(FunctionController(lambda _: np.zeros(8, np.float32)), args.episodes)
    print(json.dumps({"seed0": report}, indent=1))


if __name__ == "__main__":
    main()
