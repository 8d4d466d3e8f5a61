"""A small policy that sees at a quarter of its control rate, and the world that it sees."""

import gymnasium
import numpy as np
import torch
from torch import nn

from secateur.policy.policy import Component, Entry, Policy, Task

PERIOD = 4


class Net(nn.Module):
    """A camera, joints, what fuses them, and an estimate of the target that stays behind."""

    def __init__(self):
        super().__init__()
        self.perception = nn.Sequential(
            *(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(54, 8), nn.ReLU()),
        )
        self.proprioception = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
        self.fusion = nn.Sequential(nn.Linear(16, 12), nn.ReLU())
        self.head = nn.Linear(12, 2)
        self.target = nn.Linear(8, 2)

    def see(self, image):
        return self.perception(image)

    def act(self, features, joints):
        fused = self.fusion(torch.cat([features, self.proprioception(joints)], 1))
        return {"action": torch.tanh(self.head(fused))}

    def estimate(self, features):
        return {"where": self.target(features)}


def policy(rate_hz=25.0) -> Policy:
    module, generator = Net(), torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        spread = max(parameter[0].numel(), 4) ** -0.5
        parameter.data = spread * torch.randn(parameter.shape, generator=generator)
    parts = ("perception", "proprioception", "fusion", "head", "target")
    feeds = {"features": ("see",)}
    return Policy(
        "seeing",
        module.eval(),
        tuple(Component(name, (name,), rate_hz if name == "perception" else None) for name in parts),
        (
            Entry("see", Net.see, {"image": torch.zeros(1, 1, 12, 12)}),
            Entry("act", Net.act, {"features": torch.zeros(1, 8), "joints": torch.zeros(1, 3)}, feeds),
            Entry("estimate", Net.estimate, {"features": torch.zeros(1, 8)}, feeds),
        ),
        deployed="act",
    )


class World(gymnasium.Env):
    """A spot that moves, seen at a quarter of the control rate, and a point that is to stay with it."""

    observation_space = gymnasium.spaces.Dict(
        image=gymnasium.spaces.Box(0, 255, (12, 12), np.uint8),
        joints=gymnasium.spaces.Box(-4, 4, (3,), np.float32),
    )
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def _frame(self):
        ticks = np.linspace(-1, 1, 12)
        far = (ticks[None] - self.spot[0]) ** 2 + (ticks[:, None] - self.spot[1]) ** 2
        return np.round(255 * np.exp(-8 * far)).astype(np.uint8)

    def _observe(self):
        if self.steps % PERIOD == 0:
            self.image = self._frame()
        return {"image": self.image, "joints": np.array([*self.point, 0.5], np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.point = 0, np.zeros(2)
        self.spot, self.drift = self.np_random.uniform(-0.7, 0.7, 2), self.np_random.uniform(-0.01, 0.01, 2)
        return self._observe(), {}

    def step(self, action):
        self.steps += 1
        self.spot = np.clip(self.spot + self.drift, -1, 1)
        self.point = np.clip(self.point + 0.05 * np.asarray(action, np.float64), -1, 1)
        reward = 1.0 - 0.3 * float(np.linalg.norm(self.point - self.spot))
        return self._observe(), reward, self.steps == 26, False, {}


def task(control_hz=100.0) -> Task:
    return Task(
        make_env=World,
        to_inputs=lambda seen: {
            "image": (seen["image"][None, None] / 255).astype(np.float32),
            "joints": seen["joints"][None],
        },
        to_action=lambda outputs: outputs["action"][0],
        control_hz=control_hz,
    )


def seeing():
    return policy(), task()
