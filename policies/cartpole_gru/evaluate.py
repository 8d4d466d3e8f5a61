"""Return and success over unseen start states, as JSON: ``python policies/cartpole_gru/evaluate.py``."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policies.cartpole_gru.model import Recurrent
from policies.cartpole_gru.policy import describe, task
from policies.tdmpc.evaluation import FIRST_SEED, summarise
from policies.tdmpc.rollout import Outcome

from secateur.policy.policy import Policy
from secateur.policy.weights import load_weights
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts


def measure(policy: Policy, episodes: int, delay_s: float = 0.0) -> dict[str, float]:
    """Over the first start states of an evaluation."""
    seeds = range(FIRST_SEED, FIRST_SEED + episodes)
    done = rollouts(task(), torch_controller(policy, task()), seeds, delay_s)
    returns, successes = [t.return_ for t in done], [bool(t.success) for t in done]
    return summarise(Outcome(np.array(returns), np.array(successes)))


def forgetful(policy: Policy) -> Policy:
    """The same without its memory: the hidden state is zero at every step."""

    def act(module: Recurrent, observation: torch.Tensor, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
        return module.act(observation, torch.zeros_like(hidden))

    return replace(policy, entries=(replace(policy.entry(), call=act),))


def main() -> None:
    """Reads the arguments, evaluates, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path(__file__).with_name("weights.safetensors"))
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--delays", type=int, nargs="*", default=[0, 10, 20, 30], help="in ms")
    args = parser.parse_args()
    torch.set_num_threads(1)
    load_weights(module := Recurrent(), args.weights)
    policy = describe(module.eval())
    report = {"weights": args.weights.name, "first_seed": FIRST_SEED, "episodes": args.episodes}
    for delay in args.delays:
        row = measure(policy, args.episodes, delay / 1000)
        report["act" if delay == 0 else f"act_delay_{delay}ms"] = row
    report["forgetful"] = measure(forgetful(policy), args.episodes)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
