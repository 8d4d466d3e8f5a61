"""Multi-component policies of many kinds, to trace and to cut."""

import torch
from hypothesis import strategies as st
from torch import nn

from secateur.policy.policy import Component, Entry, Policy


class WorldModel(nn.Module):
    """Five components around one latent, as in TD-MPC."""

    def __init__(self, latent: int = 6, hidden: int = 9, observed: int = 4) -> None:
        super().__init__()

        def mlp(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Linear(hidden, outputs),
            )

        self.encoder = nn.Sequential(nn.Linear(observed, hidden), nn.ReLU(), nn.Linear(hidden, latent))
        self.dynamics = mlp(latent + 1, latent)
        self.reward = mlp(latent + 1, 1)
        self.value = nn.ModuleList([mlp(latent + 1, 1), mlp(latent + 1, 1)])
        self.policy = mlp(latent, 1)

    def act(self, observation):
        return torch.tanh(self.policy(self.encoder(observation)))

    def encode(self, observation):
        return self.encoder(observation)

    def next(self, latent, action):
        return self.dynamics(torch.cat([latent, action], -1))

    def reward_of(self, latent, action):
        return self.reward(torch.cat([latent, action], -1))

    def value_of(self, latent, action):
        return torch.stack([q(torch.cat([latent, action], -1)) for q in self.value])


def world_model(latent: int = 6, hidden: int = 9) -> Policy:
    observation = {"observation": torch.randn(1, 4)}
    both = {"latent": torch.randn(1, latent), "action": torch.randn(1, 1)}
    feeds = {"latent": ("encode", "next"), "action": ("act",)}
    return Policy(
        "world_model",
        WorldModel(latent, hidden).eval(),
        tuple(Component(n, (n,)) for n in ("encoder", "dynamics", "reward", "value", "policy")),
        (
            Entry("act", WorldModel.act, observation),
            Entry("encode", WorldModel.encode, observation),
            Entry("next", WorldModel.next, both, feeds),
            Entry("reward", WorldModel.reward_of, both, feeds),
            Entry("value", WorldModel.value_of, both, feeds),
        ),
    )


class Camera(nn.Module):
    """Perception (CNN with depthwise, norms, residual), proprioception, fusion by concatenation, control."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.norm = nn.GroupNorm(2, width)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2)
        self.joints = nn.Sequential(nn.Linear(6, 10), nn.LayerNorm(10), nn.ReLU())
        self.fusion = nn.Sequential(nn.Linear(2 * width * 9 + 10, 12), nn.ReLU())
        self.head = nn.Linear(12, 4)

    def forward(self, image, joints):
        x = self.stem(image)
        x = x + self.norm(self.pointwise(torch.relu(self.depthwise(x))))
        x = torch.relu(self.down(x)).flatten(1)
        return self.head(self.fusion(torch.cat([x, self.joints(joints)], dim=1)))


def camera() -> Policy:
    return Policy(
        "camera",
        Camera().eval(),
        (
            Component("perception", ("stem", "depthwise", "pointwise", "norm", "down")),
            Component("proprioception", ("joints",)),
            Component("fusion", ("fusion",)),
            Component("control", ("head",)),
        ),
        (Entry("act", Camera.forward, {"image": torch.randn(1, 3, 16, 16), "joints": torch.randn(1, 6)}),),
    )


class Recurrent(nn.Module):
    """Encoder, GRU over a window, GRU cell and LSTM cell with states passed in and out, a gated head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(5, 7)
        self.window = nn.GRU(7, 9, batch_first=True)
        self.lstm = nn.LSTM(9, 5, batch_first=True)
        self.cell = nn.GRUCell(5, 6)
        self.head = nn.Linear(6, 2)
        self.scale = nn.Parameter(torch.randn(6))

    def act(self, observation, state):
        x = torch.tanh(self.encoder(observation))
        x, _ = self.window(x)
        x, _ = self.lstm(x)
        new = self.cell(x[:, -1], state)
        return {"action": self.head(new * self.scale), "state": new}


def recurrent() -> Policy:
    inputs = {"observation": torch.randn(1, 4, 5), "state": torch.randn(1, 6)}
    return Policy(
        "recurrent",
        Recurrent().eval(),
        (
            Component("encoder", ("encoder",)),
            Component("memory", ("window", "lstm", "cell")),
            Component("head", ("head", "scale")),
        ),
        (Entry("act", Recurrent.act, inputs),),
    )


