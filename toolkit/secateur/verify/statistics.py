"""How sure the verdict is: intervals for paired returns, success rates and the worst episodes."""

import math

import numpy as np
from scipy import stats

from secateur.errors import SecateurError

RESAMPLES = 10_000
CONFIDENCE = 0.95
_CHUNK = 1_000


def retained_return(baseline: np.ndarray, artifact: np.ndarray) -> np.ndarray:
    """Share of the baseline's mean return that is kept: ``1 − (baseline − artifact) / |baseline|``.

    For positive returns this is the ratio. For costs (negative returns) it still says what was lost, as a
    share of the baseline: −110 against −100 keeps 0.9, and so does 90 against 100.

    Args:
        baseline: mean returns, any shape, none zero.
        artifact: the same shape.
    """
    return 1.0 - (baseline - artifact) / np.abs(baseline)


def paired_interval(
    baseline: np.ndarray,
    artifact: np.ndarray,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[float, tuple[float, float]]:
    """Retained return and its 95 % interval, by a bootstrap over pairs of episodes.

    Pairs (same seed) are drawn together, so what the seed does to both is not counted as uncertainty. The
    interval is bias-corrected and accelerated (BCa; Efron, "Better Bootstrap Confidence Intervals", JASA 82,
    1987), which matters here because returns are skewed: most episodes go well and a few fail. Where BCa is
    undefined (all resamples alike) it is the percentile interval.

    Args:
        baseline: returns ``[n]`` of the original, n ≥ 2.
        artifact: returns ``[n]`` of the artifact, on the same seeds.
        generator: draws the resamples.
        resamples: how many.

    Returns:
        The point, and (low, high).

    Raises:
        SecateurError: fewer than two episodes, or a baseline whose mean return cannot be told from zero.
    """
    baseline, artifact = np.asarray(baseline, np.float64), np.asarray(artifact, np.float64)
    n = len(baseline)
    if n < 2 or artifact.shape != baseline.shape:
        raise SecateurError(
            "an interval needs two or more pairs of episodes",
            f"got {n} and {len(artifact)} returns",
            "Ask for more episodes.",
        )
    means = np.concatenate(
        [
            np.stack([baseline[index].mean(axis=1), artifact[index].mean(axis=1)])
            for index in (
                generator.integers(0, n, size=(min(_CHUNK, resamples - start), n))
                for start in range(0, resamples, _CHUNK)
            )
        ],
        axis=1,
    )
    _require_sign(baseline, means[0])
    point = float(retained_return(baseline.mean(), artifact.mean()))
    left_out = retained_return(
        (baseline.sum() - baseline) / (n - 1), (artifact.sum() - artifact) / (n - 1)
    )  # jackknife
    return point, _bca(point, retained_return(means[0], means[1]), left_out)


def _bca(point: float, resampled: np.ndarray, left_out: np.ndarray) -> tuple[float, float]:
    """The BCa interval of ``point``, from resampled values ``[R]`` and jackknife values ``[n]``."""
    tails = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    below = (np.mean(resampled < point) + np.mean(resampled <= point)) / 2
    if 0 < below < 1:
        offset = left_out.mean() - left_out
        spread = float((offset**2).sum()) ** 1.5
        acceleration = float((offset**3).sum()) / (6 * spread) if spread > 0 else 0.0
        bias = stats.norm.ppf(below)
        shifted = bias + stats.norm.ppf(tails)
        tails = stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(resampled, tails)
    return float(low), float(high)


def require_judgeable(returns: np.ndarray, generator: np.random.Generator) -> None:
    """Raises SecateurError where no share of these returns can be stated, before anything else is run."""
    paired_interval(returns, returns, generator)


def _require_sign(baseline: np.ndarray, means: np.ndarray) -> None:
    """The baseline's mean must differ from zero, or a share of it means nothing."""
    mean = baseline.mean()
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if low <= 0 <= high or (means == 0).any():
        raise SecateurError(
            "a loss of return is a share of the original's mean return, which must differ from zero",
            f"it is {mean:.4g}, 95 % interval {low:.4g} to {high:.4g}, over {len(baseline)} episodes",
            "Give the task a reward with a natural zero (a policy that does nothing gets about 0), "
            "or ask for more episodes.",
        )


def wilson_interval(successes: int, episodes: int) -> tuple[float, float]:
    """95 % interval of a success rate (Wilson, JASA 22, 1927); sensible at 0 and 100 %, and for few episodes.

    Raises:
        SecateurError: no episodes, or more successes than episodes.
    """
    if not 0 <= successes <= episodes or episodes == 0:
        raise SecateurError(
            "successes are counted among one or more episodes",
            f"got {successes} of {episodes}",
            "Run at least one episode.",
        )
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    rate = successes / episodes
    middle = rate + z * z / (2 * episodes)
    reach = z * math.sqrt(rate * (1 - rate) / episodes + z * z / (4 * episodes**2))
    scale = 1 + z * z / episodes
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def lower_tail_mean(values: np.ndarray, share: float) -> np.ndarray:
    """Mean of the lowest ``share`` of the values, at least one: ``[..., n]`` → ``[...]``.

    The expected shortfall of Acerbi and Tasche (2002, arXiv cond-mat/0104295), for whole values.
    """
    count = max(1, math.ceil(share * values.shape[-1]))
    return np.sort(values, axis=-1)[..., :count].mean(axis=-1)


def lower_tail_interval(
    values: np.ndarray, share: float, generator: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, tuple[float, float]]:
    """``lower_tail_mean`` of one value per episode and its 95 % interval, by the BCa bootstrap over episodes.

    Where all values are alike the interval is that value: what no episode showed is not in it.

    Args:
        values: ``[n]``, n ≥ 2.
        share: of the episodes, above 0 and at most 1.
        generator: draws the resamples.
        resamples: how many.

    Returns:
        The point, and (low, high).
    """
    n = len(values)
    if n < 2:
        raise SecateurError("an interval needs two or more episodes", f"got {n}", "Ask for more episodes.")
    resampled = lower_tail_mean(values[generator.integers(0, n, size=(resamples, n))], share)
    left_out = lower_tail_mean(np.stack([np.delete(values, i) for i in range(n)]), share)
    point = float(lower_tail_mean(values, share))
    return point, _bca(point, resampled, left_out)


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half: robust as a median, with less variance (Agarwal et al., arXiv 2108.13264)."""
    return float(stats.trim_mean(np.asarray(values, np.float64), 0.25))
