"""Every kind of block that control policies are made of: its groups, what is left whole and why, and right cuts."""

import pytest
import torch
from architectures import ARCHITECTURES, one_entry
from masking import assert_cut_equals_masked, random_keep
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from secateur.graph.groups import build_graph
from secateur.graph.results import evaluating
from secateur.prune.analyse import analyse
from secateur.prune.surgery import cut

FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
"""Attention's kernel for processors, which torch's counter of operations leaves out."""

RECURRENT = {"encoder": 7, "memory.weight_ih_l0": 6}
TWO_LAYERS = {
    "camera": 16,
    **{f"body.layers.{i}.linear1": 24 for i in range(2)},
    **{f"body.layers.{i}.self_attn.in_proj_weight{n}": 4 for i in range(2) for n in ("", "#2", "#3")},
}
WIDTHS = {
    "convolutions": {
        **{"camera.0": 4, "camera.0#2": 2, "camera.2": 3, "camera.6": 2, "camera.8": 6},
        **{"history.0": 9, "history.2": 7, "head.0": 11},
    },
    "norms": {"a.0": 12, "b.1": 9, "c.0": 2, "c.0#2": 4, "c.3": 10, "d.2": 6},
    "bare-norms": {"a": 12, "b": 9, "c": 8},
    "tdmpc2": {"encoder.0": 10, "encoder.1": 4, "dynamics.0": 12, "reward.0": 9, "q.0#2": 14, "pi.0": 11},
    "gru": {"encoder.0": 8, "memory.weight_ih": 10, "head.0": 7},
    "lstm": RECURRENT,
    "deep-lstm": RECURRENT,
    "deep-gru": RECURRENT,
    "two-way-gru": RECURRENT,
    "two-way-lstm": RECURRENT,
    "projected-lstm": {},
    "rnn": RECURRENT,
    "transformer": TWO_LAYERS,
    "transformer-post-norm": TWO_LAYERS,
    "cross-attention": {
        **{"query": 12, "memory": 10, "attend.out_proj": 12},
        **{"attend.q_proj_weight": 3, "attend.q_proj_weight#2": 4, "attend.v_proj_weight": 4},
    },
    "attention-packed-fused": {"embed": 12, "attend.qkv": 4, "attend.qkv#2": 5, "mlp.1": 17},
    "attention-packed-plain": {"embed": 12, "attend.qkv": 4, "attend.qkv#2": 5, "mlp.1": 17},
    "attention-fused": {"embed": 12, "attend.q": 4, "attend.q#2": 5, "mlp.1": 17},
    "attention-plain": {"embed": 12, "attend.q": 4, "attend.q#2": 5, "mlp.1": 17},
    "attention-written": {"out": 12, "mlp": 17},
    "causal": {
        **{f"body.{name}.in_proj_weight": 2 for name in ("self_attn", "multihead_attn")},
        **{f"body.{name}.in_proj_weight#{n}": 8 for name in ("self_attn", "multihead_attn") for n in (2, 3)},
        **{"camera": 16, "body.linear1": 20, "q": 2, "q#2": 3},
    },
    "fusions": {"encoder": 4, "encoder#2": 6, "encoder#3": 8, "pieces.0": 7, "pieces.1": 7, "glu": 6},
    "einsum-ensemble": {"first": 4, "encoder.0": 8, "first#2": 9},
    "vmap-ensemble": {"first": 4, "encoder.0": 8, "first#2": 9},
    "functional-ensemble": {"encoder.0": 8, "members.0.0": 9},
    "shared": {"scale": 8, "block.1": 13, "left": 9},
}
"""Architecture → its groups: heads and the width of each, groups of a convolution and the channels of each, …"""

MEAN_OF = {"einsum-ensemble": "first", "vmap-ensemble": "first"}
"""Members whose mean is taken: that of fewer is not that of some at zero."""

REASONS = {
    "convolutions": {
        "act takes it from outside",
        "it is a place, not a channel",
        "act gives it to the outside",
    },
    "tdmpc2": {
        *("act takes it from outside", "a softmax runs over it", "act gives it to the outside"),
        *(
            "reward gives it to the outside",
            "value gives it to the outside",
            "the code has a width written into it",
        ),
    },
    "projected-lstm": {
        *("act takes it from outside", "act gives it to the outside"),
        "its nn.LSTM projects its state, and would take a state as wide as the cell for no projection",
    },
    "attention-packed-plain": {
        *("act takes it from outside", "act gives it to the outside"),
        "single channels of it are picked by number",
    },
    "attention-written": {
        *("act takes it from outside", "act gives it to the outside"),
        *("single channels of it are picked by number", "the code has a width written into it"),
    },
    "shared": {
        *("act takes it from outside", "act gives it to the outside"),
        "it counts the entries of an embedding",
    },
}


