"""The expert: a small network that sees what no robot senses, by PPO (Schulman et al. 2017, arXiv 1707.06347)."""

import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .herd import PRIVILEGED, Herd

FIRST_TRAINING_SEED = 1_000_000
COLUMNS = (
    "env_steps",
    "updates",
    "reward",
    "shaped",
    "falls_per_1000",
    "spread",
    "kl",
    "learning_rate",
    "wall_s",
)


@dataclass(frozen=True)
class PPO:
    """Settings of the expert's training.

    Attributes:
        robots: that act at once.
        horizon: steps of each between updates.
        iterations: collections, each with an update.
        epochs: passes over what was collected.
        batch: samples of a gradient step.
        learning_rate: at the start; it is raised and lowered so that the KL divergence of an update is near ``kl``.
        kl: as is said.
        clip: of the ratio of probabilities.
        discount: of rewards, per step.
        trace: λ of generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438).
        entropy: weight of the bonus for it.
        level_iterations: in which ground grows from level to its roughest.
        width: of the hidden layers.
    """

    robots: int = 128
    horizon: int = 24
    iterations: int = 3000
    epochs: int = 4
    batch: int = 768
    learning_rate: float = 1e-3
    kl: float = 0.01
    clip: float = 0.2
    discount: float = 0.97
    trace: float = 0.95
    entropy: float = 0.002
    level_iterations: int = 600
    width: int = 128


