"""A point on a line under a planner, all of it small: five networks that were fitted to what is exactly known."""

from functools import cache
from itertools import pairwise

import gymnasium
import numpy as np
import torch
from torch import nn

from secateur.policy.planning import PlannerSettings, Planning
from secateur.policy.policy import Component, Entry, Policy, Task

PARTS = ("encoder", "dynamics", "reward", "value", "policy")
SETTINGS = PlannerSettings(horizon=3, samples=24, policy_samples=4, elites=6, iterations=2)
REACH = 0.25


class Point(gymnasium.Env):
    """x' = x + 0.25 a, reward 1 − x'²; it begins away from zero."""

    observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.left = self.np_random.uniform(0.5, 1, 1) * self.np_random.choice([-1, 1]), 16
        return self.x.astype(np.float32), {}

    def step(self, action):
        self.x = self.x + REACH * float(np.clip(action, -1, 1)[0])
        self.left -= 1
        return self.x.astype(np.float32), float(1 - self.x[0] ** 2), False, self.left == 0, {}


def mlp(*sizes):
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.dynamics = mlp(1, 20, 12), mlp(13, 40, 12)
        self.reward, self.policy = mlp(13, 36, 1), nn.Sequential(*mlp(12, 28, 1), nn.Tanh())
        self.value = nn.ModuleList([mlp(13, 32, 1), mlp(13, 44, 1)])

    def encode(self, observation):
        return self.encoder(observation)

    def next(self, latent, action):
        return self.dynamics(torch.cat([latent, action], -1))

    def reward_of(self, latent, action):
        return self.reward(torch.cat([latent, action], -1))

    def value_of(self, latent, action):
        both = torch.cat([latent, action], -1)
        return {"q1": self.value[0](both), "q2": self.value[1](both)}

    def action_of(self, latent):
        return self.policy(latent)

    def act(self, observation):
        return {"action": self.policy(self.encoder(observation))}


@cache
def fitted() -> Model:
    """Fitted to what is known of the point; the policy stands still, so that planning is what moves it."""
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(900):
        x, a = 3 * torch.rand(128, 1) - 1.5, 2 * torch.rand(128, 1) - 1
        after, latent = x + REACH * a, model.encode(x)
        losses = [(model.next(latent, a) - model.encode(after)).square().mean()]
        losses += [(model.reward_of(latent, a) - (1 - after**2)).square().mean()]
        losses += [(q + 2 * after**2).square().mean() for q in model.value_of(latent, a).values()]
        losses += [0.1 * model.action_of(latent).square().mean()]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    return model.eval()


def policy() -> Policy:
    module, observation = fitted(), torch.tensor([[0.7]])
    with torch.no_grad():
        latent = module.encode(observation)
    both, feeds = {"latent": latent, "action": torch.tensor([[0.5]])}, {"latent": ("encode", "next")}
    return Policy(
        "point",
        module,
        tuple(Component(part, (part,)) for part in PARTS),
        (
            Entry("act", Model.act, {"observation": observation}),
            Entry("encode", Model.encode, {"observation": observation}),
            Entry("next", Model.next, both, feeds=feeds),
            Entry("reward", Model.reward_of, both, feeds=feeds),
            Entry("value", Model.value_of, both, feeds=feeds),
            Entry("choose", Model.action_of, {"latent": latent}, feeds=feeds),
        ),
        planning=Planning(settings=SETTINGS),
    )


def task() -> Task:
    return Task(
        Point,
        lambda o: {"observation": np.asarray(o, np.float32).reshape(1, -1)},
        lambda out: np.asarray(next(iter(out.values())), np.float32).reshape(-1),
        control_hz=25.0,
    )


def point() -> tuple[Policy, Task]:
    """As ``point_planner:point`` for the command line."""
    return policy(), task()


def without_planning() -> tuple[Policy, Task]:
    """The same without a planner."""
    whole = policy()
    return Policy(whole.name, whole.module, whole.components, whole.entries), task()