class SimNormModel(nn.Module):
    """TD-MPC2-like blocks: LayerNorm, Mish, a latent of simplices of four, tied output table."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.Mish(), nn.Linear(16, 24))
        self.policy = nn.Sequential(nn.Linear(24, 10), nn.Mish(), nn.Linear(10, 2))

    def act(self, observation):
        latent = self.encoder(observation)
        latent = torch.softmax(latent.view(latent.shape[0], -1, 4), -1).flatten(1)
        return self.policy(latent)


def simnorm() -> Policy:
    return Policy(
        "simnorm",
        SimNormModel().eval(),
        (Component("encoder", ("encoder",)), Component("policy", ("policy",))),
        (Entry("act", SimNormModel.act, {"observation": torch.randn(1, 5)}),),
    )


@st.composite
def random_policies(draw) -> Policy:
    """Branches of linear layers with residual adds and gates, fused by concatenation or sum, then heads."""
    torch.manual_seed(draw(st.integers(0, 2**16)))
    branches = draw(st.integers(1, 3))
    shapes = [draw(st.lists(st.integers(2, 9), min_size=1, max_size=3)) for _ in range(branches)]
    concatenated = draw(st.booleans())
    fused = draw(st.integers(2, 8))
    residual = [draw(st.booleans()) for _ in range(branches)]
    heads = draw(st.integers(1, 2))
    shared = draw(st.booleans())

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.ModuleList()
            self.again = nn.ModuleList()
            for widths in shapes:
                layers: list[nn.Module] = []
                before = 3
                for width in widths:
                    layers += [nn.Linear(before, width), nn.ReLU()]
                    before = width
                self.branch.append(nn.Sequential(*layers))
                self.again.append(nn.Linear(before, before))
            if not concatenated:
                self.adapt = nn.ModuleList([nn.Linear(widths[-1], fused) for widths in shapes])
            total = sum(widths[-1] for widths in shapes) if concatenated else fused
            self.fusion = nn.Linear(total, fused)
            self.head = nn.ModuleList([nn.Linear(fused, 2) for _ in range(heads)])
            self.twice = nn.Linear(fused, fused)

        def forward(self, x):
            outs = []
            for index, (branch, again) in enumerate(zip(self.branch, self.again)):
                y = branch(x)
                outs.append(y + torch.relu(again(y)) if residual[index] else again(y))
            joined = torch.cat(outs, -1) if concatenated else sum(a(y) for a, y in zip(self.adapt, outs))
            z = torch.relu(self.fusion(joined))
            z = self.twice(torch.relu(self.twice(z))) if shared else self.twice(z)
            return {f"out{i}": head(z) for i, head in enumerate(self.head)}

    components = [Component(f"branch{i}", (f"branch.{i}", f"again.{i}")) for i in range(branches)]
    fusion = ("fusion", "twice") + (() if concatenated else ("adapt",))
    components += [Component("fusion", fusion), Component("heads", ("head",))]
    return Policy(
        "random", Net().eval(), tuple(components), (Entry("act", Net.forward, {"x": torch.randn(1, 3)}),)
    )


POLICIES = {"world_model": world_model, "camera": camera, "recurrent": recurrent, "simnorm": simnorm}


class SmallCamera(nn.Module):
    """A camera network of operators that the C back end has: perception, proprioception, fusion, control."""

    def __init__(self) -> None:
        super().__init__()
        self.perception = nn.Sequential(
            nn.Conv2d(3, 12, 3, stride=2, padding=1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 20, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.joints = nn.Sequential(nn.Linear(6, 10), nn.ReLU())
        self.fusion = nn.Sequential(nn.Linear(30, 24), nn.ReLU())
        self.head = nn.Linear(24, 4)

    def act(self, image, joints):
        seen = self.perception(image).mean((2, 3))
        return torch.tanh(self.head(self.fusion(torch.cat([seen, self.joints(joints)], 1))))


def small_camera() -> Policy:
    names = ("perception", "joints", "fusion", "head")
    inputs = {"image": torch.randn(1, 3, 16, 16), "joints": torch.randn(1, 6)}
    return Policy(
        "small_camera",
        SmallCamera().eval(),
        tuple(Component(n, (n,)) for n in names),
        (Entry("act", SmallCamera.act, inputs),),
    )
