"""Trains TD-MPC on the cart-pole: ``python policies/tdmpc_cartpole/train.py --seed 0 --out DIR``.

The same seed, steps and widths give the same weights. A run that was killed goes on from its last episodes
when started again with the same ``--out``. Written there: ``weights.safetensors`` (the best so far),
``learning_curve.csv``, ``summary.json`` (at the end) and ``checkpoint.pt`` (to resume).
"""

import argparse
import csv
import json
import math
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import EPISODE_STEPS
from learner import Learner, LearnerSettings
from model import TDMPC
from planner import Planner, PlannerSettings
from replay import Replay
from rollout import DelayedCartPole, roll_out
from safetensors.torch import save_file

ENVIRONMENTS = 8
PLANNING = 4
"""In how many of them the planner acts; in the others the policy does, to meet its own mistakes."""
HELD_OUT_SEEDS = range(10_000, 10_020)
"""Start states that choose the checkpoint; the final evaluation uses others."""


class Run:
    """One training run in one folder."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Prepares a new run, or the rest of the one that stopped in ``args.out``."""
        self.args, self.out = args, Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.rounds = max(2, args.steps // (ENVIRONMENTS * EPISODE_STEPS))
        torch.manual_seed(args.seed)
        self.generator = torch.Generator().manual_seed(args.seed)
        settings = LearnerSettings(batch=args.batch, saturation=args.saturation)
        model = TDMPC(latent_size=args.latent, encoder_hidden=args.encoder_hidden, hidden=args.hidden)
        self.learner = Learner(model, settings, self.generator)
        self.replay = Replay(self.rounds * EPISODE_STEPS, ENVIRONMENTS, EPISODE_STEPS)
        self.curve: list[dict[str, float]] = []
        self.best = -math.inf
        self.round = 0
        self.spent_s = 0.0
        self._resume()

    def train(self) -> None:
        """Runs to the end, writing everything after each round of episodes."""
        while self.round < self.rounds:
            if self.round == self.args.stop_after:
                return
            started = time.perf_counter()
            self._one_round()
            self.round += 1
            self._evaluate()
            self.spent_s += time.perf_counter() - started
            self._save()
            print(json.dumps(self.curve[-1] | {"wall_s": round(self.spent_s)}), flush=True)
        summary = {
            "arguments": _plain(self.args),
            "learner": asdict(self.learner.settings),
            "wall_s": self.spent_s,
        }
        _write(self.out / "summary.json", json.dumps(summary | {"best_score": self.best}, indent=1).encode())

    def _one_round(self) -> None:
        """One episode in each environment, an update after each step once there is experience."""
        start_seed = 1_000_000 * (self.args.seed + 1) + self.round * ENVIRONMENTS
        delays = torch.randint(self.args.most_delay + 1, (ENVIRONMENTS,), generator=self.generator).tolist()
        envs = [DelayedCartPole(delay) for delay in delays]
        first = [env.reset(seed=start_seed + i)[0] for i, env in enumerate(envs)]
        observation = torch.from_numpy(np.stack(first))
        planner = self._planner()
        for step in range(EPISODE_STEPS):
            done = self.round + step / EPISODE_STEPS
            action = self._explore(observation, planner, done)
            results = [env.step(a) for env, a in zip(envs, action.numpy())]
            following = torch.from_numpy(np.stack([r[0] for r in results]))
            reward = torch.tensor([[r[1]] for r in results], dtype=torch.float32)
            self.replay.add(observation, action, reward, following)
            observation = following
            if self.round > 0:
                self._update(done)

    def _planner(self) -> Planner:
        grown = 1 + int(4 * self._early(self.round))
        return Planner(
            self.learner.model,
            replace(PlannerSettings(), horizon=grown),
            seed=1_000_000 * (self.args.seed + 1) + self.round,
        )

    def _explore(self, observation: torch.Tensor, planner: Planner, done: float) -> torch.Tensor:
        if self.round == 0:
            return 2 * torch.rand(ENVIRONMENTS, 1, generator=self.generator) - 1
        std = 0.5 - 0.45 * self._early(done)
        planned = planner.plan(observation[:PLANNING], floor_std=std, explore=True)
        with torch.no_grad():
            own = self.learner.model.act(observation[PLANNING:])["action"]
        own = own + std * torch.randn(own.shape, generator=self.generator)
        return torch.cat([planned, own.clamp(-1, 1)])

    def _update(self, done: float) -> None:
        settings = self.learner.settings
        cooling = max(0.0, (done / self.rounds - 0.4) / 0.6)
        rate = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * cooling))
        due = int((done + 1 / EPISODE_STEPS) * EPISODE_STEPS * self.args.updates_per_step)
        while self.learner.updates + int(EPISODE_STEPS * self.args.updates_per_step) < due:
            batch = self.replay.sample(settings.batch, settings.horizon, self.generator)
            priority, self.losses = self.learner.update(batch, rate)
            self.replay.set_priority(batch.index, priority)

    def _early(self, done: float) -> float:
        """0 at the start, 1 from 40 % of the run on."""
        return min(1.0, done / (0.4 * self.rounds))

    def _evaluate(self) -> None:
        """The averaged copy on held-out starts, with and without delay; every fourth round also planning."""
        model = self.learner.average
        outcomes = [roll_out(lambda o: model.act(o)["action"], HELD_OUT_SEEDS, delay) for delay in (0, 2)]
        score = sum(float(o.successes.mean()) + float(o.returns.mean()) / 250 for o in outcomes)
        row: dict[str, float] = {
            "env_steps": self.round * EPISODE_STEPS * ENVIRONMENTS,
            "updates": self.learner.updates,
            "act_return": round(float(outcomes[0].returns.mean()), 2),
            "act_success": float(outcomes[0].successes.mean()),
            "act_return_delay_20ms": round(float(outcomes[1].returns.mean()), 2),
            "act_success_delay_20ms": float(outcomes[1].successes.mean()),
            "planner_return": math.nan,
            "planner_success": math.nan,
        }
        if self.round % 4 == 0 or self.round == self.rounds:
            planned = roll_out(Planner(model, seed=0).plan, HELD_OUT_SEEDS[:4])
            row["planner_return"] = round(float(planned.returns.mean()), 2)
            row["planner_success"] = float(planned.successes.mean())
        self.curve.append(row | {k: round(v, 5) for k, v in getattr(self, "losses", {}).items()})
        if score >= self.best:
            self.best = score
            temporary = self.out / "weights.safetensors.tmp"
            save_file(model.state_dict(), temporary, metadata={"seed": str(self.args.seed)})
            os.replace(temporary, self.out / "weights.safetensors")

    def _save(self) -> None:
        _write_curve(self.out / "learning_curve.csv", self.curve)
        state = {
            "learner": self.learner.state(),
            "replay": {k: v[: self.replay.filled].clone() for k, v in self.replay.tensors.items()},
            "generator": self.generator.get_state(),
            "curve": self.curve,
            "best": self.best,
            "round": self.round,
            "spent_s": self.spent_s,
            "arguments": _plain(self.args),
        }
        temporary = self.out / "checkpoint.pt.tmp"
        torch.save(state, temporary)
        os.replace(temporary, self.out / "checkpoint.pt")

    def _resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["arguments"] != _plain(self.args):
            raise SystemExit(
                f"{path} is of a run with other arguments ({state['arguments']}); choose another --out"
            )
        self.learner.restore(state["learner"])
        for name, value in state["replay"].items():
            self.replay.tensors[name][: len(value)] = value
        self.replay.filled = state["round"] * EPISODE_STEPS
        self.generator.set_state(state["generator"])
        self.curve, self.best = state["curve"], state["best"]
        self.round, self.spent_s = state["round"], state["spent_s"]


def _plain(args: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(args).items() if name not in ("out", "stop_after")}


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _write_curve(path: Path, rows: list[dict[str, float]]) -> None:
    names = max(rows, key=len).keys()
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def main() -> None:
    """Reads the arguments and trains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="folder for weights, curve and checkpoint")
    parser.add_argument("--steps", type=int, default=36_000, help="environment steps; whole episodes are run")
    parser.add_argument(
        "--updates-per-step", type=float, default=1.0, help="updates per step of the 8 environments"
    )
    parser.add_argument(
        "--most-delay", type=int, default=2, help="training episodes have 0..N x 10 ms of delay"
    )
    parser.add_argument(
        "--saturation", type=float, default=0.0, help="weight of the loss on a saturated policy"
    )
    parser.add_argument("--stop-after", type=int, help="stop early after so many rounds, to go on later")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--latent", type=int, default=50)
    parser.add_argument("--encoder-hidden", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=512)
    args = parser.parse_args()
    torch.set_num_threads(1)
    Run(args).train()


if __name__ == "__main__":
    main()
