"""Return and success over unseen start states, as JSON: ``python policies/<policy>/evaluate.py`` calls this.

The same starts are used for the policy alone (``act``, at several actuation delays) and for the planner.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from secateur.policy.weights import load_weights
from secateur.simulate.planner import Planner

from .model import TDMPC
from .rollout import Outcome, roll_out
from .training import Recipe

FIRST_SEED = 20_000
"""Training uses 1,000,000 and up, the choice of the checkpoint 10,000 to 10,019."""


def summarise(outcome: Outcome) -> dict[str, float]:
    """Mean, standard deviation and minimum of the return, and the number of successes where there are any."""
    returns = outcome.returns
    row = {
        "return_mean": round(float(returns.mean()), 2),
        "return_sd": round(float(returns.std(ddof=1)), 2) if len(returns) > 1 else 0.0,
        "return_min": round(float(returns.min()), 2),
    }
    return row if outcome.successes is None else row | {"successes": int(outcome.successes.sum())}


def evaluate(
    recipe: Recipe, module: TDMPC, episodes: int, delays: list[int], planner_episodes: int
) -> dict[str, Any]:
    """One entry per controller and delay [physics steps of 10 ms]."""
    seeds = range(FIRST_SEED, FIRST_SEED + episodes)
    report: dict[str, Any] = {
        "first_seed": FIRST_SEED,
        "episodes": episodes,
        "planner_episodes": planner_episodes,
    }
    for delay in delays:
        outcome = roll_out(recipe.make_env, lambda o: module.act(o)["action"], seeds, delay)
        report["act" if delay == 0 else f"act_delay_{10 * delay}ms"] = summarise(outcome)
    if planner_episodes:
        planner = Planner(module, recipe.planner, seed=0)
        planned = roll_out(
            recipe.make_env, lambda o: planner.plan({"observation": o}), seeds[:planner_episodes]
        )
        report["planner"] = summarise(planned)
    return report


def main(recipe: Recipe, weights: Path) -> None:
    """Reads the arguments, evaluates, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=weights)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument(
        "--planner-episodes", type=int, help="default: as many as --episodes; 0 leaves it out"
    )
    parser.add_argument("--delays", type=int, nargs="*", default=[0, 1, 2, 3], help="in steps of 10 ms")
    parser.add_argument(
        "--untrain", choices=["dynamics", "reward", "value"], help="give this component random weights first"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    env = recipe.make_env()
    module = TDMPC(
        env.observation_space.shape[0],
        env.action_space.shape[0],
        recipe.latent,
        recipe.encoder_hidden,
        recipe.hidden,
    )
    load_weights(module, args.weights)
    if args.untrain:
        torch.manual_seed(0)
        getattr(module, args.untrain).apply(lambda m: getattr(m, "reset_parameters", lambda: None)())
    planned = args.episodes if args.planner_episodes is None else args.planner_episodes
    report = evaluate(recipe, module, args.episodes, args.delays, planned)
    print(json.dumps({"weights": args.weights.name, "untrained": args.untrain} | report, indent=1))
