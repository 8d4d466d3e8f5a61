"""Planning on the robot, with numpy alone: model-predictive path integral control over networks that foresee.

Section 3 of Hansen et al. 2022 (arXiv 2203.04955): sample action sequences, score them by the rewards that the
networks foresee plus the value of where they end, refit a Gaussian to the best. The policy's own plans take part.
The networks are signatures of one .tflite, each for the number of rows that it is called with; ``robot.Policy`` makes
a planner where policy.json describes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Network = Callable[[dict[str, Any]], dict[str, np.ndarray]]
"""Inputs by name → outputs by name, each ``[rows, width]``."""


class Planner:
    """Plans anew at every step, warm-started from its last plan.

    Args:
        networks: (entry, rows) → the network that takes so many rows.
        description: ``planner`` of policy.json: settings, and what entries and inputs are called.
        seed: of the random numbers; they start again with every ``reset``.
        normal: sizes → float32 standard normal numbers, in place of the planner's own.
    """

    def __init__(
        self,
        networks: Mapping[tuple[str, int], Network],
        description: dict[str, Any],
        seed: int = 0,
        normal: Callable[..., np.ndarray] | None = None,
    ) -> None:
        self.networks, self.settings, self.names = networks, description["settings"], description["names"]
        self.output = description["output"]
        self._seed, self._normal = seed, normal or self._drawn
        self.reset()

    def reset(self) -> None:
        """Forgets the last plan, and draws the same random numbers again: for a new episode."""
        self._generator = np.random.default_rng(self._seed)
        self._mean: np.ndarray | None = None

    def __call__(self, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Inputs of the encoder → the action, under the output's name."""
        return {self.output: self.plan(inputs)}

    def plan(self, inputs: dict[str, Any]) -> np.ndarray:
        """Inputs of the encoder → action ``[1, width]``."""
        s = self.settings
        horizon, floor = s["horizon"], np.float32(s["floor_std"])
        start = self._first("encode", 1, inputs)
        followed = self._follow_policy(np.repeat(start, s["policy_samples"], 0), floor)
        each, width = s["samples"] + len(followed), followed.shape[-1]
        mean: Any = np.zeros((horizon, width), np.float32)
        if self._mean is not None:
            mean[:-1] = self._mean[1:]
        highest = np.float32(max(s["start_std"], s["floor_std"]))
        std: Any = np.full_like(mean, highest)
        latent = np.repeat(start, each, 0)
        for _ in range(s["iterations"]):
            drawn = mean + std * self._normal(s["samples"], horizon, width)
            plans = np.concatenate([np.clip(drawn, -1, 1), followed])
            score = self._score(latent, plans)
            best = np.argsort(-score, kind="stable")[: min(s["elites"], each)]
            elite = plans[best]
            weight = np.exp(np.float32(s["temperature"]) * (score[best] - score[best[0]]))
            weight = (weight / weight.sum())[:, None, None]
            fitted = (weight * elite).sum(0)
            spread = np.sqrt((weight * (elite - fitted) ** 2).sum(0))
            momentum = np.float32(s["momentum"])
            mean = momentum * mean + (1 - momentum) * fitted
            std = np.clip(spread, floor, highest)
        self._mean = mean
        return np.clip(mean[:1], -1, 1)

    def _follow_policy(self, latent: np.ndarray, std: np.float32) -> np.ndarray:
        """Latents ``[rows, width]`` → the policy's actions ``[rows, horizon, width]``, with noise ``std``."""
        actions = []
        for _ in range(self.settings["horizon"]):
            action = self._first("choose", len(latent), {self.names["latent"]: latent})
            action = np.clip(action + std * self._normal(*action.shape), -1, 1)
            latent = self._first("next", len(latent), self._inputs(latent, action))
            actions.append(action)
        return np.stack(actions, 1)

    def _score(self, latent: np.ndarray, plans: np.ndarray) -> np.ndarray:
        """Latents ``[rows, width]``, plans ``[rows, horizon, width]`` → foreseen discounted return ``[rows]``."""
        rows, discount = len(latent), 1.0
        total: Any = np.zeros((rows, 1), np.float32)
        for step in range(plans.shape[1]):
            inputs = self._inputs(latent, plans[:, step])
            total = total + np.float32(discount) * self._first("reward", rows, inputs)
            latent = self._first("next", rows, inputs)
            discount *= self.settings["discount"]
        action = self._first("choose", rows, {self.names["latent"]: latent})
        values = self._run("value", rows, self._inputs(latent, action))
        least = np.stack(list(values.values())).min(0)
        return np.nan_to_num(total + np.float32(discount) * least, nan=-1e9)[:, 0]

    def _inputs(self, latent: np.ndarray, action: np.ndarray) -> dict[str, Any]:
        return {self.names["latent"]: latent, self.names["action"]: action}

    def _run(self, entry: str, rows: int, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        return self.networks[self.names[entry], rows](inputs)

    def _first(self, entry: str, rows: int, inputs: dict[str, Any]) -> np.ndarray:
        return next(iter(self._run(entry, rows, inputs).values()))

    def _drawn(self, *sizes: int) -> np.ndarray:
        return self._generator.standard_normal(sizes, np.float32)


def planner_of(
    description: dict[str, Any], file: dict[str, Any], network: Callable[..., Any]
) -> tuple[dict[str, Any], Planner]:
    """The planner whose calls are the signatures of one file, on one interpreter; and the encoder's signature.

    Args:
        description: ``planner`` of policy.json.
        file: its record there.
        network: the record of a signature, and the interpreter of the file where there is one already → network.
    """
    networks: dict[tuple[str, int], Any] = {}
    interpreter = None
    signatures = {signature["name"]: signature for signature in file["signatures"]}
    for call in description["calls"]:
        made = network(signatures[call["signature"]], shared=interpreter)
        interpreter = made.interpreter
        networks[call["entry"], call["rows"]] = made
    return signatures[description["calls"][0]["signature"]], Planner(networks, description)
