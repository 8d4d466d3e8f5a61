"""Random policies of two to five components: sensors of many kinds, fused, around a latent that others share."""

from dataclasses import dataclass

import torch
from architectures import HandWrittenAttention, SimNorm, StackedLinear
from hypothesis import strategies as st
from torch import nn

from secateur.policy.policy import Component, Entry, Policy

SENSORS = ("linear", "image", "history", "window", "tokens", "objects")
"""What a sensor's encoder is: an MLP, Conv2d, Conv1d, GRU or LSTM, torch's transformer, hand-written attention."""


@dataclass(frozen=True)
class Plan:
    """Everything that was drawn."""

    sensors: tuple[str, ...]
    widths: tuple[int, ...]
    hidden: int
    norm: str
    act: str
    added: bool
    simplex: int
    latent: int
    others: tuple[str, ...]
    shared: bool


@st.composite
def plans(draw) -> Plan:
    sensors = tuple(draw(st.lists(st.sampled_from(SENSORS), min_size=1, max_size=2)))
    simplex = draw(st.sampled_from([0, 2, 4]))
    others = ("policy", *draw(st.permutations(["dynamics", "value", "reward"]))[: draw(st.integers(0, 2))])
    return Plan(
        sensors=sensors,
        widths=tuple(draw(st.integers(2, 5)) for _ in sensors),
        hidden=draw(st.integers(2, 7)),
        norm=draw(st.sampled_from(["none", "layer", "rms", "group", "batch"])),
        act=draw(st.sampled_from(["ReLU", "Mish", "SiLU", "Sigmoid", "GELU", "ELU"])),
        added=draw(st.booleans()),
        simplex=simplex,
        latent=draw(st.integers(1, 3)) * (simplex or 2),
        others=others,
        shared=draw(st.booleans()),
    )


def _norm(kind: str, width: int) -> nn.Module:
    if kind == "group":
        return nn.GroupNorm(2 if width % 2 == 0 else 1, width)
    return {"none": nn.Identity, "layer": nn.LayerNorm, "rms": nn.RMSNorm, "batch": nn.BatchNorm1d}[kind](
        *(() if kind == "none" else (width,))
    )


