"""Trains TD-MPC: ``python policies/<policy>/train.py --seed 0 --out DIR`` calls this with its recipe.

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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from secateur.policy.planning import PlannerSettings
from secateur.simulate.planner import Planner

from .learner import Learner, LearnerSettings
from .model import TDMPC
from .replay import Replay
from .rollout import Late, MakeEnv, roll_out

ENVIRONMENTS = 8
HELD_OUT_SEEDS = range(10_000, 10_020)
"""Start states that choose the checkpoint; the final evaluation uses others."""


@dataclass(frozen=True)
class Recipe:
    """What differs from task to task; the options that follow are defaults of the command line.

    Attributes:
        make_env: a new environment, a MujocoEnv with episodes of ``episode_steps`` that never end early.
        episode_steps: control steps of an episode.
        best_return: what a return is divided by when checkpoints are compared.
        planner: the planner's settings, in training and evaluation.
        planning: in how many of the 8 environments the planner acts; in the others the policy does, to meet its own
            mistakes.
        judged_delays: delays [physics steps] under which checkpoints are judged.
        steps, updates_per_step, most_delay, saturation, batch, latent, encoder_hidden, hidden: see ``--help``.
    """

    make_env: MakeEnv
    episode_steps: int
    best_return: float
    planner: PlannerSettings = field(default_factory=PlannerSettings)
    planning: int = 4
    judged_delays: tuple[int, ...] = (0, 2)
    steps: int = 36_000
    updates_per_step: float = 1.0
    most_delay: int = 2
    saturation: float = 0.0
    batch: int = 128
    latent: int = 50
    encoder_hidden: int = 256
    hidden: int = 512


class Run:
    """One training run in one folder."""

    def __init__(self, recipe: Recipe, args: argparse.Namespace) -> None:
        """Prepares a new run, or the rest of the one that stopped in ``args.out``."""
        self.recipe, self.args, self.out = recipe, args, Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.rounds = max(2, args.steps // (ENVIRONMENTS * recipe.episode_steps))
        env = recipe.make_env()
        (self.observation_size,), (self.action_size,) = env.observation_space.shape, env.action_space.shape
        torch.manual_seed(args.seed)
        self.generator = torch.Generator().manual_seed(args.seed)
        settings = LearnerSettings(batch=args.batch, saturation=args.saturation)
        model = TDMPC(
            self.observation_size,
            self.action_size,
            latent_size=args.latent,
            encoder_hidden=args.encoder_hidden,
            hidden=args.hidden,
        )
        self.learner = Learner(model, settings, self.generator)
        self.replay = Replay(
            self.rounds * recipe.episode_steps,
            ENVIRONMENTS,
            recipe.episode_steps,
            self.observation_size,
            self.action_size,
        )
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
        envs = [Late(self.recipe.make_env, delay) for delay in delays]
        first = [env.reset(start_seed + i) for i, env in enumerate(envs)]
        observation = torch.from_numpy(np.stack(first))
        planner = self._planner()
        for step in range(self.recipe.episode_steps):
            done = self.round + step / self.recipe.episode_steps
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
            replace(self.recipe.planner, horizon=grown),
            seed=1_000_000 * (self.args.seed + 1) + self.round,
        )

    def _explore(self, observation: torch.Tensor, planner: Planner, done: float) -> torch.Tensor:
        if self.round == 0:
            return 2 * torch.rand(ENVIRONMENTS, self.action_size, generator=self.generator) - 1
        std = 0.5 - 0.45 * self._early(done)
        planned = planner.plan(
            {"observation": observation[: self.recipe.planning]}, floor_std=std, explore=True
        )
        with torch.no_grad():
            own = self.learner.model.act(observation[self.recipe.planning :])["action"]
        own = own + std * torch.randn(own.shape, generator=self.generator)
        return torch.cat([planned, own.clamp(-1, 1)])

    def _update(self, done: float) -> None:
        settings = self.learner.settings
        cooling = max(0.0, (done / self.rounds - 0.4) / 0.6)
        rate = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * cooling))
        due = int(
            (done + 1 / self.recipe.episode_steps) * self.recipe.episode_steps * self.args.updates_per_step
        )
        while self.learner.updates + int(self.recipe.episode_steps * self.args.updates_per_step) < due:
            batch = self.replay.sample(settings.batch, settings.horizon, self.generator)
            priority, self.losses = self.learner.update(batch, rate)
            self.replay.set_priority(batch.index, priority)

    def _early(self, done: float) -> float:
        """0 at the start, 1 from 40 % of the run on."""
        return min(1.0, done / (0.4 * self.rounds))

    def _evaluate(self) -> None:
        """The averaged copy on held-out starts, with and without delay; every fourth round also planning."""
        model, recipe = self.learner.average, self.recipe
        row: dict[str, float] = {
            "env_steps": self.round * recipe.episode_steps * ENVIRONMENTS,
            "updates": self.learner.updates,
        }
        score = 0.0
        for delay in recipe.judged_delays:
            outcome = roll_out(recipe.make_env, lambda o: model.act(o)["action"], HELD_OUT_SEEDS, delay)
            late = f"_delay_{10 * delay}ms" if delay else ""
            row[f"act_return{late}"] = round(float(outcome.returns.mean()), 2)
            score += float(outcome.returns.mean()) / recipe.best_return
            if outcome.successes is not None:
                row[f"act_success{late}"] = float(outcome.successes.mean())
                score += row[f"act_success{late}"]
        row["planner_return"] = math.nan
        if self.round % 4 == 0 or self.round == self.rounds:
            planner = Planner(model, recipe.planner, seed=0)
            planned = roll_out(
                recipe.make_env, lambda o: planner.plan({"observation": o}), HELD_OUT_SEEDS[:4]
            )
            row["planner_return"] = round(float(planned.returns.mean()), 2)
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
        self.replay.filled = state["round"] * self.recipe.episode_steps
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


def main(recipe: Recipe) -> None:
    """Reads the arguments and trains."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="folder for weights, curve and checkpoint")
    parser.add_argument("--stop-after", type=int, help="stop early after so many rounds, to go on later")
    for name, meaning in (
        ("steps", "environment steps; whole episodes are run"),
        ("updates_per_step", "updates per step of the 8 environments"),
        ("most_delay", "training episodes have 0..N physics steps of delay"),
        ("saturation", "weight of the loss on a saturated policy"),
        ("batch", "stretches of experience per update"),
        ("latent", "width of the latent"),
        ("encoder_hidden", "width of the encoder's hidden layer"),
        ("hidden", "width of all other hidden layers"),
    ):
        default = getattr(recipe, name)
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default, help=meaning)
    args = parser.parse_args()
    torch.set_num_threads(1)
    Run(recipe, args).train()
