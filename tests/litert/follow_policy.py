"""A small controller that says the mean of what it sees, and a task that pays for it: runs take seconds."""

from functools import cache

import gymnasium
import numpy as np
import torch
from torch import nn

from secateur.policy.policy import Component, Entry, Policy, Task


class Follow(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        self.seen = self.np_random.uniform(-1, 1, 4).astype(np.float32)
        return self.seen, {}

    def _next(self):
        """Little changes in a step, so that an action may come one late."""
        self.seen = np.clip(self.seen + self.np_random.normal(0, 0.02, 4), -1, 1).astype(np.float32)
        return self.seen

    def step(self, action):
        reward = 1.0 - abs(float(action[0]) - float(self.seen.mean()))
        self.count += 1
        return self._next(), reward, False, self.count >= 20, {}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1))

    def act(self, observation):
        return self.head(self.encoder(observation))


@cache
def fitted():
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(300):
        seen = 2 * torch.rand(128, 4) - 1
        optimizer.zero_grad()
        ((net.act(seen) - seen.mean(1, keepdim=True)) ** 2).mean().backward()
        optimizer.step()
    return net.eval()


def follow():
    parts = (Component("encoder", ("encoder",)), Component("head", ("head",)))
    entry = Entry("act", Net.act, {"observation": torch.zeros(1, 4)})
    task = Task(
        make_env=Follow,
        to_inputs=lambda seen: {"observation": seen[None]},
        to_action=lambda outputs: np.clip(outputs["act"][0], -1, 1),
        control_hz=50,
    )
    return Policy("follow", fitted(), parts, (entry,)), task