class Expert(nn.Module):
    """Actor and critic on privileged observations ``[n, PRIVILEGED]``."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()

        def layers(outputs: int) -> nn.Sequential:
            return nn.Sequential(
                *(nn.Linear(PRIVILEGED, width), nn.ELU(), nn.Linear(width, width), nn.ELU()),
                nn.Linear(width, outputs),
            )

        self.actor, self.critic = layers(8), layers(1)
        self.log_spread = nn.Parameter(torch.full((8,), -0.7))
        with torch.no_grad():
            self.actor[-1].weight.mul_(0.1)

    def density(self, observation: torch.Tensor) -> torch.distributions.Normal:
        """Of actions."""
        return torch.distributions.Normal(self.actor(observation), self.log_spread.exp())


@dataclass(frozen=True)
class Collected:
    """``[steps, robots, ...]`` of one horizon; ``returns`` and ``advantages`` are λ-returns less or more the values."""

    observations: torch.Tensor
    actions: torch.Tensor
    log_probabilities: torch.Tensor
    means: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


def collect(
    expert: Expert, herd: Herd, settings: PPO, generator: torch.Generator
) -> tuple[Collected, np.ndarray]:
    """One horizon; also the means of reward, shaped reward and falls."""
    rows: list[tuple[torch.Tensor, ...]] = []
    told = []
    for _ in range(settings.horizon):
        seen = torch.from_numpy(herd.privileged())
        with torch.no_grad():
            density, value = expert.density(seen), expert.critic(seen)[:, 0]
            action = density.mean + density.stddev * torch.randn(density.mean.shape, generator=generator)
            probability = density.log_prob(action).sum(1)
            step = herd.step(action.numpy())
            after = expert.critic(torch.from_numpy(step.final))[:, 0]
        reward, fallen = torch.from_numpy(step.shaped.astype(np.float32)), torch.from_numpy(step.fallen)
        ended = torch.from_numpy(step.fallen | step.over)
        delta = reward + settings.discount * after * ~fallen - value
        rows.append((seen, action, probability, density.mean, value, delta, ended))
        told.append((step.reward.mean(), step.shaped.mean(), 1000 * step.fallen.mean()))
    seen, action, probability, mean, value, delta, ended = (torch.stack(column) for column in zip(*rows))
    advantage = torch.zeros_like(delta)
    carried = torch.zeros(delta.shape[1])
    for index in reversed(range(settings.horizon)):
        carried = delta[index] + settings.discount * settings.trace * carried * ~ended[index]
        advantage[index] = carried
    return Collected(seen, action, probability, mean, advantage, advantage + value), np.mean(told, 0)


def improve(
    expert: Expert,
    optimizer: torch.optim.Optimizer,
    data: Collected,
    settings: PPO,
    generator: torch.Generator,
) -> float:
    """One update; the mean KL divergence."""
    flat = [getattr(data, name).flatten(0, 1) for name in Collected.__dataclass_fields__]
    seen, action, old, old_mean, advantage, returns = flat
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
    old_spread = expert.log_spread.detach().exp()
    divergences = []
    for _ in range(settings.epochs):
        for index in torch.randperm(len(seen), generator=generator).split(settings.batch):
            density = expert.density(seen[index])
            ratio = (density.log_prob(action[index]).sum(1) - old[index]).exp()
            clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
            gain = torch.minimum(ratio * advantage[index], clipped * advantage[index]).mean()
            missed = (expert.critic(seen[index])[:, 0] - returns[index]).square().mean()
            loss = -gain + 0.5 * missed - settings.entropy * density.entropy().sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(expert.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                before = torch.distributions.Normal(old_mean[index], old_spread)
                divergence = float(torch.distributions.kl_divergence(before, density).sum(1).mean())
            divergences.append(divergence)
            for group in optimizer.param_groups:
                if divergence > 2 * settings.kl:
                    group["lr"] = max(1e-5, group["lr"] / 1.5)
                elif divergence < settings.kl / 2:
                    group["lr"] = min(3e-3, group["lr"] * 1.5)
    return float(np.mean(divergences))


def train_expert(seed: int, settings: PPO, out: Path, every: int = 20) -> Expert:
    """Trains, or goes on from the checkpoint in ``out``; writes ``expert.pt`` and ``expert_curve.csv`` there."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    expert = Expert(settings.width)
    optimizer = torch.optim.Adam(expert.parameters(), settings.learning_rate)
    checkpoint, curve = out / "expert.pt", out / "expert_curve.csv"
    first, rows, spent = 0, [], 0.0
    if checkpoint.is_file():
        kept = torch.load(checkpoint, weights_only=True)
        expert.load_state_dict(kept["expert"])
        optimizer.load_state_dict(kept["optimizer"])
        first, spent = kept["iteration"], kept["wall_s"]
        with curve.open() as file:
            rows = list(csv.DictReader(file))
    herd = Herd(
        settings.robots,
        FIRST_TRAINING_SEED * (1 + seed) + first * settings.robots,
        np.random.default_rng([seed, first]),
    )
    started = time.perf_counter() - spent
    seen = []
    for number in range(first, settings.iterations):
        herd.roughest = min(1.0, number / max(1, settings.level_iterations))
        data, means = collect(expert, herd, settings, generator)
        seen.append([*means, improve(expert, optimizer, data, settings, generator)])
        if (number + 1) % every and number + 1 < settings.iterations:
            continue
        reward, shaped, falls, divergence = np.mean(seen, 0)
        seen = []
        row = {
            "env_steps": (number + 1) * settings.robots * settings.horizon,
            "updates": (number + 1)
            * settings.epochs
            * -(-settings.robots * settings.horizon // settings.batch),
            "reward": round(float(reward), 4),
            "shaped": round(float(shaped), 4),
            "falls_per_1000": round(float(falls), 3),
            "spread": round(float(expert.log_spread.detach().exp().mean()), 3),
            "kl": round(float(divergence), 4),
            "learning_rate": f"{optimizer.param_groups[0]['lr']:.2g}",
            "wall_s": round(time.perf_counter() - started, 1),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
        kept = {
            "expert": expert.state_dict(),
            "optimizer": optimizer.state_dict(),
            "iteration": number + 1,
            "wall_s": time.perf_counter() - started,
        }
        torch.save(kept, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
        with curve.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    return expert