def _analysed(name):
    torch.manual_seed(0)
    policy = ARCHITECTURES[name]()
    return policy, analyse(policy)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_groups(name):
    assert _analysed(name)[1].full == WIDTHS[name]


@pytest.mark.parametrize("name", REASONS)
def test_what_is_left_whole_says_why(name):
    reasons = {whole.why.partition(" (")[0] for whole in _analysed(name)[1].whole}
    assert reasons == REASONS[name]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_cut_equals_masked(name):
    policy, graph = _analysed(name)
    for seed in range(4):
        assert_cut_equals_masked(policy, graph, random_keep(graph, seed, but=(MEAN_OF.get(name, ""),)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_cut_policy_can_be_cut_again(name):
    policy, graph = _analysed(name)
    once = cut(policy, graph, {n: torch.arange(min(1, w - 2), w) for n, w in graph.full.items()})
    again = analyse(once)
    assert again.full == {n: w - min(1, w - 2) for n, w in graph.full.items()}
    assert_cut_equals_masked(once, again, random_keep(again, 5, but=(MEAN_OF.get(name, ""),)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_analysis_leaves_the_policy_as_it_was(name):
    torch.manual_seed(0)
    policy = ARCHITECTURES[name]()
    before = {path: (type(m), repr(vars(m))) for path, m in policy.module.named_modules()}
    analyse(policy)
    assert {path: (type(m), repr(vars(m))) for path, m in policy.module.named_modules()} == before


def _attention_flops(q, k, v, *args, **kwargs):
    return sdpa_flop_count(q, k, v)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_multiply_accumulates_are_those_that_torch_counts(name):
    policy, graph = _analysed(name)
    trace = graph.trace
    for entry in policy.entries:
        inputs = {key: example.clone() for key, example in entry.example_inputs.items()}
        counter = FlopCounterMode(display=False, custom_mapping={FUSED: _attention_flops})
        with evaluating(list(policy.module.modules())), counter:
            entry.run(policy.module, inputs)
        macs = [use.macs for use in (*trace.contractions, *trace.products) if use.entry == entry.name]
        assert 2 * sum(macs) == counter.get_total_flops()


@pytest.mark.parametrize("name", MEAN_OF)
def test_members_of_an_ensemble_go_whole(name):
    policy, graph = _analysed(name)
    kept = torch.tensor([0, 2, 3])
    pruned = cut(policy, graph, {"first": kept})
    chosen = policy.module
    inputs = {"x": torch.randn(3, 5)}
    with torch.no_grad():
        answer = pruned.entry().run(pruned.module, inputs)["act"]
        for parameter in (p for n, p in chosen.named_parameters() if not n.startswith("encoder")):
            parameter.data = parameter.data[kept]
        torch.testing.assert_close(answer, policy.entry().run(chosen, inputs)["act"])


def test_numbers_in_modules_follow_the_widths():
    policy, graph = _analysed("attention-packed-fused")
    pruned = cut(policy, graph, {"attend.qkv": torch.tensor([1, 3]), "attend.qkv#2": torch.tensor([0, 2, 4])})
    assert (pruned.module.attend.heads, pruned.module.attend.width) == (2, 3)
    assert pruned.module.attend.qkv.out_features == 3 * 2 * 3


def test_code_with_a_width_written_in_it_is_left_whole_alone():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 16), nn.Linear(16, 9), nn.Linear(9, 2)

        def forward(self, x):
            return self.c(self.b(self.a(x).view(-1, 2, 8).flatten(1)))

    policy = one_entry(Half(), x=torch.zeros(1, 3))
    assert len(build_graph(policy).groups) > 1
    graph = analyse(policy)
    assert graph.full == {"b": 9}
    assert {w.why.partition(" (")[0] for w in graph.whole if w.parameter == "a.bias"} == {
        "the code has a width written into it"
    }
    cut(policy, graph, {"b": torch.arange(3)})