class Sensor(nn.Module):
    """[batch, …] of one sensor → features [batch, out]."""

    def __init__(self, plan: Plan, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        act = getattr(nn, plan.act)
        if kind == "linear":
            self.body: nn.Module = nn.Sequential(
                nn.Linear(3, 2 * width),
                _norm(plan.norm, 2 * width),
                act(),
                nn.Linear(2 * width, width),
                act(),
            )
            self.out = width
        elif kind == "image":
            even = 2 * width
            self.body = nn.Sequential(
                nn.Conv2d(3, even, 3, stride=2, padding=1),
                nn.BatchNorm2d(even),
                act(),
                nn.Conv2d(even, even, 3, padding=1, groups=even if plan.shared else 2),
                nn.GroupNorm(2, even),
                act(),
                nn.MaxPool2d(2),
            )
            self.out = even * 4
        elif kind == "history":
            self.body = nn.Sequential(
                nn.Conv1d(3, width, 2), act(), nn.ConvTranspose1d(width, width, 2), act()
            )
            self.out = width * 4
        elif kind == "window":
            layer = nn.LSTM if plan.shared else nn.GRU
            self.body = layer(3, width, num_layers=2, batch_first=True, bidirectional=plan.added)
            self.out = width * (2 if plan.added else 1)
        else:
            self.embed = nn.Linear(3, 2 * width)
            if kind == "tokens":
                self.body = nn.TransformerEncoderLayer(
                    2 * width, 2, 5, batch_first=True, norm_first=plan.shared, activation="gelu"
                )
            else:
                self.body = HandWrittenAttention(plan.shared, plan.added, 2 * width)
            self.out = 2 * width

    def example(self) -> torch.Tensor:
        shape = {"linear": (3,), "image": (3, 8, 8), "history": (3, 4)}.get(self.kind, (4, 3))
        return torch.randn(2, *shape)

    def forward(self, x):
        if self.kind in ("image", "history"):
            return self.body(x).flatten(1)
        if self.kind == "window":
            return self.body(x)[0][:, -1]
        if self.kind in ("tokens", "objects"):
            return self.body(self.embed(x)).mean(1)
        return self.body(x)


class Generated(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        act = getattr(nn, plan.act)
        self.sensors = nn.ModuleList([Sensor(plan, k, w) for k, w in zip(plan.sensors, plan.widths)])
        total = sum(sensor.out for sensor in self.sensors)
        if plan.added:
            self.adapt = nn.ModuleList([nn.Linear(sensor.out, plan.hidden) for sensor in self.sensors])
            total = plan.hidden
        self.block = nn.Sequential(nn.Linear(total, total), act())
        self.fusion = nn.Sequential(
            nn.Linear(total, plan.hidden),
            _norm(plan.norm, plan.hidden),
            act(),
            nn.Linear(plan.hidden, plan.latent),
        )
        self.simnorm = SimNorm(plan.simplex) if plan.simplex else nn.Tanh()
        self.scale = nn.Parameter(torch.rand(plan.latent) + 0.5)
        self.policy = nn.Sequential(nn.Linear(plan.latent, plan.hidden), act(), nn.Linear(plan.hidden, 4))
        if "dynamics" in plan.others:
            self.dynamics = nn.Sequential(
                nn.Linear(plan.latent + 2, plan.hidden), act(), nn.Linear(plan.hidden, plan.latent)
            )
        if "reward" in plan.others:
            self.reward = nn.Sequential(
                nn.Linear(plan.latent, 2 * plan.hidden), nn.GLU(), nn.Linear(plan.hidden, 1)
            )
        if "value" in plan.others:
            self.value = nn.Sequential(
                StackedLinear(3, plan.latent + 2, plan.hidden), act(), StackedLinear(3, plan.hidden, 1)
            )

    def encode(self, **inputs):
        features = [sensor(x) for sensor, x in zip(self.sensors, inputs.values())]
        fused = self.plan.added
        x = sum(a(y) for a, y in zip(self.adapt, features)) if fused else torch.cat(features, -1)
        for _ in range(1 + self.plan.shared):
            x = x + self.block(x)
        return self.simnorm(self.fusion(x)) * self.scale

    def act(self, **inputs):
        mean, spread = self.policy(self.encode(**inputs)).chunk(2, -1)
        return torch.tanh(mean) * torch.sigmoid(spread)

    def next(self, latent, action):
        return latent + self.simnorm(self.dynamics(torch.cat([latent, action], -1)))

    def reward_of(self, latent):
        return self.reward(latent)

    def value_of(self, latent, action):
        x = torch.cat([latent, action], -1)
        return self.value(torch.stack([x, x, x])).amin(0)


def generated(plan: Plan, seed: int) -> Policy:
    """The policy of a plan with weights, norms and running statistics at random."""
    torch.manual_seed(seed)
    module = Generated(plan).eval()
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.dim() == 1 and tensor.is_floating_point():
                tensor.copy_(
                    torch.rand_like(tensor) + 0.2 if "bias" not in name else torch.randn_like(tensor) / 3
                )
    inputs = {f"sensor{i}": sensor.example() for i, sensor in enumerate(module.sensors)}
    latent, action = {"latent": torch.randn(2, plan.latent)}, {"action": torch.randn(2, 2)}
    feeds = {"latent": ("encode", "next") if "dynamics" in plan.others else ("encode",), "action": ("act",)}
    known = {
        "dynamics": Entry("next", Generated.next, latent | action, feeds),
        "value": Entry("value", Generated.value_of, latent | action, feeds),
        "reward": Entry("reward", Generated.reward_of, latent, {"latent": feeds["latent"]}),
    }
    entries = [Entry("act", Generated.act, inputs), Entry("encode", Generated.encode, inputs)]
    entries += [known[name] for name in plan.others if name in known]
    fusion = ("block", "fusion", "scale", *(("adapt",) if plan.added else ()))
    parts = [Component("sensors", ("sensors",)), Component("fusion", fusion)]
    if len(plan.sensors) > 1 and len(plan.others) < 3:
        parts = [Component(f"sensor{i}", (f"sensors.{i}",)) for i in range(2)] + parts[1:]
    return Policy("generated", module, (*parts, *(Component(n, (n,)) for n in plan.others)), tuple(entries))
