"""Trains the camera arm: ``python policies/arm_reach_camera/train.py --seed 0 --out DIR``. Stopped, it goes on.

First the student learns from states drawn about the expert's way. Then it acts; the expert, who knows where the cube
is, labels what it met (DAgger, Ross et al. 2011, arXiv 1011.0686); and it learns from all of that. An auxiliary head
learns to tell where the cube is, from the features alone.
"""

import csv
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policies.arguments import parsed
from policies.arm_reach_camera.environment import EPISODE_STEPS, ArmReach
from policies.arm_reach_camera.episodes import Frames, as_input, drawn, joined, met
from policies.arm_reach_camera.expert import Expert
from policies.arm_reach_camera.model import CameraReacher

LATEST = 3
"""Control steps of 10 ms, below which the delay of an episode is drawn."""
FIRST_TRAINING_SEED = 1_000_000
HELD_OUT = range(10_000, 10_032)
"""Starts that the shipped round is chosen on."""
LANES = 16
COLUMNS = (
    "env_steps",
    "frames",
    "updates",
    "loss",
    "act_return",
    "act_success",
    "distance_mm",
    "estimate_mm",
)


@dataclass(frozen=True)
class Settings:
    """How much is learnt.

    Attributes:
        drawn: frames in the first round.
        rounds: with the student's own episodes, after it.
        episodes: of such a round.
        first_updates: of the first round.
        updates: of each other.
        batch: frames of an update.
        learning_rate: at its highest; it rises over the first 200 updates and falls along a cosine.
        estimate_weight: of the auxiliary loss.
    """

    drawn: int = 40_000
    rounds: int = 8
    episodes: int = 192
    first_updates: int = 3000
    updates: int = 600
    batch: int = 128
    learning_rate: float = 2e-3
    estimate_weight: float = 0.5


class Learner:
    """A student with all that its training goes on from."""

    def __init__(self, seed: int, settings: Settings) -> None:
        torch.manual_seed(seed)
        self.settings = settings
        self.student = CameraReacher().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(
            self.student.parameters(), settings.learning_rate, weight_decay=1e-4
        )
        total = settings.first_updates + settings.rounds * settings.updates
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda n: (
                min(1.0, (n + 1) / 200) * (0.01 + 0.99 * 0.5 * float(1 + np.cos(np.pi * min(n / total, 1))))
            ),
        )
        self.random = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.rows: list[dict[str, float]] = []
        self.best = -np.inf
        self.chosen = 0

    def learn(self, data: Frames, updates: int) -> float:
        """So many updates on frames drawn at random; the mean loss."""
        losses = []
        self.student.train()
        for index in self._batches(len(data.images), updates):
            images = coloured(as_input(data.images[index]), self.generator)
            joints, actions, places = (
                torch.from_numpy(array[index]) for array in (data.joints, data.actions, data.places)
            )
            features = self.student.see(images)
            held = joints.shape[1]
            answers = self.student.act(features.repeat_interleave(held, 0), joints.flatten(0, 1))["action"]
            loss = functional.smooth_l1_loss(answers, actions.flatten(0, 1), beta=0.05)
            where = functional.smooth_l1_loss(self.student.estimate(features), places, beta=0.05)
            self.optimizer.zero_grad(set_to_none=True)
            (loss + self.settings.estimate_weight * where).backward()
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
            losses.append(float(loss.detach()))
        self.student.eval()
        return float(np.mean(losses))

    def _batches(self, count: int, updates: int) -> Iterator[np.ndarray]:
        for _ in range(updates):
            yield torch.randint(count, (self.settings.batch,), generator=self.generator).numpy()

    def state(self) -> dict[str, object]:
        """All of it, for a checkpoint."""
        return {
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "random": json.dumps(self.random.bit_generator.state),
            "generator": self.generator.get_state(),
            "rows": self.rows,
            "best": float(self.best),
            "chosen": self.chosen,
        }

    def go_on_from(self, path: Path) -> None:
        """Reads a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]
        self.random.bit_generator.state = json.loads(state["random"])
        self.generator.set_state(state["generator"])
        self.rows, self.best, self.chosen = state["rows"], state["best"], state["chosen"]


def coloured(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images ``[n, h, w, 3]`` in [0, 1] with gains, brightness and noise of their own, to the camera's 8 bits."""
    count, height, width, _ = images.shape
    gain = 0.85 + 0.3 * torch.rand(count, 3, 1, 1, generator=generator)
    shift = 0.1 * (torch.rand(count, 1, 1, 1, generator=generator) - 0.5)
    noise = 0.02 * torch.randn(count, 3, height, width, generator=generator)
    noise = noise * torch.rand(count, 1, 1, 1, generator=generator)
    return (images.permute(0, 3, 1, 2) * gain + shift + noise).clamp(0, 1).permute(0, 2, 3, 1).contiguous()


