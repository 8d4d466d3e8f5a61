"""Return and success over unseen start states, as JSON: ``python policies/arm_reach_camera/evaluate.py``.

Beside the policy there are two controllers to hold it against: the expert, who knows where the cube is, and the policy
itself with all frames grey (``blind``).
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policies.arm_reach_camera.environment import FRAME_STEPS, HELD_STEPS, ArmReach, make_env
from policies.arm_reach_camera.episodes import as_input
from policies.arm_reach_camera.expert import Expert, towards
from policies.arm_reach_camera.model import CameraReacher
from policies.arm_reach_camera.policy import PLACE_SCALE_M, describe, scaled_place, task
from policies.tdmpc.evaluation import FIRST_SEED, summarise
from policies.tdmpc.rollout import Outcome

from secateur.policy.policy import Policy
from secateur.policy.weights import load_weights
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts
from secateur.verify.statistics import wilson_interval

AT_ONCE = 40
"""Episodes whose frames are kept at the same time (3.7 MB each)."""
FRAMES = 2000
"""Drawn for the speed."""


@dataclass
class Course:
    """Distances of one episode by step [m], and where the cube was at its end [m]."""

    distances: list[float]
    cube: np.ndarray


class Noting(gymnasium.Wrapper):
    """Keeps the course of every episode, by seed."""

    def __init__(self, env: gymnasium.Env, courses: dict[int, Course]) -> None:
        super().__init__(env)
        self.courses = courses

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Starts an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.course = self.courses[int(seed or 0)] = Course([], info["cube"])
        return observation, info

    def step(self, action: Any) -> Any:
        """Steps, and notes."""
        result = self.env.step(action)
        self.course.distances.append(result[4]["distance_m"])
        self.course.cube = result[4]["cube"]
        return result


def measure(
    policy: Policy, seeds: Sequence[int], delay_s: float = 0.0, blind: bool = False
) -> dict[str, Any]:
    """Figures over the episodes of ``seeds``; distances and the estimate's error are those of the last half second."""
    returns, successes, distances, wrong, failures = [], [], [], [], []
    for at in range(0, len(seeds), AT_ONCE):
        courses: dict[int, Course] = {}
        noting = replace(task(), make_env=lambda kept=courses: Noting(make_env(), kept))
        if blind:
            noting = replace(noting, to_inputs=_blind)
        some = seeds[at : at + AT_ONCE]
        for episode in rollouts(noting, torch_controller(policy, noting), some, delay_s):
            course = courses[episode.seed]
            held = course.distances[-HELD_STEPS:]
            error = _estimate_error(policy.module, episode.observations["image"], course.cube)
            returns.append(episode.return_)
            successes.append(bool(episode.success))
            distances.append(float(np.mean(held)))
            wrong.append(error)
            if not episode.success:
                far, off = round(1000 * max(held), 1), round(1000 * error, 1)
                failures.append({"seed": episode.seed, "farthest_mm": far, "estimate_mm": off})
    row = summarise(Outcome(np.array(returns), np.array(successes)))
    low, high = wilson_interval(sum(successes), len(successes))
    row |= {"success_rate_95": [round(low, 3), round(high, 3)]}
    row |= {"distance_mm": round(1000 * float(np.mean(distances)), 2)}
    if blind:
        return row
    return row | {"estimate_mm": round(1000 * float(np.mean(wrong)), 2), "failures": failures}


def _blind(observation: Any) -> dict[str, np.ndarray]:
    inputs = task().to_inputs(observation)
    return inputs | {"image": np.full_like(inputs["image"], 0.5)}


@torch.no_grad()
def _estimate_error(module: CameraReacher, images: np.ndarray, cube: np.ndarray) -> float:
    """By how much the auxiliary head is wrong about the cube's place in the last half second, m."""
    frames = images[-HELD_STEPS::FRAME_STEPS]
    estimates = module.estimate(module.see(as_input(frames))).numpy()
    return float(np.linalg.norm(estimates - scaled_place(cube), axis=1).mean()) * PLACE_SCALE_M


def expert(seeds: Sequence[int]) -> dict[str, Any]:
    """The figures of the teacher."""
    env, teacher = ArmReach(), Expert()
    returns, successes = [], []
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            goal = teacher.above(info["cube"][None])[0]
            observation, reward, _, over, info = env.step(towards(goal, observation["joints"][:5]))
            total += reward
        returns.append(total)
        successes.append(info["success"])
    env.close()
    return summarise(Outcome(np.array(returns), np.array(successes)))


def speed() -> dict[str, float]:
    """Frames that are drawn, and control steps with their frames, in a second of one core's time."""
    env = ArmReach()
    env.reset(seed=0)
    started = time.process_time()
    for _ in range(FRAMES):
        env.camera.frame(env.data)
    frames_s = time.process_time() - started
    started = time.process_time()
    for _ in range(FRAMES):
        env.step(np.zeros(5))
    steps_s = time.process_time() - started
    env.close()
    return {"frames_per_cpu_s": round(FRAMES / frames_s), "steps_per_cpu_s": round(FRAMES / steps_s)}


def main() -> None:
    """Reads the arguments, evaluates, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path(__file__).with_name("weights.safetensors"))
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--delays", type=int, nargs="*", default=[0, 20], help="in ms")
    args = parser.parse_args()
    torch.set_num_threads(1)
    load_weights(module := CameraReacher(), args.weights)
    policy = describe(module.eval())
    seeds = range(FIRST_SEED, FIRST_SEED + args.episodes)
    report: dict[str, Any] = {
        "weights": args.weights.name,
        "first_seed": FIRST_SEED,
        "episodes": args.episodes,
    }
    for delay in args.delays:
        report["act" if delay == 0 else f"act_delay_{delay}ms"] = measure(policy, seeds, delay / 1000)
    report["expert"] = expert(seeds)
    report["blind"] = measure(policy, seeds, blind=True)
    report["speed"] = speed()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
