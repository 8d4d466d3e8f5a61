"""Is the artifact good enough? A test of non-inferiority that may be looked at after every pair of episodes.

For a pair of episodes on one seed, with returns b of the original and a of the artifact, the artifact keeps the share r
of the original's mean return where the mean of ``a − k b`` is zero or more (k = r for positive returns, 2 − r for
negative ones). Whoever doubts it bets against: starting from 1, a stake λ of the capital is put on each pair, and the
capital is multiplied by ``1 + λ (a − k b) / m``, where −m is the least that ``a − k b`` can be. If the artifact keeps
less than r the game is unfair to the bettor, and the capital ever reaches 1/α with a probability of α at most (Ville
1939). So once it has, the artifact keeps more than r, with a confidence of 1 − α, however often one has looked, however
skewed returns are, and without normality. This is the test by betting of Waudby-Smith and Ramdas ("Estimating means of
bounded random variables by betting", JRSS B 86, 2024, arXiv 2010.09686); stakes are mixed as in Cover's universal
portfolio, half of the capital at the highest. docs/adr/0058 says why it is not a group-sequential t-test.

What −m is takes bounds of returns. Where the task declares them (``Task.return_range``) the errors hold as told. Else
they are empirical. The lower one is 0 where no reward was negative, and a guess where one was; the upper one is taken
to have been seen: by the original where the bet is on more, by either side, and a tenth of the original's mean above
it, where it is on less. A return far above all that were seen, of one episode in a hundred, can then deceive the test.

Both sides bet: that the artifact keeps more than is asked for (*passed*) and that it keeps less (*failed*). Until one
of them has won there is not enough evidence (*undecided*).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from secateur.errors import SecateurError

ALPHA = 0.05
"""Of each error: to pass what keeps less than asked for, to fail what keeps more; at any time."""
POWER = 0.9
"""With which an artifact without loss is to pass, and one with twice the allowed loss to fail."""
BATCH = 16
"""Pairs between looks."""
PILOT = 32
"""Episodes of the original from which it is worked out how many pairs are needed."""
MOST = 512
"""Pairs, unless asked for otherwise."""

STAKES = np.array([1.0, *(2.0 ** (-j / 2) for j in range(1, 13))])
SHARES = np.array([0.5, *[0.5 / 12] * 12])
_GAMES = 500
PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"


@dataclass(frozen=True)
class Evidence:
    """What some pairs say.

    Attributes:
        outcome: ``passed``, ``failed`` or ``undecided``.
        retained_at_least, retained_at_most: bounds of the retained return, each with a confidence of 1 − α at all
            times; None where nothing is known yet.
        lowest_return: that was assumed to be possible.
        lowest_is_known: the task declares it, or no reward was negative, so it is 0; else it is a guess.
        highest_return: that was assumed to be possible.
        highest_is_known: the task declares it; else it is the highest that was seen.
    """

    outcome: str
    retained_at_least: float | None
    retained_at_most: float | None
    lowest_return: float
    lowest_is_known: bool
    highest_return: float
    highest_is_known: bool


@dataclass(frozen=True)
class Plan:
    """How many pairs it takes, worked out before the artifact has run.

    Attributes:
        pairs: with which both powers are reached; None where ``most`` are too few.
        to_pass: with which an artifact without loss passes, in 90 of 100 cases.
        to_fail: with which one with twice the allowed loss fails.
        least: fewer never pass: were the allowed loss one of a few episodes that fail altogether, they would not
            have been among fewer.
        most: pairs at most.
        power_to_pass, power_to_fail: with ``most``.
    """

    pairs: int | None
    to_pass: int | None
    to_fail: int | None
    least: int
    most: int
    power_to_pass: float
    power_to_fail: float


def weigh(
    baseline: np.ndarray,
    artifact: np.ndarray,
    drop: float,
    lowest: float | None = None,
    highest: float | None = None,
) -> Evidence:
    """What pairs of returns say about a drop.

    Args:
        baseline: returns ``[n]`` of the original.
        artifact: of the artifact, on the same seeds.
        drop: largest acceptable loss, a share of the original's mean return.
        lowest: return below which no episode can be (0 where no reward is negative); None to guess.
        highest: return above which none can be; None to take what was seen.

    Raises:
        SecateurError: no evidence; or a return beyond ``lowest`` or ``highest``.
    """
    b, a = _checked(baseline, artifact, drop)
    low, known = _lowest(b, a, lowest)
    high = _highest(b, a, highest)
    above = np.log(1 / ALPHA)

    def shown(retained: float, more: bool) -> bool:
        return bool(_games(b, a, retained, (low, high), more).max() >= above)

    failed, passed = shown(1 - drop, False), shown(1 - drop, True)
    return Evidence(
        outcome=FAILED if failed else PASSED if passed else UNDECIDED,
        retained_at_least=_bound(lambda r: shown(r, True), up=True),
        retained_at_most=_bound(lambda r: shown(r, False), up=False),
        lowest_return=low,
        lowest_is_known=known,
        highest_return=float(max(b.max(), a.max())) if high is None else high,
        highest_is_known=high is not None,
    )


def decide(
    baseline: np.ndarray,
    artifact: np.ndarray,
    drop: float,
    lowest: float | None = None,
    highest: float | None = None,
) -> str:
    """The outcome alone."""
    b, a = _checked(baseline, artifact, drop)
    bounds = (_lowest(b, a, lowest)[0], _highest(b, a, highest))
    for outcome, more in ((FAILED, False), (PASSED, True)):
        if _games(b, a, 1 - drop, bounds, more).max() >= np.log(1 / ALPHA):
            return outcome
    return UNDECIDED


def least_pairs(drop: float) -> int:
    """Pairs without any loss that show a loss below ``drop`` in whatever form: (1 − drop)ⁿ ≤ α.

    95 % confidence in 95 % takes 59, the success run of reliability engineers.
    """
    return math.ceil(math.log(ALPHA) / math.log1p(-drop)) if 0 < drop < 1 else 1


def plan(
    pilot: np.ndarray,
    drop: float,
    generator: np.random.Generator,
    most: int = MOST,
    lowest: float | None = None,
    highest: float | None = None,
) -> Plan:
    """Plays the test on returns drawn from the pilot, to see how long it takes.

    The artifact is taken to be as good as the original, or worse by twice the drop in every episode, and its return on
    a seed to have nothing to do with the original's: where it has, fewer pairs will do.

    Args:
        pilot: returns ``[n]`` of the original.
        drop: largest acceptable loss.
        generator: draws them.
        most: pairs at most.
        lowest: as for ``weigh``.
        highest: likewise.
    """
    drawn = np.asarray(pilot, np.float64)[generator.integers(0, len(pilot), size=(2, _GAMES, most))]
    one, other = drawn
    seen = np.asarray(pilot, np.float64)
    bounds = (_lowest(seen, seen, lowest)[0], _highest(seen, seen, highest))
    shift = 2 * drop * abs(float(np.mean(pilot)))
    scaled = other * (1 - 2 * drop) if float(np.mean(pilot)) > 0 else other - shift
    times = {}
    for name, returns, more in (("pass", other, True), ("fail", scaled, False)):
        won = np.maximum.accumulate(_games(one, returns, 1 - drop, bounds, more), axis=1) >= np.log(1 / ALPHA)
        first = np.where(won.any(axis=1), won.argmax(axis=1) + 1, most + 1)
        reached = int(np.quantile(first, POWER, method="higher"))
        pairs = -(-reached // BATCH) * BATCH
        times[name] = (None if reached > most else min(most, pairs), float((first <= most).mean()))
    passing, failing = times["pass"], times["fail"]
    both = None if passing[0] is None or failing[0] is None else max(passing[0], failing[0])
    return Plan(both, passing[0], failing[0], least_pairs(drop), most, passing[1], failing[1])


def _checked(baseline: np.ndarray, artifact: np.ndarray, drop: float) -> tuple[np.ndarray, np.ndarray]:
    b, a = np.asarray(baseline, np.float64), np.asarray(artifact, np.float64)
    if (
        b.ndim != 1
        or b.shape != a.shape
        or not len(b)
        or not np.isfinite(b).all()
        or not np.isfinite(a).all()
    ):
        raise SecateurError(
            "evidence is one or more pairs of finite returns",
            f"got {list(b.shape)} and {list(a.shape)}",
            "Run both on the same seeds.",
        )
    if not 0 <= drop < 1:
        raise SecateurError("an acceptable loss is between 0 and 100 %", f"got {drop:.1%}", "Correct it.")
    if b.mean() == 0:
        raise SecateurError(
            "a loss of return is a share of the original's mean return, which must differ from zero",
            f"it is 0 over {len(b)} episodes",
            "Give the task a reward with a natural zero.",
        )
    return b, a


def _lowest(b: np.ndarray, a: np.ndarray, given: float | None) -> tuple[float, bool]:
    """The least return that is possible, and whether that is known."""
    seen = float(min(b.min(), a.min()))
    if given is None:
        return seen - abs(float(b.mean())), False
    _require_within(seen, given, given - seen, "below the least")
    return min(given, seen), True


def _highest(b: np.ndarray, a: np.ndarray, given: float | None) -> float | None:
    """The most that is possible; None where that is not known."""
    if given is None:
        return None
    seen = float(max(b.max(), a.max()))
    _require_within(seen, given, seen - given, "above the most")
    return max(given, seen)


def _require_within(seen: float, bound: float, beyond: float, where: str) -> None:
    """Raises SecateurError where a return is farther beyond its bound than sums are rounded."""
    if beyond > 1e-6 * max(abs(bound), abs(seen)):
        raise SecateurError(
            f"no return is {where} that its task declares to be possible",
            f"one is {seen:.6g}, the bound is {bound:.6g}",
            "Correct return_range of the task, or leave it out.",
        )


def _games(
    b: np.ndarray, a: np.ndarray, retained: float, bounds: tuple[float, float | None], more: bool
) -> np.ndarray:
    """Logarithms of the capital after each pair, ``[..., n]``, of who bets on more, or on less, than ``retained``.

    Of the bounds of returns the upper one is None where it is not known: the highest seen stands in for it.

    Who bets on less loses most where the original's return is the lowest that is possible, seen or not: an original
    that falls in one episode in twenty has often not yet fallen in thirty.
    """
    k = np.where(b.mean(axis=-1, keepdims=True) > 0, retained, 2 - retained)
    due = k * b
    low, high = bounds
    if more:
        most = due.max(axis=-1, keepdims=True) if high is None else np.maximum(k * low, k * high)
        gain, worst = a - due, most - low
    else:
        slack = 0.1 * np.abs(b.mean(axis=-1, keepdims=True))
        top = np.maximum(b, a).max(axis=-1, keepdims=True) + slack if high is None else high
        least = due.min(axis=-1, keepdims=True) if high is None else k * high
        gain, worst = due - a, top - np.minimum(k * low, least)
    with np.errstate(divide="ignore", over="ignore"):
        share = gain / np.maximum(worst, np.finfo(float).tiny)
        capitals = [np.log(w) + np.cumsum(np.log1p(s * share), axis=-1) for s, w in zip(STAKES, SHARES)]
    return np.logaddexp.reduce(capitals, axis=0)


def _bound(shown: Callable[[float], bool], up: bool) -> float | None:
    """The highest retained return that is shown to be exceeded, or the lowest that is shown not to be reached."""
    low, high = -1.0, 3.0
    if not shown(low if up else high):
        return None
    for _ in range(40):
        middle = (low + high) / 2
        if shown(middle) == up:
            low = middle
        else:
            high = middle
    return low if up else high