def train(seed: int, settings: Settings, out: Path) -> None:
    """Writes ``weights.safetensors``, ``learning_curve.csv`` and ``summary.json``; keeps rounds and a checkpoint."""
    started = time.process_time()
    out.mkdir(parents=True, exist_ok=True)
    learner, expert = Learner(seed, settings), Expert()
    if (checkpoint := out / "checkpoint.pt").is_file():
        learner.go_on_from(checkpoint)
    envs = [ArmReach() for _ in range(min(LANES, settings.episodes))]
    parts = [_kept(out / f"round_{number}.npz") for number in range(len(learner.rows))]
    first = FIRST_TRAINING_SEED + 100_000 * seed
    for number in range(len(learner.rows), settings.rounds + 1):
        if number == 0:
            parts.append(drawn(envs[0], expert, settings.drawn, learner.random))
        else:
            begin = first + (number - 1) * settings.episodes
            parts.append(_acted(envs, expert, learner, range(begin, begin + settings.episodes)))
        np.savez(out / f"round_{number}.npz", **parts[-1].arrays)
        data = joined(parts)
        loss = learner.learn(data, settings.first_updates if number == 0 else settings.updates)
        held = [
            met(envs, expert, learner.student, HELD_OUT[at : at + len(envs)], [0] * len(envs))[1]
            for at in range(0, len(HELD_OUT), len(envs))
        ]
        mean = {name: float(np.mean([part[name] for part in held])) for name in held[0]}
        learner.rows.append(
            {
                "env_steps": number * settings.episodes * EPISODE_STEPS,
                "frames": len(data.images),
                "updates": settings.first_updates + number * settings.updates,
                "loss": round(loss, 5),
                "act_return": round(mean["return"], 2),
                "act_success": round(mean["success"], 4),
                "distance_mm": round(1000 * mean["distance_m"], 2),
                "estimate_mm": round(1000 * mean["estimate_m"], 2),
            }
        )
        print(json.dumps(learner.rows[-1] | {"cpu_s": round(time.process_time() - started)}), flush=True)
        if mean["return"] >= learner.best:
            learner.best, learner.chosen = mean["return"], number
            state = {name: tensor.contiguous() for name, tensor in learner.student.state_dict().items()}
            save_file(state, out / "weights.safetensors")
        with (out / "learning_curve.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(learner.rows)
        torch.save(learner.state(), out / "checkpoint.tmp")
        os.replace(out / "checkpoint.tmp", checkpoint)
    summary = {
        "seed": seed,
        **asdict(settings),
        "total_updates": learner.rows[-1]["updates"],
        "chosen_round": learner.chosen,
        "cpu_s": round(time.process_time() - started, 1),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    for env in envs:
        env.close()


def _acted(envs: list[ArmReach], expert: Expert, learner: Learner, seeds: range) -> Frames:
    """A round of the student's own episodes, so many at a time as there are environments."""
    delays = learner.random.integers(0, LATEST, len(seeds)).tolist()
    return joined(
        [
            met(envs, expert, learner.student, seeds[at : at + len(envs)], delays[at : at + len(envs)])[0]
            for at in range(0, len(seeds), len(envs))
        ]
    )


def _kept(path: Path) -> Frames:
    with np.load(path) as file:
        return Frames(**{name: file[name] for name in file.files})


def main() -> None:
    """Reads the arguments and trains."""
    seed, out, (settings,) = parsed(__doc__, Settings)
    train(seed, settings, out)


if __name__ == "__main__":
    main()
