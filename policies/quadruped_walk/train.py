"""Trains the quadruped: ``python policies/quadruped_walk/train.py --seed 0 --out DIR``.

First an expert that sees velocities, contacts and ground by PPO (``expert.py``), on ground that grows rougher. Then the
student, which sees what the robot senses: it acts, the expert labels what it met (DAgger, Ross et al. 2011, arXiv
1011.0686), and the student learns action and value from all that is remembered. The expert of a run that was killed
goes on from its last checkpoint.
"""

import csv
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policies.arguments import parsed
from policies.quadruped_walk.environment import COMMAND, FRAME, HISTORY
from policies.quadruped_walk.expert import FIRST_TRAINING_SEED, PPO, Expert, train_expert
from policies.quadruped_walk.herd import Herd
from policies.quadruped_walk.model import Walker
from policies.quadruped_walk.policy import describe, task

from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts

HELD_OUT = range(10_000, 10_020)
"""Episodes that the shipped round is chosen on."""
VALUE_WEIGHT = 0.05
"""Of the squared error of the value beside that of the action."""
COLUMNS = ("env_steps", "updates", "action_loss", "value_loss", "act_return", "act_success", "wall_s")


@dataclass(frozen=True)
class Settings:
    """How much the student learns.

    Attributes:
        rounds: of acting, labelling and learning; in the first the expert acts.
        steps: of each robot in a round.
        passes: gradient steps of a round.
        student_batch: samples of a gradient step.
        remembered: samples at most; the oldest are forgotten.
        student_learning_rate: at the start; it falls along a cosine to a hundredth.
        student_width: of the first convolution.
        judged_every: rounds between judgements on the held-out episodes.
    """

    rounds: int = 50
    steps: int = 50
    passes: int = 150
    student_batch: int = 512
    remembered: int = 160_000
    student_learning_rate: float = 1e-3
    student_width: int = 128
    judged_every: int = 5


class Memory:
    """What was met and what the expert says of it; a ring."""

    def __init__(self, size: int) -> None:
        self.rows = {
            "history": torch.zeros(size, FRAME, HISTORY),
            "command": torch.zeros(size, COMMAND),
            "action": torch.zeros(size, 8),
            "value": torch.zeros(size, 1),
        }
        self.size, self.next, self.count = size, 0, 0

    def add(self, **rows: torch.Tensor) -> None:
        """Takes rows ``[n, ...]``."""
        count = len(rows["action"])
        place = (self.next + torch.arange(count)) % self.size
        for name, tensor in rows.items():
            self.rows[name][place] = tensor
        self.next, self.count = (self.next + count) % self.size, min(self.count + count, self.size)

    def draw(self, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Some of them."""
        index = torch.randint(0, self.count, (count,), generator=generator)
        return {name: tensor[index] for name, tensor in self.rows.items()}


def meet(student: Walker, expert: Expert, herd: Herd, memory: Memory, steps: int, expert_acts: bool) -> None:
    """Acts for some steps and remembers them, labelled."""
    for _ in range(steps):
        history, command = torch.from_numpy(herd.history), torch.from_numpy(herd.told())
        seen = torch.from_numpy(herd.privileged())
        with torch.no_grad():
            label, value = expert.actor(seen).clamp(-1, 1), expert.critic(seen)
            memory.add(history=history, command=command, action=label, value=value)
            action = label if expert_acts else student.act(history, command)
        herd.step(action.numpy())


def learn(
    student: Walker, drawn: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer
) -> tuple[float, float]:
    """One gradient step; the mean squared errors of action and value."""
    fused = student.fused(drawn["history"], drawn["command"])
    missed = (torch.tanh(student.actor(fused)) - drawn["action"]).square().mean()
    misjudged = (student.critic(fused) - drawn["value"]).square().mean()
    optimizer.zero_grad(set_to_none=True)
    (missed + VALUE_WEIGHT * misjudged).backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimizer.step()
    return float(missed.detach()), float(misjudged.detach())


def judge(student: Walker) -> tuple[float, float]:
    """Mean return and share of successes over the held-out episodes."""
    done = rollouts(task(), torch_controller(describe(student), task()), list(HELD_OUT))
    return float(np.mean([t.return_ for t in done])), float(np.mean([bool(t.success) for t in done]))


def distil(seed: int, expert: Expert, robots: int, settings: Settings, out: Path) -> int:
    """Writes ``weights.safetensors`` and ``learning_curve.csv``; the round that was chosen."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    student = Walker(width=settings.student_width)
    optimizer = torch.optim.Adam(student.parameters(), settings.student_learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, max(1, settings.rounds * settings.passes), settings.student_learning_rate / 100
    )
    herd = Herd(robots, FIRST_TRAINING_SEED * (1 + seed) + 500_000, np.random.default_rng([seed, 0xDA]))
    memory = Memory(settings.remembered)
    started, rows, losses, best, chosen = time.perf_counter(), [], [], -np.inf, 0
    for number in range(1, settings.rounds + 1):
        meet(student, expert, herd, memory, settings.steps, expert_acts=number == 1)
        for _ in range(settings.passes):
            losses.append(learn(student, memory.draw(settings.student_batch, generator), optimizer))
            schedule.step()
        if number % settings.judged_every and number < settings.rounds:
            continue
        (return_, success), (missed, misjudged) = judge(student), np.mean(losses, 0)
        losses = []
        row = {
            "env_steps": number * robots * settings.steps,
            "updates": number * settings.passes,
            "action_loss": round(float(missed), 5),
            "value_loss": round(float(misjudged), 5),
            "act_return": round(return_, 2),
            "act_success": success,
            "wall_s": round(time.perf_counter() - started, 1),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
        if return_ >= best:
            best, chosen = return_, number
            save_file(student.state_dict(), out / "weights.safetensors")
        with (out / "learning_curve.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    return chosen


def train(seed: int, ppo: PPO, settings: Settings, out: Path) -> None:
    """Both, and ``summary.json``."""
    out.mkdir(parents=True, exist_ok=True)
    expert = train_expert(seed, ppo, out)
    chosen = distil(seed, expert, ppo.robots, settings, out)
    summary = {"seed": seed, **asdict(ppo), **asdict(settings), "chosen_round": chosen}
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def main() -> None:
    """Reads the arguments and trains."""
    seed, out, (ppo, settings) = parsed(__doc__, PPO, Settings)
    train(seed, ppo, settings, out)


if __name__ == "__main__":
    main()
