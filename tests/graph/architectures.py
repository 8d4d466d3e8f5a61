"""What control policies are made of: one small policy for each kind of block, to trace, cut and hold to account."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from secateur.policy.policy import Component, Entry, Policy

Build = Callable[[], Policy]


def one_entry(module: nn.Module, **inputs: torch.Tensor) -> Policy:
    """A policy of a module with one entry, ``forward``; every child and loose parameter is a component."""
    names = [name for name, _ in module.named_children()]
    names += [name for name, _ in module.named_parameters(recurse=False)]
    parts = tuple(Component(name, (name,)) for name in names if any(True for _ in _parameters(module, name)))
    return Policy(type(module).__name__, module.eval(), parts, (Entry("act", type(module).forward, inputs),))


def _parameters(module: nn.Module, name: str) -> list[nn.Parameter]:
    held = getattr(module, name)
    return [held] if isinstance(held, nn.Parameter) else list(held.parameters())


class ConvKinds(nn.Module):
    """Conv1d, grouped and transposed convolutions, depthwise with a multiplier, pooling, flatten, fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.camera = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, padding=1, groups=4),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1, groups=12),
            nn.ReLU(),
            nn.ConvTranspose2d(24, 6, 2, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(6, 6, 2, stride=2, groups=6),
            nn.AdaptiveAvgPool2d(2),
        )
        self.history = nn.Sequential(nn.Conv1d(5, 9, 3), nn.SiLU(), nn.Conv1d(9, 7, 2), nn.AvgPool1d(2))
        self.head = nn.Sequential(nn.Linear(6 * 4 + 7 * 2, 11), nn.ELU(), nn.Linear(11, 2))

    def forward(self, image, history):
        return self.head(torch.cat([self.camera(image).flatten(1), self.history(history).flatten(1)], 1))


class Norms(nn.Module):
    """Every norm over channels; residual adds around them."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Linear(5, 12), nn.LayerNorm(12), nn.Mish())
        self.b = nn.Sequential(nn.RMSNorm(12), nn.Linear(12, 9), nn.GELU(), nn.Linear(9, 12))
        self.c = nn.Sequential(nn.Linear(12, 8), nn.GroupNorm(2, 8), nn.LeakyReLU(), nn.Linear(8, 10))
        self.d = nn.Sequential(nn.BatchNorm1d(10), nn.PReLU(10), nn.Linear(10, 6), nn.PReLU())
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = self.a(x)
        x = x + self.b(x)
        return self.head(self.d(self.c(x)))


class BareNorms(nn.Module):
    """Norms without weights, by functions and written out; weight norm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 12), nn.Linear(12, 9)
        self.c = nn.utils.parametrizations.weight_norm(nn.Linear(9, 8))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = functional.layer_norm(self.a(x), (self.a.out_features,))
        x = functional.normalize(self.b(x), dim=-1)
        return self.head(torch.tanh(self.c(x)))


class SimNorm(nn.Module):
    """Softmax over simplices, as in TD-MPC2."""

    def __init__(self, simplex: int) -> None:
        super().__init__()
        self.simplex = simplex

    def forward(self, x):
        return torch.softmax(x.view(*x.shape[:-1], -1, self.simplex), -1).view(*x.shape)


class NormedLinear(nn.Linear):
    """Linear → LayerNorm → Mish or SimNorm, as in TD-MPC2."""

    def __init__(self, inputs: int, outputs: int, act: nn.Module) -> None:
        super().__init__(inputs, outputs)
        self.norm, self.act = nn.LayerNorm(outputs), act

    def forward(self, x):
        return self.act(self.norm(super().forward(x)))


class StackedLinear(nn.Module):
    """An ensemble as stacked parameters: [members, in, out]."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, inputs, outputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.randn(members, 1, outputs) / 4)

    def forward(self, x):
        return torch.baddbmm(self.bias, x, self.weight)


class TDMPC2(nn.Module):
    """Encoder, dynamics, reward, an ensemble of Q functions and a Gaussian policy; latent of simplices of four."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(NormedLinear(5, 10, nn.Mish()), NormedLinear(10, 16, SimNorm(4)))
        self.dynamics = nn.Sequential(NormedLinear(18, 12, nn.Mish()), NormedLinear(12, 16, SimNorm(4)))
        self.reward = nn.Sequential(NormedLinear(18, 9, nn.Mish()), nn.Linear(9, 3))
        self.q = nn.Sequential(StackedLinear(5, 18, 14), nn.Mish(), StackedLinear(5, 14, 3))
        self.pi = nn.Sequential(NormedLinear(16, 11, nn.Mish()), nn.Linear(11, 4))

    def act(self, observation):
        return torch.tanh(self.pi(self.encoder(observation)).chunk(2, -1)[0])

    def encode(self, observation):
        return self.encoder(observation)

    def next(self, latent, action):
        return self.dynamics(torch.cat([latent, action], -1))

    def reward_of(self, latent, action):
        return self.reward(torch.cat([latent, action], -1))

    def value_of(self, latent, action):
        x = torch.cat([latent, action], -1)
        return self.q(x.unsqueeze(0).expand(5, -1, -1)).mean(0)


