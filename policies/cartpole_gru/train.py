"""Trains the recurrent cart-pole: ``python policies/cartpole_gru/train.py --seed 0 --out DIR``.

The teacher is ``act`` of ``tdmpc_cartpole``, which sees velocities. The student acts, the teacher labels what it met
(DAgger, Ross et al. 2011, arXiv 1011.0686), and the student learns from whole episodes by truncated back-propagation
through time (Williams and Peng 1990): gradients reach back ``WINDOW`` steps, the hidden state is carried on.
"""

import csv
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policies.arguments import parsed
from policies.cartpole_gru.environment import SEEN
from policies.cartpole_gru.model import Recurrent
from policies.cartpole_gru.policy import describe, task
from policies.tdmpc.rollout import Late
from policies.tdmpc_cartpole.environment import EPISODE_STEPS, CartPoleSwingUp
from policies.tdmpc_cartpole.policy import policy as teacher_policy

from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts

WINDOW = 25
"""Steps that gradients reach back; one second."""
LATEST = 3
"""Physics steps of 10 ms, below which the delay of an episode is drawn."""
FIRST_TRAINING_SEED = 1_000_000
HELD_OUT = range(10_000, 10_020)
"""Starts that the shipped round is chosen on, as of the teacher."""
COLUMNS = ("env_steps", "updates", "loss", "act_return", "act_success", "act_return_delay_20ms")


@dataclass(frozen=True)
class Settings:
    """How much is learnt.

    Attributes:
        rounds: of acting, labelling and learning; in the first the teacher acts.
        episodes: of a round, side by side.
        passes: over batches of episodes, after each round.
        batch: episodes of a pass.
        learning_rate: at the start; it falls along a cosine to a hundredth.
        width: of all layers.
    """

    rounds: int = 16
    episodes: int = 32
    passes: int = 40
    batch: int = 64
    learning_rate: float = 3e-3
    width: int = 64


@dataclass(frozen=True)
class Episodes:
    """What was seen and what the teacher would have done: ``[episodes, steps, 3]`` and ``[episodes, steps, 1]``."""

    seen: torch.Tensor
    labels: torch.Tensor


def collect(student: Recurrent, seeds: Sequence[int], delays: Sequence[int], teacher_acts: bool) -> Episodes:
    """One episode per seed, all in step, at a delay of its own [physics steps]."""
    teacher = teacher_policy().module
    envs = [Late(CartPoleSwingUp, delay) for delay in delays]
    observations = np.stack([env.reset(seed) for env, seed in zip(envs, seeds)])
    hidden = torch.zeros(len(envs), student.memory.hidden_size)
    seen, labels = [], []
    for _ in range(EPISODE_STEPS):
        whole = torch.from_numpy(observations)
        with torch.no_grad():
            outputs = student.act(whole[:, :SEEN], hidden)
            label = teacher.act(whole)["action"]
        hidden = outputs["hidden"]
        seen.append(whole[:, :SEEN])
        labels.append(label)
        actions = (label if teacher_acts else outputs["action"]).numpy()
        observations = np.stack([env.step(action)[0] for env, action in zip(envs, actions)])
    return Episodes(torch.stack(seen, 1), torch.stack(labels, 1))


def learn(student: Recurrent, data: Episodes, index: torch.Tensor, optimizer: torch.optim.Optimizer) -> float:
    """One pass over some episodes, a gradient step a window; the mean squared error."""
    hidden = torch.zeros(len(index), student.memory.hidden_size)
    losses = []
    for start in range(0, data.seen.shape[1], WINDOW):
        hidden, actions = hidden.detach(), []
        for step in range(start, min(start + WINDOW, data.seen.shape[1])):
            outputs = student.act(data.seen[index, step], hidden)
            hidden = outputs["hidden"]
            actions.append(outputs["action"])
        error = torch.stack(actions, 1) - data.labels[index, start : start + len(actions)]
        loss = error.square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def judge(student: Recurrent, delay_s: float = 0.0) -> tuple[float, float]:
    """Mean return and share of successes over the held-out starts."""
    done = rollouts(task(), torch_controller(describe(student), task()), list(HELD_OUT), delay_s)
    return float(np.mean([t.return_ for t in done])), float(np.mean([bool(t.success) for t in done]))


def train(seed: int, settings: Settings, out: Path) -> None:
    """Writes ``weights.safetensors``, ``learning_curve.csv`` and ``summary.json``."""
    started = time.perf_counter()
    torch.manual_seed(seed)
    generator, draws = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    student = Recurrent(width=settings.width)
    optimizer = torch.optim.Adam(student.parameters(), settings.learning_rate)
    windows = -(-EPISODE_STEPS // WINDOW)
    total = settings.rounds * settings.passes * windows
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, settings.rounds * settings.passes, settings.learning_rate / 100
    )
    data: Episodes | None = None
    rows: list[dict[str, float]] = []
    best = -np.inf
    out.mkdir(parents=True, exist_ok=True)
    for number in range(settings.rounds):
        first = FIRST_TRAINING_SEED + 100_000 * seed + number * settings.episodes
        seeds = range(first, first + settings.episodes)
        delays = draws.integers(0, LATEST, settings.episodes).tolist()
        new = collect(student, seeds, delays, teacher_acts=number == 0)
        data = (
            new
            if data is None
            else Episodes(torch.cat([data.seen, new.seen]), torch.cat([data.labels, new.labels]))
        )
        losses = []
        for _ in range(settings.passes):
            index = torch.randperm(len(data.seen), generator=generator)[: settings.batch]
            losses.append(learn(student, data, index, optimizer))
            schedule.step()
        (plain, success), (late, _) = judge(student), judge(student, 0.02)
        rows.append(
            {
                "env_steps": (number + 1) * settings.episodes * EPISODE_STEPS,
                "updates": (number + 1) * settings.passes * windows,
                "loss": round(float(np.mean(losses)), 5),
                "act_return": round(plain, 2),
                "act_success": success,
                "act_return_delay_20ms": round(late, 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
        if plain + late >= best:
            best = plain + late
            save_file(student.state_dict(), out / "weights.safetensors")
            chosen = number + 1
        with (out / "learning_curve.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    summary = {
        "seed": seed,
        **asdict(settings),
        "updates": total,
        "chosen_round": chosen,
        "wall_s": round(time.perf_counter() - started, 1),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def main() -> None:
    """Reads the arguments and trains."""
    seed, out, (settings,) = parsed(__doc__, Settings)
    train(seed, settings, out)


if __name__ == "__main__":
    main()
