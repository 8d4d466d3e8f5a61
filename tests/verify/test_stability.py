"""Stability: margins that a hand can compute, an orbit, invariances, and the cart-pole whole, cut and random."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.errors import BudgetInfeasible, SecateurError
from secateur.graph.groups import build_graph
from secateur.policy.load import load
from secateur.prune.surgery import cut
from secateur.simulate import torch_controller
from secateur.simulate.rollout import Trajectory, rollouts
from secateur.verify.frontier import frontier
from secateur.verify.stability import (
    StabilityCriterion,
    StabilityMargin,
    assess,
    fit_criterion,
)
from secateur.verify.state_space import latent_of, observed
from secateur.verify.statistics import lower_tail_interval, lower_tail_mean


def episode(states, seed=0, terminated=False, success=None):
    """A trajectory through these states ``[T + 1, n]``."""
    steps = len(states) - 1
    return Trajectory(
        seed, np.asarray(states), np.zeros((steps, 1)), np.zeros(steps), 0.0, success, terminated
    )


def judge(criterion, episodes, to_state=observed):
    return assess(criterion, episodes, np.random.default_rng(0), to_state)


def scalar(rate, starts=(1.0, -1.0, 0.8, -0.8), steps=200):
    """The closed loop z⁺ = rate · z."""
    return [episode(z * rate ** np.arange(steps + 1)[:, None], i) for i, z in enumerate(starts)]


ORIGINAL = fit_criterion(scalar(0.9))


def by_hand(rate):
    """The margin of z⁺ = rate · z from ±1, against the original 0.9 from ±1 and ±0.8, all on paper.

    Excursions, from z(0) to z(200) ≈ 0, are 1, 1, 0.8 and 0.8: median 0.9. Settled is within 5 % of it, 0.045; the
    bound is 0.09. From 1, 0.9^t is within 0.045 at t = 30 (29.4), and halves in 7 steps (6.6): H = 14 and D = 60.
    Against V / 2 after 14 steps, outside of the bound: −14 log₂ rate − 1. Against 0.09 from step 60 on, worst there
    where it shrinks and at the end, step 200, where it grows: log₂ 0.09 − steps · log₂ rate.
    """
    worst = 60 if rate <= 1 else 200
    return min(1.0, -14 * math.log2(rate) - 1, math.log2(0.09) - worst * math.log2(rate))


def test_the_criterion_is_what_paper_says():
    assert ORIGINAL.horizon_steps == 14
    assert ORIGINAL.deadline_steps == 60
    np.testing.assert_allclose(ORIGINAL.bound * ORIGINAL.scale[0], 0.09, rtol=1e-3)
    assert ORIGINAL.episodes == 4
    assert ORIGINAL.left_out == 0


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.94, 0.95, 0.96, 0.99, 1.0, 1.01, 1.05])
def test_the_margin_of_a_linear_loop_is_what_paper_says(rate):
    found = judge(ORIGINAL, scalar(rate, (1.0, -1.0, 1.0, -1.0)))
    np.testing.assert_allclose(found.margin, by_hand(rate), atol=2e-3)
    assert found.kept == (by_hand(rate) > 0)
    assert not found.undecided
    assert found.ci95 == (found.margin, found.margin)


def test_the_limit_is_half_the_rate_of_the_original():
    slowest = 2 ** (-1 / 14)
    assert judge(ORIGINAL, scalar(slowest * 0.999)).kept
    assert not judge(ORIGINAL, scalar(slowest * 1.001)).kept


def test_marginal_loops_are_not_kept_however_small_their_returns_differ():
    still = judge(ORIGINAL, scalar(1.0))
    assert still.margin < -1
    assert still.decrease_share == 0
    assert still.entered_share == 0
    assert still.stayed_share is None
    inside = judge(ORIGINAL, scalar(1.0, (0.08, -0.08, 0.05, 0.01)))  # bounded: practical stability
    assert inside.kept
    assert inside.decrease_share is None
    assert inside.entered_share == inside.stayed_share == 1


def test_an_offset_counts_from_the_bound_on():
    """It settles elsewhere: 0.06 off is within the bound of 0.09, by log₂ 1.5; 0.12 off is not, by log₂ 0.75."""
    for offset, sign in ((0.06, 1), (0.12, -1)):
        moved = [replace(e, observations=e.observations + offset) for e in scalar(0.9)]
        found = judge(ORIGINAL, moved)
        assert found.kept == (sign > 0)
        np.testing.assert_allclose(found.final_distance, offset / 0.09, rtol=1e-2)
        still = judge(ORIGINAL, scalar(1.0, [offset] * 4))
        np.testing.assert_allclose(still.margin, math.log2(0.09 / offset), atol=2e-3)


def test_one_bad_episode_of_eight_is_not_made_up_for():
    good = scalar(0.9, np.linspace(-1, 1, 8))
    bad = [*good[:7], *scalar(1.0, (1.0,))]
    found = judge(ORIGINAL, bad)
    assert found.episodes_kept == 7
    assert not found.kept
    assert judge(ORIGINAL, good).margin == 1


def test_it_leaves_after_having_settled():
    late = [e.observations.copy() for e in scalar(0.9)]
    for states in late:
        states[150:] += 0.5 * 1.1 ** np.arange(51)[:, None]
    found = judge(ORIGINAL, [episode(states) for states in late])
    assert not found.kept
    assert found.entered_share == 1
    assert 0.5 < found.stayed_share < 1


def test_a_fall_is_no_convergence():
    fell = [episode(e.observations[:5], terminated=True) for e in scalar(1.3)]
    found = judge(ORIGINAL, fell)
    assert found.margin < -2
    arrived = [episode(e.observations[:80], terminated=True) for e in scalar(0.9)]
    assert judge(ORIGINAL, arrived).margin == 1
    with pytest.raises(SecateurError, match="cut off after 79 of 200 steps"):
        judge(ORIGINAL, [episode(e.observations[:80]) for e in scalar(0.9)])


@given(st.floats(0.3, 1.1), st.floats(0.3, 1.1))
@settings(max_examples=40, deadline=None)
def test_more_damping_never_lowers_the_margin(one, two):
    less, more = sorted((one, two), reverse=True)
    assert judge(ORIGINAL, scalar(more)).margin >= judge(ORIGINAL, scalar(less)).margin - 1e-9


def spiral(radius, seed, count=6, steps=150, noise=0.0):
    """Rotation with damping from random starts in the plane, with bounded disturbance."""
    rng = np.random.default_rng(seed)
    turn = radius * np.array([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    found = []
    for number in range(count):
        states = [rng.normal(size=2)]
        for _ in range(steps):
            states.append(turn @ states[-1] + noise * rng.uniform(-1, 1, 2))
        found.append(episode(np.array(states), number))
    return found


@given(
    st.integers(0, 1000),
    st.floats(0.8, 1.03),
    st.tuples(st.floats(1e-3, 1e3), st.floats(-1e3, -1e-3)),
    st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
)
@settings(max_examples=25, deadline=None)
def test_units_of_the_state_do_not_matter(seed, radius, factor, offset):
    def other_units(episodes):
        return [replace(e, observations=e.observations * factor + offset) for e in episodes]

    original, pruned = spiral(0.88, seed), spiral(radius, seed + 1)
    mine = judge(fit_criterion(original), pruned)
    theirs = judge(fit_criterion(other_units(original)), other_units(pruned))
    np.testing.assert_allclose(mine.episode_margins, theirs.episode_margins, atol=1e-4)
    np.testing.assert_allclose(mine.margin, theirs.margin, atol=1e-4)


@given(st.integers(0, 1000), st.permutations(range(6)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_episodes_does_not_matter(seed, order):
    original, pruned = spiral(0.88, seed), spiral(0.94, seed + 1)
    mine = judge(fit_criterion(original), pruned)
    theirs = judge(fit_criterion([original[i] for i in order]), [pruned[i] for i in order])
    np.testing.assert_allclose(mine.margin, theirs.margin, atol=1e-9)


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_original_keeps_on_its_own_episodes_with_margin_one(seed):
    original = spiral(0.88, seed, noise=0.02)
    assert judge(fit_criterion(original), original).margin == 1


def test_noise_sets_the_bound_where_it_is_larger_than_the_band():
    quiet, noisy = (fit_criterion(spiral(0.88, 3, noise=noise)) for noise in (0.0, 0.1))
    assert 0.05 * quiet.excursion <= quiet.settled < 0.1 * quiet.excursion
    assert noisy.settled > 0.1 * noisy.excursion
    assert judge(noisy, spiral(0.88, 4, noise=0.1)).kept
    assert not judge(noisy, spiral(0.88, 4, noise=0.4)).kept


def van_der_pol(mu, seed, count=8, steps=400, amplitude=1.0):
    """x″ = mu (1 − (x / amplitude)²) x′ − x, Euler steps of 0.01, one in ten seen; |x| held below 100."""
    rng = np.random.default_rng(seed)
    state = rng.normal(scale=1.5, size=(count, 2))
    seen = [state.copy()]
    for _ in range(steps):
        for _ in range(10):
            x, v = state.T
            state = state + 0.01 * np.stack([v, mu * (1 - (x / amplitude) ** 2) * v - x], axis=1)
            state = np.clip(state, -100, 100)
        seen.append(state.copy())
    return [episode(states, i) for i, states in enumerate(np.stack(seen, axis=1))]


def test_an_orbit_is_an_attractor_too():
    criterion = fit_criterion(van_der_pol(1.0, 0))
    assert judge(criterion, van_der_pol(1.0, 1)).margin > 0.9
    slower = judge(criterion, van_der_pol(0.8, 1))
    assert slower.kept
    for mu, amplitude in (
        (-0.3, 1.0),
        (1.0, 2.0),
        (1.0, 0.5),
        (0.0, 1.0),
    ):  # rests, too wide, too small, neither
        lost = judge(criterion, van_der_pol(mu, 1, amplitude=amplitude))
        assert lost.ci95[1] < 0, (mu, amplitude)
    diverges = judge(criterion, van_der_pol(-1.0, 1, amplitude=0.2))
    assert diverges.margin < -3


def test_to_rest_on_the_orbit_is_not_seen_without_velocity():
    """What docs/stability.md warns of: a state that lacks a velocity cannot tell standing from moving."""
    position = lambda e: observed(e)[:, :1]  # noqa: E731
    rest = [episode(np.tile([1.0, 0.0], (401, 1))) for _ in range(8)]
    assert not judge(fit_criterion(van_der_pol(1.0, 0)), rest).kept
    assert judge(fit_criterion(van_der_pol(1.0, 0), position), rest, position).kept


def test_failed_and_stray_episodes_of_the_original_are_left_out():
    good = scalar(0.9, np.linspace(-1, 1, 8))
    failed = [replace(e, success=False) for e in scalar(1.0, (0.9, 0.9, 0.9))]
    stray = scalar(1.0, (0.7,))
    criterion = fit_criterion([*good, *failed, *stray])
    assert criterion.episodes == 8
    assert criterion.left_out == 4
    assert criterion == replace(fit_criterion(good), left_out=4)


def test_one_slow_start_does_not_undo_the_fit():
    """At rest for 100 of 200 steps, longer than H could be: it sets D, and not H."""
    good = scalar(0.9, np.linspace(-1, 1, 8))
    late = good[0].observations[np.maximum(np.arange(201) - 100, 0)]
    criterion = fit_criterion([*good, episode(late)])
    assert criterion.episodes == 9
    assert criterion.horizon_steps == 14
    assert criterion.deadline_steps == 150
    with pytest.raises(
        SecateurError, match="in 3 of 11 episodes its distance to where it ends does not always halve"
    ):
        fit_criterion([*good, *[episode(late)] * 3])


def test_an_original_that_does_not_settle_is_refused():
    with pytest.raises(SecateurError, match="the original settles"):
        fit_criterion(scalar(0.99))
    with pytest.raises(SecateurError, match=r"it takes 1\d\d of 200 steps"):
        fit_criterion([episode(np.arange(201.0)[:, None])] * 4)  # alike, but always on its way
    with pytest.raises(SecateurError, match="3 of 9 episodes end far from the others"):
        fit_criterion([*scalar(0.9, np.linspace(0.5, 1, 6)), *scalar(1.0, (1, 3, 9))])
    with pytest.raises(SecateurError, match="states that move"):
        fit_criterion([episode(np.ones((50, 2))) for _ in range(4)])
    with pytest.raises(SecateurError, match="got 3"):
        fit_criterion(scalar(0.9)[:3])
    with pytest.raises(SecateurError, match="got 2"):
        judge(ORIGINAL, scalar(0.9)[:2])
    with pytest.raises(SecateurError, match=r"\[201, 2\]"):
        judge(ORIGINAL, [episode(np.zeros((201, 2))) for _ in range(4)])


def test_it_is_plain_data():
    criterion = fit_criterion(spiral(0.88, 0))
    assert StabilityCriterion.from_data(json.loads(json.dumps(criterion.to_data()))) == criterion


def test_dict_observations_are_flattened_by_name():
    states = {"b": np.arange(12.0).reshape(3, 2, 2), "a": np.array([7.0, 8, 9])}
    made = observed(replace(episode(np.zeros((3, 1))), observations=states))
    np.testing.assert_array_equal(made, [[7, 0, 1, 2, 3], [8, 4, 5, 6, 7], [9, 8, 9, 10, 11]])


def test_the_worst_share():
    assert lower_tail_mean(np.array([3.0, -1, 2, 1, 5, 9, 9, 9]), 0.25) == 0
    assert lower_tail_mean(np.array([3.0, 2.0]), 0.25) == 2
    rng, hits = np.random.default_rng(5), 0
    truth = -math.exp(-(0.6744897501960817**2) / 2) / math.sqrt(2 * math.pi) / 0.25
    for _ in range(200):
        _, (low, high) = lower_tail_interval(rng.normal(size=64), 0.25, rng, 500)
        hits += low <= truth <= high
    assert 0.88 <= hits / 200 <= 0.99


# the frontier


def kept(level):
    return StabilityMargin(0.0, (level, level), (level,) * 4, None, 1.0, 1.0, 0.0)


def test_the_frontier_is_found_between_two_levels():
    told = []
    found = frontier(
        lambda level: judge(ORIGINAL, scalar(1.0 - 0.1 * level)),  # kept where the rate is below 2^(−1/14)
        low=0.01,
        high=1.0,
        evaluations=9,
        resolution=1.05,
        progress=lambda point, done, most: told.append((point.level, done, most)),
    )
    edge = (1 - 2 ** (-1 / 14)) / 0.1
    assert found.lost.level < edge < found.kept.level < 1.05 * found.lost.level
    assert [t[0] for t in told] == [p.level for p in found.points]
    assert told[-1][1:] == (9, 9)
    assert found.points[0].level == 1.0
    assert found.points[1].level == 0.01


@given(st.floats(0.011, 0.99), st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_every_tried_level_stands_on_its_side(edge, evaluations):
    found = frontier(lambda level: kept(level - edge), 0.01, 1.0, evaluations)
    assert len(found.points) <= evaluations
    assert found.lost.level <= edge < found.kept.level
    assert all(point.kept == (point.level > edge) for point in found.points)


def test_the_ends_of_the_frontier():
    assert len(frontier(lambda level: kept(1.0), 0.1, 1.0).points) == 2
    assert frontier(lambda level: kept(1.0), 0.1, 1.0).kept.level == 0.1
    assert frontier(lambda level: kept(1.0), 0.1, 1.0).lost is None
    none = frontier(lambda level: kept(-1.0), 0.1, 1.0)
    assert none.kept is None
    assert len(none.points) == 1


def test_doubt_counts_as_lost_and_what_cannot_be_built_too():
    doubtful = StabilityMargin(0.5, (-0.1, 1.0), (0.5,) * 4, None, 1.0, 1.0, 0.0)
    assert doubtful.undecided

    def margin_at(level):
        if level < 0.2:
            raise BudgetInfeasible("widths fit", f"{level:.2f}", "Raise it.")
        return doubtful if level < 0.5 else kept(1.0)

    found = frontier(margin_at, 0.05, 1.0, evaluations=10)
    assert 0.5 <= found.kept.level < 0.55
    assert "widths fit" in found.points[1].refused
    assert found.points[1].margin is None


@pytest.mark.parametrize(
    "case", [(0.0, 1.0, 5, 1.1), (1.0, 0.5, 5, 1.1), (0.1, 1.0, 1, 1.1), (0.1, 1.0, 5, 1.0)]
)
def test_a_frontier_that_makes_no_sense_is_refused(case):
    with pytest.raises(SecateurError, match="a frontier lies between"):
        frontier(lambda level: kept(1.0), *case)


# a trained policy


@pytest.fixture(scope="module")
def cartpole():
    loaded = load("tdmpc_cartpole")
    return (
        loaded.policy,
        loaded.task,
        rollouts(loaded.task, torch_controller(loaded.policy, loaded.task), range(8)),
    )


def cut_to(policy, share):
    """Every group's first channels, a share of them."""
    graph = build_graph(policy)
    return cut(policy, graph, {g.name: torch.arange(max(4, round(share * g.width))) for g in graph.groups})