def tdmpc2() -> Policy:
    observation = {"observation": torch.randn(2, 5)}
    both = {"latent": torch.randn(2, 16), "action": torch.randn(2, 2)}
    feeds = {"latent": ("encode", "next"), "action": ("act",)}
    return Policy(
        "tdmpc2",
        TDMPC2().eval(),
        tuple(Component(n, (n,)) for n in ("encoder", "dynamics", "reward", "q", "pi")),
        (
            Entry("act", TDMPC2.act, observation),
            Entry("encode", TDMPC2.encode, observation),
            Entry("next", TDMPC2.next, both, feeds),
            Entry("reward", TDMPC2.reward_of, both, feeds),
            Entry("value", TDMPC2.value_of, both, feeds),
        ),
    )


class GRUPolicy(nn.Module):
    """Encoder, GRU cell whose state comes in and goes out, head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.memory = nn.GRUCell(8, 10)
        self.head = nn.Sequential(nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 2))

    def step(self, observation, state):
        state = self.memory(self.encoder(observation), state)
        return {"action": self.head(state), "state": state}

    def rollout(self, observation):
        state = observation.new_zeros(len(observation), self.memory.hidden_size)
        for moment in observation.unbind(1):
            state = self.memory(self.encoder(moment), state)
        return self.head(state)


def gru() -> Policy:
    one = {"observation": torch.randn(1, 6), "state": torch.randn(1, 10)}
    return Policy(
        "gru",
        GRUPolicy().eval(),
        tuple(Component(n, (n,)) for n in ("encoder", "memory", "head")),
        (
            Entry(
                "act",
                lambda module, observation: module.head(
                    module.encoder[0](observation).new_zeros(1, module.memory.hidden_size)
                ),
                {"observation": torch.randn(1, 6)},
            ),
            Entry("step", GRUPolicy.step, one, {"state": ("step.state",)}),
            Entry("rollout", GRUPolicy.rollout, {"observation": torch.randn(2, 3, 6)}),
        ),
    )


class RecurrentLayers(nn.Module):
    """Recurrent layers, deep, bidirectional and projected, between linear ones."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 7)
        self.memory = layer
        self.head = nn.Linear(width, 2)

    def forward(self, window):
        return self.head(self.memory(torch.tanh(self.encoder(window)))[0][:, -1])


def recurrent_layers(kind: type[nn.RNNBase], both_ways: bool = False, **kwargs: int) -> Build:
    def build() -> Policy:
        layer = kind(7, 6, batch_first=True, bidirectional=both_ways, **kwargs)
        width = (kwargs.get("proj_size") or 6) * (2 if both_ways else 1)
        return one_entry(RecurrentLayers(layer, width), window=torch.randn(2, 3, 4))

    return build


