"""Small policies with the things that exports must get right: rates, cameras, states, shared layers."""

import gymnasium
import numpy as np
import torch
from torch import nn

from secateur.policy.policy import Component, Entry, Policy, Task


def _seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = (
            torch.randn(parameter.shape, generator=generator) / max(parameter.shape[-1], 4) ** 0.5
        )
    return module.eval()


class CameraNet(nn.Module):
    """A camera at 10 Hz and a head at the task's rate; the feature map is flattened in torch's order."""

    def __init__(self):
        super().__init__()
        self.perception = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(384, 8),
        )
        self.head = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))

    def look(self, image):
        return self.perception(image)

    def steer(self, features, joints):
        return torch.tanh(self.head(torch.cat([features, joints], 1)))

    def act(self, image, joints):
        return {"action": self.steer(self.look(image), joints)}


def camera_policy(rate_hz=10.0) -> Policy:
    image, joints = torch.rand(1, 3, 32, 32), torch.zeros(1, 4)
    return Policy(
        "camera",
        _seeded(CameraNet()),
        (Component("perception", ("perception",), rate_hz), Component("head", ("head",))),
        (
            Entry("act", CameraNet.act, {"image": image, "joints": joints}),
            Entry("look", CameraNet.look, {"image": image}),
            Entry(
                "steer",
                CameraNet.steer,
                {"features": torch.zeros(1, 8), "joints": joints},
                {"features": ("look",)},
            ),
        ),
    )


class Seeing(gymnasium.Env):
    """Random images and joints; the reward says how close the action is to a fixed function of them."""

    observation_space = gymnasium.spaces.Dict(
        image=gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8),
        joints=gymnasium.spaces.Box(-4, 4, (4,), np.float32),
    )
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def _observe(self):
        return {
            "image": self.np_random.integers(0, 256, (32, 32, 3), dtype=np.uint8),
            "joints": self.np_random.normal(0, 1, 4).astype(np.float32),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 20
        self.seen = self._observe()
        return self.seen, {}

    def step(self, action):
        reward = 1.0 - float(np.abs(action - self.seen["joints"][:2]).mean()) / 4
        self.left -= 1
        self.seen = self._observe()
        return self.seen, reward, self.left == 0, False, {}


def camera_task() -> Task:
    return Task(
        make_env=Seeing,
        to_inputs=lambda seen: {
            "image": (seen["image"].astype(np.float32) / 255.0).transpose(2, 0, 1)[None],
            "joints": (seen["joints"] / 2.0)[None].astype(np.float32),
        },
        to_action=lambda outputs: np.clip(2.0 * outputs["action"][0], -1.0, 1.0),
        control_hz=50,
    )


def camera():
    return camera_policy(), camera_task()


class RecurrentNet(nn.Module):
    """A memory that is fed back, with a scalar head whose range is small beside its inputs."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(3, 8), nn.Linear(8, 1)

    def act(self, observation, state):
        after = self.cell(observation, state)
        return {"action": 0.01 * torch.tanh(self.head(after)), "state": after}


def recurrent_policy() -> Policy:
    inputs = {"observation": torch.zeros(1, 3), "state": torch.zeros(1, 8)}
    return Policy(
        "recurrent",
        _seeded(RecurrentNet()),
        (Component("cell", ("cell",)), Component("head", ("head",))),
        (Entry("act", RecurrentNet.act, inputs, {"state": ("act.state",)}),),
    )


class SharedNet(nn.Module):
    """One layer behind two inputs of very different size: as integers its bias differs between the entries."""

    def __init__(self):
        super().__init__()
        self.encoder, self.other, self.head = nn.Linear(4, 16), nn.Linear(4, 16), nn.Linear(16, 2)

    def act(self, observation):
        return torch.tanh(self.head(torch.relu(self.encoder(observation))))

    def far(self, observation):
        return torch.tanh(self.head(50.0 * torch.relu(self.other(observation))) / 50.0)


def shared_policy() -> Policy:
    inputs = {"observation": torch.zeros(1, 4)}
    return Policy(
        "shared",
        _seeded(SharedNet()),
        (Component("encoders", ("encoder", "other")), Component("head", ("head",))),
        (Entry("act", SharedNet.act, inputs), Entry("far", SharedNet.far, inputs)),
    )


class WideNet(nn.Module):
    """Weights of over 256 KiB as int8."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(16, 600), nn.ReLU(), nn.Linear(600, 600), nn.ReLU(), nn.Linear(600, 1)
        )

    def act(self, observation):
        return self.body(observation)


def wide_policy() -> Policy:
    return Policy(
        "wide",
        _seeded(WideNet()),
        (Component("body", ("body",)),),
        (Entry("act", WideNet.act, {"observation": torch.zeros(1, 16)}),),
    )


class SeparableNet(nn.Module):
    """Depthwise convolutions."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.ReLU(), nn.Conv2d(8, 4, 1)
        )
        self.head = nn.Linear(4, 2)

    def act(self, image):
        return self.head(self.body(image).mean((2, 3)))


def separable_policy() -> Policy:
    return Policy(
        "separable",
        _seeded(SeparableNet()),
        (Component("all", ("body", "head")),),
        (Entry("act", SeparableNet.act, {"image": torch.rand(1, 3, 16, 16)}),),
    )
