"""The sequential test: its errors are held whatever returns are and however often one looks; its power is as told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.errors import SecateurError
from secateur.verify import sequential
from secateur.verify.sequential import ALPHA, BATCH, FAILED, PASSED, PILOT, POWER, UNDECIDED

DROP = 0.05
VERDICTS = 1000


def noisy(rng, n, spread=8.0):
    return np.maximum(0.0, rng.normal(100, spread, n))


def verdicts(draw, most, count=VERDICTS, seed=0, highest=None):
    """How many of some simulated verdicts had each outcome, each looked at after every batch; and pairs at the end."""
    rng = np.random.default_rng(seed)
    counts, pairs = {PASSED: 0, FAILED: 0, UNDECIDED: 0}, []
    for _ in range(count):
        baseline, artifact = draw(rng, most)
        for n in range(PILOT, most + 1, BATCH):
            outcome = sequential.decide(baseline[:n], artifact[:n], DROP, 0.0, highest)
            if outcome != UNDECIDED:
                break
        counts[outcome] += 1
        pairs.append(n)
    return counts, np.mean(pairs)


def within(count, rate, total=VERDICTS):
    """Not more often than so, but for chance (three standard errors)."""
    return count <= total * rate + 3 * np.sqrt(total * rate * (1 - rate))


def plan_for(draw, seed=1, highest=None):
    rng = np.random.default_rng(seed)
    return sequential.plan(draw(rng, PILOT)[0], DROP, rng, lowest=0.0, highest=highest)


def itself(rng, n):
    return noisy(rng, n), noisy(rng, n)


def planted_loss(rng, n):
    return noisy(rng, n), 0.9 * noisy(rng, n)


def test_a_policy_against_itself_never_fails_and_passes_at_the_stated_power():
    plan = plan_for(itself)
    counts, pairs = verdicts(itself, plan.pairs)
    assert within(counts[FAILED], ALPHA)
    assert within(VERDICTS - counts[PASSED], 1 - POWER)
    assert pairs < plan.pairs  # a clear case ends early


def test_a_planted_loss_of_a_tenth_is_caught_at_the_stated_power():
    plan = plan_for(itself)
    counts, pairs = verdicts(planted_loss, plan.pairs)
    assert within(counts[PASSED], ALPHA)
    assert within(VERDICTS - counts[FAILED], 1 - POWER)
    assert pairs < plan.pairs


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: (noisy(rng, n), 0.95 * noisy(rng, n)),
        lambda rng, n: (np.full(n, 100.0), np.where(rng.random(n) < 0.05, 0.0, 100.0)),
        lambda rng, n: (np.full(n, 100.0), np.where(rng.random(n) < 0.1, 50.0, 100.0)),
        lambda rng, n: (noisy(rng, n), rng.exponential(95.0, n)),
        lambda rng, n: (np.where(rng.random(n) < 0.05, 0.0, 100.0), np.full(n, 0.95 * 95.0)),
    ],
    ids=["normal", "one in twenty falls", "one in ten half falls", "exponential", "the original falls"],
)
def test_at_the_limit_both_errors_are_held_whatever_returns_look_like(draw):
    counts, _ = verdicts(draw, 192, 400)
    assert within(counts[PASSED], ALPHA, 400)
    assert within(counts[FAILED], ALPHA, 400)


def rare_riches(rng, n):
    """The original earns six times as much in one episode in a hundred; the artifact keeps 95 % of the mean."""
    return np.where(rng.random(n) < 0.01, 600.0, 100.0), np.full(n, 0.95 * 105.0)


def test_rare_riches_deceive_the_test_unless_their_bound_is_declared():
    guessed, _ = verdicts(rare_riches, 192, 400)
    declared, _ = verdicts(rare_riches, 192, 400, highest=600.0)
    assert guessed[PASSED] > 400 / 3
    assert within(declared[PASSED], ALPHA, 400)
    assert within(declared[FAILED], ALPHA, 400)


def test_with_declared_bounds_a_policy_against_itself_passes_at_the_stated_power_and_a_loss_is_caught():
    plan = plan_for(itself, highest=150.0)
    passing, _ = verdicts(itself, plan.pairs, 400, highest=150.0)
    failing, _ = verdicts(planted_loss, plan.pairs, 400, highest=150.0)
    assert within(passing[FAILED], ALPHA, 400)
    assert within(400 - passing[PASSED], 1 - POWER, 400)
    assert within(failing[PASSED], ALPHA, 400)
    assert within(400 - failing[FAILED], 1 - POWER, 400)
    assert plan_for(itself).pairs < plan.pairs  # what is not guessed takes longer


@pytest.mark.parametrize("bounds", [(0.0, 99.0), (101.0, 200.0)])
def test_a_return_beyond_its_declared_bounds_is_refused(bounds):
    with pytest.raises(SecateurError, match="Correct return_range"):
        sequential.weigh(np.full(60, 100.0), np.full(60, 100.0), DROP, *bounds)


def test_a_students_test_that_is_looked_at_as_often_would_not_hold_it():
    """Why it is no t-test: one episode in twenty falls, and in a few dozen none is seen to."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        gain = np.where(rng.random(192) < 0.05, 0.0, 100.0) - 95.0
        for n in range(PILOT, 193, BATCH):
            spread = gain[:n].std(ddof=1)
            if gain[:n].mean() > 2.5 * spread / np.sqrt(n):  # stricter than any spending function's last look
                wrong += 1
                break
    assert wrong > 400 * 3 * ALPHA


