"""Teachers: a student that is the original has nothing to learn, and unrolling sees what one step does not."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from secateur.graph.groups import build_graph
from secateur.policy.load import load
from secateur.policy.planning import PLAN
from secateur.prune.fake_quantise import fake_quantised
from secateur.prune.lessons import (
    HORIZON,
    PLANS,
    SCORE,
    EntryTeacher,
    Training,
    UnrollingTeacher,
    _huber,
)
from secateur.prune.recover import _drawn, _rate
from secateur.prune.surgery import cut
from secateur.prune.teachers import teacher_of


@pytest.fixture(scope="module")
def world():
    policy = load("tdmpc_cartpole").policy
    generator = torch.Generator().manual_seed(0)
    return policy, build_graph(policy), {"observation": torch.randn(64, 5, generator=generator)}


def teacher(world, mode):
    policy, graph, _ = world
    return teacher_of(replace(policy, deployed=PLAN) if mode == "plan" else policy, graph, seed=0)


@pytest.mark.parametrize("mode", ["act", "plan"])
def test_the_original_has_nothing_to_learn_and_a_cut_one_has(world, mode):
    _, graph, states = world
    taught = teacher(world, mode)
    lesson = taught.lesson(states)
    assert lesson.count == 64
    assert taught.error(taught.original, {}, lesson) == pytest.approx(0.0, abs=1e-9)
    keep = {"encoder.2": torch.arange(0, 50, 3), "policy.0": torch.arange(0, 512, 9)}
    small = cut(taught.original, graph, keep)
    assert taught.error(small, keep, lesson) > 0.01
    assert float(taught.loss(small, keep)(lesson.rows(torch.arange(8)), 0).detach()) > 0.01
    assert lesson.joined(lesson).count == 128


def test_the_kind_of_teacher_follows_what_moves_the_robot(world):
    assert isinstance(teacher(world, "act"), EntryTeacher)
    unrolling = teacher(world, "plan")
    assert isinstance(unrolling, UnrollingTeacher)
    lesson = unrolling.lesson(world[2])
    assert sorted(lesson.actions) == list(range(HORIZON + 1))
    assert all(bool((a.abs() <= 1).all()) for a in lesson.actions.values())
    assert ("next", HORIZON - 1, "next") in lesson.answers


def test_dynamics_that_drift_cost_more_after_five_steps_than_after_one(world):
    states = world[2]
    unrolling = teacher(world, "plan")
    lesson = unrolling.lesson(states)
    drifting = cut(unrolling.original, unrolling.graph, {})
    with torch.no_grad():
        drifting.module.dynamics[-1].bias += 0.05
    with torch.no_grad():
        answers = unrolling._unroll(
            drifting, lesson.states, lambda step, _: lesson.actions[step].flatten(0, 1)
        )
    moved = [
        float((answers["next", n, "next"] - lesson.answers["next", n, "next"].flatten(0, 1)).square().mean())
        for n in range(HORIZON)
    ]
    assert moved[0] < moved[2] < moved[4]


def test_what_plans_are_compared_by_is_relative_to_the_others_from_the_same_state(world):
    """A reward model that is off by the same everywhere makes the same plans, and costs less than one that mixes up."""
    unrolling = teacher(world, "plan")
    lesson = unrolling.lesson(world[2])
    compared = lesson.answers[SCORE, 0, SCORE]
    assert compared.shape == (64, PLANS, 1)
    assert float(compared.sum(1).abs().max()) < 1e-4

    def score_of(change):
        policy = cut(unrolling.original, unrolling.graph, {})
        with torch.no_grad():
            change(policy.module.reward[-1])
        answers = unrolling._unroll(policy, lesson.states, lambda step, _: lesson.actions[step].flatten(0, 1))
        return unrolling._compared(answers)

    wanted = compared.flatten(0, 1)
    assert torch.allclose(score_of(lambda head: head.bias.add_(0.5)), wanted, atol=1e-4)
    assert float((score_of(lambda head: head.weight.neg_()) - wanted).abs().max()) > 0.1


def test_wild_states_neither_rescale_nor_drown_a_planners_lesson(world):
    unrolling = teacher(world, "plan")
    own = unrolling.lesson(world[2])
    wild = unrolling.lesson({"observation": 100 * world[2]["observation"]})
    both = own.joined(wild)
    assert both.spread == own.spread != wild.spread
    distance = unrolling.loss(cut(unrolling.original, unrolling.graph, {}), {})
    assert float(distance(both, 0).detach()) == pytest.approx(0.0, abs=1e-6)
    answers = torch.tensor([0.0, 0.5, 100.0])
    assert float(_huber(answers, torch.zeros(3), 1.0)) == pytest.approx((0.25 + 2 * 99.5) / 3)


def test_what_is_nearly_right_learns_slowly(world):
    unrolling = teacher(world, "plan")
    lesson = unrolling.lesson(world[2])
    keep = {"policy.0": torch.arange(511)}
    near = cut(unrolling.original, unrolling.graph, keep)
    far_keep = {"encoder.2": torch.arange(0, 50, 5), "dynamics.0": torch.arange(0, 512, 20)}
    far = cut(unrolling.original, unrolling.graph, far_keep)
    whole = unrolling.training.learning_rate
    assert _rate(unrolling, near, keep, lesson) < 0.1 * whole
    assert _rate(unrolling, near, keep, lesson) < _rate(unrolling, far, far_keep, lesson) <= whole
    entries = teacher(world, "act")
    assert _rate(entries, near, keep, entries.lesson(world[2])) == entries.training.learning_rate


def test_a_share_of_every_batch_is_on_the_originals_way():
    generator = torch.Generator().manual_seed(0)
    drawn = _drawn(Training(batch=32, own=0.5), 10, 100_000, generator)
    assert len(drawn) == 32
    assert int((drawn < 10).sum()) >= 16
    assert len(_drawn(Training(batch=32), 10, 100_000, generator)) == 32


def test_within_fake_quantisation_weights_and_inputs_are_int8_and_gradients_pass():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    x = torch.randn(32, 4)
    exact = net(x)
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    with fake_quantised(net):
        rounded = net(x)
        rounded.square().mean().backward()
    assert 0 < float((rounded - exact).abs().max()) < 0.05
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert all(torch.equal(before[name], weight) for name, weight in net.state_dict().items())
    assert torch.equal(net(x), exact)
    assert isinstance(net[0].weight, nn.Parameter)


def test_int8_weights_are_those_that_a_converter_would_store():
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([[1.27, 0.5, -0.004], [-2.54, 0.013, 0.0]])
    with fake_quantised(layer):
        seen = layer(torch.eye(3)).detach().T
    assert torch.allclose(seen, torch.tensor([[1.27, 0.5, 0.0], [-2.54, 0.02, 0.0]]), atol=0.011)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_has_one_scale_for_each_output_channel(groups):
    torch.manual_seed(0)
    layer = nn.ConvTranspose1d(4, 6, 3, groups=groups, bias=False)
    sizes = torch.logspace(-3, 0, 6)  # of the output channels
    with torch.no_grad():
        layer.weight *= sizes.reshape(groups, 1, -1, 1).expand(groups, 4 // groups, -1, 1).flatten(0, 1)
    x = torch.randn(8, 4, 5)
    exact = layer(x)
    with fake_quantised(layer):
        rounded = layer(x)
    error = (rounded - exact).abs().amax((0, 2)) / exact.abs().amax((0, 2))
    assert float(error.max()) < 0.03


def test_ranges_that_are_held_do_not_fade_and_follow_again_when_let_go():
    torch.manual_seed(0)
    layer = nn.Linear(2, 1, bias=False)
    small, large = torch.full((1, 2), 0.0123), torch.full((1, 2), 5.0)
    with fake_quantised(layer) as hold:
        layer(large)
        hold()
        coarse = layer(small)
        for _ in range(500):
            layer(small)
        assert torch.equal(layer(small), coarse)
        hold(False)
        for _ in range(500):
            layer(small)
        assert not torch.equal(layer(small), coarse)
