"""Statistics: known answers, known coverage, and the policy against itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from secateur.errors import SecateurError
from secateur.verify.statistics import interquartile_mean, paired_interval, retained_return, wilson_interval


def generator(seed=0):
    return np.random.default_rng(seed)


def test_retained_return_of_rewards_and_of_costs():
    got = retained_return(np.array([100.0, -100, -100, 100]), np.array([90.0, -110, -90, -20]))
    np.testing.assert_allclose(got, [0.9, 0.9, 1.1, -0.2])


@given(arrays(float, st.integers(2, 40), elements=st.floats(1, 1e6)), st.sampled_from([1, -1]))
@settings(max_examples=30, deadline=None)
def test_a_policy_against_itself_keeps_everything(returns, sign):
    assert paired_interval(sign * returns, sign * returns, generator(), 500) == (1.0, (1.0, 1.0))


@given(st.integers(0, 10**6), st.floats(-0.5, 0.9))
@settings(max_examples=20, deadline=None)
def test_a_constant_share_is_found_exactly(seed, loss):
    baseline = generator(seed).uniform(50, 500, 30)
    point, (low, high) = paired_interval(baseline, (1 - loss) * baseline, generator(), 1000)
    np.testing.assert_allclose(
        [point, low, high], 1 - loss
    )  # pairs: the spread between seeds does not matter


def test_the_interval_covers_as_often_as_it_says():
    rng, hits, runs = generator(1), 0, 400
    for _ in range(runs):
        baseline = rng.normal(400, 60, 48)
        fails = rng.random(48) < 0.25  # skewed: a quarter of the episodes lose most of the return
        artifact = np.where(fails, 0.4, 1.0) * baseline + rng.normal(0, 5, 48)
        _, (low, high) = paired_interval(baseline, artifact, rng, 1000)
        hits += low <= 0.85 <= high
    assert 0.92 <= hits / runs <= 0.98


def test_bca_agrees_with_scipy():
    rng = generator(3)
    baseline, artifact = rng.gamma(2, 100, 40), rng.gamma(2, 90, 40)
    expected = stats.bootstrap(
        (baseline, artifact),
        lambda b, a, axis: retained_return(b.mean(axis), a.mean(axis)),
        paired=True,
        n_resamples=50_000,
        rng=generator(4),
        vectorized=True,
    ).confidence_interval
    _, got = paired_interval(baseline, artifact, generator(5), 50_000)
    np.testing.assert_allclose(got, expected, atol=0.01)


def test_the_same_generator_gives_the_same_interval():
    baseline, artifact = generator(1).normal(9, 1, 20), generator(2).normal(9, 1, 20)
    assert paired_interval(baseline, artifact, generator(7)) == paired_interval(
        baseline, artifact, generator(7)
    )


@pytest.mark.parametrize("returns", [[0.0, 0.0, 0.0], [-1.0, 1.0, 0.5, -0.5], [0.0, 0.0, 0.0, 0.0, 1.0]])
def test_a_return_around_zero_has_no_shares(returns):
    with pytest.raises(SecateurError, match="must differ from zero"):
        paired_interval(np.array(returns), np.array(returns), generator())


def test_one_episode_has_no_interval():
    with pytest.raises(SecateurError, match="two or more pairs"):
        paired_interval(np.ones(1), np.ones(1), generator())


@pytest.mark.parametrize(("successes", "episodes"), [(0, 10), (10, 10), (93, 100), (1, 2)])
def test_wilson_agrees_with_scipy(successes, episodes):
    expected = stats.binomtest(successes, episodes).proportion_ci(method="wilson")
    np.testing.assert_allclose(
        wilson_interval(successes, episodes), (expected.low, expected.high), atol=1e-12
    )


@pytest.mark.parametrize(("successes", "episodes"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_counts_among_episodes(successes, episodes):
    with pytest.raises(SecateurError, match="counted among"):
        wilson_interval(successes, episodes)


def test_the_interquartile_mean_ignores_the_outer_quarters():
    assert interquartile_mean(np.array([-1e9, 1, 2, 3, 4, 5, 6, 1e9])) == 3.5