def test_with_equal_returns_a_verdict_takes_about_the_success_run():
    assert sequential.least_pairs(0.05) == 59  # 95 % confidence in 95 %
    equal = np.full(200, 7.0)
    first = next(n for n in range(2, 200) if sequential.decide(equal[:n], equal[:n], DROP, 0.0) == PASSED)
    assert 59 <= first <= 80


def test_a_pilot_that_varies_too_much_has_no_plan_and_says_its_power():
    rng = np.random.default_rng(0)
    plan = sequential.plan(rng.exponential(100.0, PILOT), DROP, rng, most=64, lowest=0.0)
    assert plan.pairs is None
    assert plan.power_to_pass < POWER


def test_costs_are_judged_as_returns_are():
    rng = np.random.default_rng(3)
    cost = -noisy(rng, 300, 3.0)
    assert sequential.weigh(cost, cost, DROP).outcome == PASSED
    worse = sequential.weigh(cost, 1.2 * cost, DROP)
    assert worse.outcome == FAILED
    assert worse.retained_at_most < 0.95
    assert not worse.lowest_is_known


@given(st.integers(0, 10**6), st.floats(0.5, 1.3), st.floats(1e-3, 1e6))
@settings(max_examples=20, deadline=None)
def test_bounds_agree_with_the_outcome_hold_the_truth_and_have_no_unit(seed, share, unit):
    rng = np.random.default_rng(seed)
    baseline = rng.uniform(80, 120, 96)
    artifact = share * baseline
    evidence = sequential.weigh(unit * baseline, unit * artifact, DROP, 0.0)
    low, high = evidence.retained_at_least, evidence.retained_at_most
    assert low < share + 1e-6
    assert high is None or high > share - 1e-6
    assert (evidence.outcome == PASSED) == (low >= 1 - DROP - 1e-9)
    assert evidence.outcome == sequential.decide(baseline, artifact, DROP, 0.0)
    assert low == pytest.approx(sequential.weigh(baseline, artifact, DROP, 0.0).retained_at_least, abs=1e-6)


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_better_artifact_is_never_judged_worse(seed):
    rng = np.random.default_rng(seed)
    baseline, artifact = rng.uniform(50, 150, 80), rng.uniform(50, 150, 80)
    better = artifact + rng.uniform(0, 20, 80) * (artifact < 120)
    low = sequential.weigh(baseline, artifact, DROP, 0.0).retained_at_least
    assert sequential.weigh(baseline, better, DROP, 0.0).retained_at_least >= low - 1e-9


@pytest.mark.parametrize(
    ("baseline", "artifact", "drop"),
    [
        ([], [], 0.05),
        ([1.0], [1.0, 2.0], 0.05),
        ([np.nan], [1.0], 0.05),
        ([1.0], [1.0], 1.0),
        ([0.0], [1.0], 0.1),
    ],
)
def test_what_is_no_evidence_is_refused(baseline, artifact, drop):
    with pytest.raises(SecateurError):
        sequential.weigh(np.array(baseline), np.array(artifact), drop)