class LibraryAttention(nn.Module):
    """Tokens of two sensors and a learnt one through torch's own encoder layers."""

    def __init__(self, norm_first: bool = True, layers: int = 2) -> None:
        super().__init__()
        self.camera, self.joints = nn.Linear(6, 16), nn.Linear(4, 16)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Embedding(4, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 24, norm_first=norm_first, batch_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(16, 2)

    def forward(self, camera, joints):
        tokens = [self.token.expand(len(camera), -1, -1), self.camera(camera), self.joints(joints)[:, None]]
        x = torch.cat(tokens, 1)
        x = x + self.position(torch.arange(x.shape[1]))
        return self.head(self.body(x)[:, 0])


def library_attention(**kwargs: bool) -> Build:
    return lambda: one_entry(
        LibraryAttention(**kwargs), camera=torch.randn(2, 2, 6), joints=torch.randn(2, 4)
    )


class CrossAttention(nn.Module):
    """nn.MultiheadAttention with keys and values of another width, weights asked for, sequence first."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.memory = nn.Linear(3, 12), nn.Linear(5, 10)
        self.attend = nn.MultiheadAttention(12, 3, kdim=10, vdim=10)
        self.head = nn.Linear(12, 2)

    def forward(self, x, memory):
        memory = torch.relu(self.memory(memory)).transpose(0, 1)
        y, weights = self.attend(self.query(x)[None], memory, memory)
        return self.head(y[0]) + 0 * weights.sum()


class HandWrittenAttention(nn.Module):
    """Attention over heads, written out: packed or separate projections, fused or plain product."""

    def __init__(self, packed: bool, fused: bool, stream: int = 12) -> None:
        super().__init__()
        self.packed, self.fused, self.heads, self.width = packed, fused, 4, 5
        inner, self.scale = self.heads * self.width, self.width**-0.5
        self.norm = nn.LayerNorm(stream)
        if packed:
            self.qkv = nn.Linear(stream, 3 * inner)
        else:
            self.q, self.k, self.v = (nn.Linear(stream, inner) for _ in range(3))
        self.out = nn.Linear(inner, stream)

    def forward(self, x):
        batch, length, _ = x.shape
        y = self.norm(x)
        if self.packed:
            q, k, v = self.qkv(y).view(batch, length, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        else:
            q, k, v = (
                p(y).view(batch, length, self.heads, self.width).transpose(1, 2)
                for p in (self.q, self.k, self.v)
            )
        if self.fused:
            z = functional.scaled_dot_product_attention(q, k, v)
        else:
            z = torch.softmax(q @ k.transpose(-2, -1) * self.scale, -1) @ v
        return x + self.out(z.transpose(1, 2).reshape(batch, length, self.heads * self.width))


class HandWritten(nn.Module):
    def __init__(self, packed: bool, fused: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 12)
        self.attend = HandWrittenAttention(packed, fused)
        self.mlp = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 17), nn.GELU(), nn.Linear(17, 12))
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        x = self.attend(self.embed(x))
        return self.head((x + self.mlp(x)).mean(1))


def hand_written(packed: bool, fused: bool) -> Build:
    return lambda: one_entry(HandWritten(packed, fused), x=torch.randn(2, 3, 3))


class Fusions(nn.Module):
    """Split and chunk fusion: gates, modulation, three pieces of different widths, parts swapped on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(5, 18)
        self.widths = (4, 6, 8)
        self.pieces = nn.ModuleList([nn.Linear(n, 7) for n in self.widths])
        self.film = nn.Linear(7, 14)
        self.glu = nn.Linear(7, 12)
        self.head = nn.Linear(6 + 7, 2)

    def forward(self, x):
        features = torch.relu(self.encoder(x)).split([p.in_features for p in self.pieces], -1)
        parts = [piece(y) for piece, y in zip(self.pieces, features)]
        scale, shift = self.film(parts[0]).chunk(2, -1)
        y = parts[1] * scale + shift + parts[2]
        return self.head(torch.cat([functional.glu(self.glu(y), -1), y], -1))


class EinsumEnsemble(nn.Module):
    """Q functions as stacked parameters, multiplied by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.first = nn.Parameter(torch.randn(4, 8, 9) / 3)
        self.first_bias = nn.Parameter(torch.randn(4, 9) / 3)
        self.second = nn.Parameter(torch.randn(4, 9, 1) / 3)

    def forward(self, x):
        hidden = torch.einsum("bi,eio->beo", self.encoder(x), self.first) + self.first_bias
        return torch.einsum("bei,eio->beo", torch.relu(hidden), self.second).squeeze(-1).mean(1, keepdim=True)


class VmapEnsemble(nn.Module):
    """Q functions called by torch.vmap over their stacked parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.first, self.first_bias = (
            nn.Parameter(torch.randn(4, 9, 8) / 3),
            nn.Parameter(torch.randn(4, 9) / 3),
        )
        self.second, self.second_bias = (
            nn.Parameter(torch.randn(4, 1, 9) / 3),
            nn.Parameter(torch.randn(4, 1) / 3),
        )

    def forward(self, x):
        def member(w1, b1, w2, b2, y):
            return functional.linear(torch.relu(functional.linear(y, w1, b1)), w2, b2)

        over = (0, 0, 0, 0, None)
        out = torch.vmap(member, over)(
            self.first, self.first_bias, self.second, self.second_bias, self.encoder(x)
        )
        return out.mean(0)


class FunctionalEnsemble(nn.Module):
    """Members as modules, run together by torch.func."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.members = nn.ModuleList(
            [nn.Sequential(nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 1)) for _ in range(3)]
        )

    def forward(self, x):
        states = [dict(member.named_parameters()) for member in self.members]
        stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}

        def call(parameters, y):
            return torch.func.functional_call(self.members[0], parameters, (y,))

        return torch.vmap(call, (0, None))(stacked, self.encoder(x)).mean(0)


class Shared(nn.Module):
    """A module used twice, a table tied to the output, a loose parameter, an embedding of the task."""

    def __init__(self) -> None:
        super().__init__()
        self.task = nn.Embedding(5, 8)
        self.encoder = nn.Linear(6, 8)
        self.block = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 13), nn.ReLU(), nn.Linear(13, 8))
        self.scale = nn.Parameter(torch.rand(8))
        self.left, self.right = nn.Linear(8, 9), nn.Linear(8, 9)
        self.right.weight = self.left.weight
        self.head = nn.Linear(9, 2)

    def forward(self, x, task):
        y = self.encoder(x) + self.task(task) * self.scale
        y = y + self.block(y)
        y = y + self.block(y)
        return self.head(torch.relu(self.left(y)) + torch.relu(self.right(y)))


def shared() -> Policy:
    module = Shared()
    names = ("task", "encoder", "block", "scale", "head")
    parts = (*(Component(n, (n,)) for n in names), Component("twins", ("left", "right")))
    inputs = {"x": torch.randn(2, 6), "task": torch.tensor([1, 4])}
    return Policy("shared", module.eval(), parts, (Entry("act", Shared.forward, inputs),))


class Written(nn.Module):
    """Attention with its heads written in the code, and a width that one line takes from another."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 12)
        self.qkv = nn.Linear(12, 36)
        self.out, self.mlp, self.head = nn.Linear(12, 12), nn.Linear(12, 17), nn.Linear(17, 2)

    def forward(self, x):
        x = self.embed(x)
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        return self.head(torch.relu(self.mlp(self.out(y))).mean(1))


class Causal(nn.Module):
    """A decoder over the last actions, causal, with the camera as memory; heads that share keys."""

    def __init__(self) -> None:
        super().__init__()
        self.camera, self.actions = nn.Conv2d(3, 16, 4, stride=4), nn.Linear(2, 16)
        self.body = nn.TransformerDecoderLayer(16, 2, 20, batch_first=True)
        self.heads, self.width = 4, 3
        self.q, self.k, self.v = nn.Linear(16, 12), nn.Linear(16, 6), nn.Linear(16, 6)
        self.head = nn.Linear(12, 2)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(5))

    def forward(self, image, actions):
        memory = self.camera(image).flatten(2).transpose(1, 2)
        x = self.body(self.actions(actions), memory, tgt_mask=self.mask, tgt_is_causal=True)
        q, k, v = (p(x).unflatten(-1, (-1, self.width)).transpose(1, 2) for p in (self.q, self.k, self.v))
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, enable_gqa=True)
        return self.head(y.transpose(1, 2).flatten(2)[:, -1])


