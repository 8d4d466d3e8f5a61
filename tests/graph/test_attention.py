"""Attention with widths of its own gives what torch's gives, and goes on doing so once it is cut."""

from copy import deepcopy

import pytest
import torch
from architectures import ARCHITECTURES, one_entry
from torch import nn

from secateur.graph.attention import WidthFreeAttention, free_widths
from secateur.prune.analyse import analyse
from secateur.prune.surgery import cut

CASES = {
    "plain": ({}, {}),
    "length-first": ({"batch_first": False}, {}),
    "no-bias": ({"bias": False}, {}),
    "other-keys": ({"kdim": 5, "vdim": 7}, {}),
    "weights-by-head": ({}, {"average_attn_weights": False}),
    "no-weights": ({}, {"need_weights": False}),
    "mask": ({}, {"attn_mask": torch.rand(4, 4).triu(1) > 0.3}),
    "added-mask": ({}, {"attn_mask": torch.randn(4, 4), "is_causal": False}),
    "mask-by-head": ({}, {"attn_mask": torch.randn(6, 4, 4)}),
    "padding": ({}, {"key_padding_mask": torch.tensor([[False] * 4, [False, False, True, True]])}),
    "padding-and-mask": (
        {},
        {"key_padding_mask": torch.randn(2, 4), "attn_mask": torch.randn(4, 4), "need_weights": False},
    ),
}


def _without_batch(name, value):
    if name == "key_padding_mask":
        return value[0]
    return value[:3] if name == "attn_mask" and value.dim() == 3 else value  # three heads of one sample


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_it_gives_what_torch_gives(name, batched):
    torch.manual_seed(0)
    made, called = CASES[name]
    library = nn.MultiheadAttention(12, 3, **{"batch_first": True, **made}).eval()
    free = deepcopy(library)
    assert free_widths([free]) == [free]
    widths = (12, made.get("kdim", 12), made.get("vdim", 12))
    inputs = [torch.randn(2, 4, n) for n in widths]
    if not batched:
        inputs = [t[0] for t in inputs]
        called = {n: _without_batch(n, value) for n, value in called.items()}
    elif not library.batch_first:
        inputs = [t.transpose(0, 1) for t in inputs]
    with torch.no_grad():
        (one, first), (two, second) = library(*inputs, **called), free(*inputs, **called)
    torch.testing.assert_close(one, two)
    assert (first is None) == (second is None)
    if first is not None:
        torch.testing.assert_close(first, second)


def test_extra_keys_are_left_whole_and_say_why():
    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Linear(3, 8), nn.Linear(8, 2)
            self.attend = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True)

        def forward(self, x):
            x = self.embed(x)
            return self.head(self.attend(x, x, x)[0])

    graph = analyse(one_entry(Extra(), x=torch.randn(1, 4, 3)))
    assert not graph.groups
    assert any("has extra keys" in whole.why for whole in graph.whole)


def test_a_cut_layer_stays_off_the_fused_kernels():
    policy = ARCHITECTURES["transformer-post-norm"]()
    graph = analyse(policy)
    keep = {n: torch.arange(w - 1) for n, w in graph.full.items()}
    pruned = cut(policy, graph, keep)
    layer = pruned.module.body.layers[0]
    assert isinstance(layer.self_attn, WidthFreeAttention)
    assert (layer.self_attn.embed_dim, layer.self_attn.num_heads) == (15, 3)
    assert layer.self_attn.in_proj_weight.shape == (3 * 3 * 3, 15)
    inputs = policy.entry().example_inputs
    with torch.no_grad():  # where torch would take its fused kernel, if it could
        fused = pruned.entry().run(pruned.module, inputs)["act"]
    slow = pruned.entry().run(pruned.module, inputs)["act"]
    torch.testing.assert_close(fused, slow.detach())


def test_padding_still_works_after_a_cut():
    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Linear(3, 8), nn.Linear(8, 2)
            layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
            self.body = nn.TransformerEncoder(layer, 1)

        def forward(self, x):
            missing = x[:, :, 0] > 1.0
            return self.head(self.body(self.embed(x), src_key_padding_mask=missing)[:, 0])

    x = torch.zeros(2, 4, 3)
    x[0, 3] = 2.0
    policy = one_entry(Padded(), x=x)
    graph = analyse(policy)
    assert set(graph.full) >= {"embed", "body.layers.0.linear1"}
    pruned = cut(policy, graph, {"embed": torch.arange(5)})
    with torch.no_grad():
        assert pruned.entry().run(pruned.module, {"x": x})["act"].shape == (2, 2)