def shuffled(policy):
    """The same weights in a random order within each tensor: as large, and good for nothing."""
    generator = torch.Generator().manual_seed(0)
    other = cut_to(policy, 1.0)
    with torch.no_grad():
        for weight in other.module.parameters():
            weight.copy_(
                weight.flatten()[torch.randperm(weight.numel(), generator=generator)].view_as(weight)
            )
    return other


@pytest.mark.parametrize("space", ["observation", "latent"])
def test_cart_pole_is_kept_whole_and_lost_cut_or_random(cartpole, space):
    policy, task, base = cartpole
    to_state = observed if space == "observation" else latent_of(policy, task)
    criterion = fit_criterion(base, to_state)

    def margin(other):
        return judge(criterion, rollouts(task, torch_controller(other, task), range(100, 108)), to_state)

    original = margin(policy)
    assert original.kept
    assert original.margin > 0.9
    assert original.stayed_share == 1
    for other in (cut_to(policy, 0.5), shuffled(policy)):
        lost = margin(other)
        assert lost.ci95[1] < -1
        assert lost.final_distance > 2


def test_a_policy_without_an_encoder_says_so(cartpole):
    policy, task, _ = cartpole
    with pytest.raises(SecateurError, match="no entry 'see'"):
        latent_of(policy, task, "see")


def test_the_page_shows_what_the_bench_found():
    root = Path(__file__).parents[2]
    rows = json.loads((root / "bench/results/stability.json").read_bytes())["rows"]
    text = (root / "docs/stability.md").read_text(encoding="utf-8")
    shown = text.split("<!-- stability -->")[1].split("<!-- /stability -->")[0].strip().splitlines()[2:]
    rows.sort(key=lambda row: (-row["share"], row["policy"] == "shuffled"))
    assert shown == [
        f"| {row['policy']} | {row['share']:.3f} | {row['parameters']:,} | {row['return_mean']:.1f} | {row['space']} "
        f"| {row['margin']:+.2f} ({row['ci95'][0]:+.2f} to {row['ci95'][1]:+.2f}) "
        f"| {'kept' if row['kept'] else 'lost'}, {sum(m > 0 for m in row['episode_margins'])} of 16 |"
        for row in rows
    ]