ARCHITECTURES: dict[str, Build] = {
    "convolutions": lambda: one_entry(
        ConvKinds(), image=torch.randn(2, 3, 16, 16), history=torch.randn(2, 5, 8)
    ),
    "norms": lambda: one_entry(Norms(), x=torch.randn(3, 5)),
    "bare-norms": lambda: one_entry(BareNorms(), x=torch.randn(3, 5)),
    "tdmpc2": tdmpc2,
    "gru": gru,
    "lstm": recurrent_layers(nn.LSTM),
    "deep-lstm": recurrent_layers(nn.LSTM, num_layers=2),
    "deep-gru": recurrent_layers(nn.GRU, num_layers=3),
    "two-way-gru": recurrent_layers(nn.GRU, both_ways=True, num_layers=2),
    "two-way-lstm": recurrent_layers(nn.LSTM, both_ways=True),
    "projected-lstm": recurrent_layers(nn.LSTM, proj_size=3),
    "rnn": recurrent_layers(nn.RNN),
    "transformer": library_attention(),
    "transformer-post-norm": library_attention(norm_first=False),
    "cross-attention": lambda: one_entry(CrossAttention(), x=torch.randn(2, 3), memory=torch.randn(2, 4, 5)),
    "attention-packed-fused": hand_written(True, True),
    "attention-packed-plain": hand_written(True, False),
    "attention-fused": hand_written(False, True),
    "attention-plain": hand_written(False, False),
    "attention-written": lambda: one_entry(Written(), x=torch.randn(2, 3, 3)),
    "causal": lambda: one_entry(Causal(), image=torch.randn(2, 3, 8, 8), actions=torch.randn(2, 5, 2)),
    "fusions": lambda: one_entry(Fusions(), x=torch.randn(2, 5)),
    "einsum-ensemble": lambda: one_entry(EinsumEnsemble(), x=torch.randn(2, 5)),
    "vmap-ensemble": lambda: one_entry(VmapEnsemble(), x=torch.randn(2, 5)),
    "functional-ensemble": lambda: one_entry(FunctionalEnsemble(), x=torch.randn(2, 5)),
    "shared": shared,
}
