"""The steps from noise to actions: DDPM (Ho et al. 2020, arXiv 2006.11239) and DDIM (Song et al. 2021, 2010.02502).

ᾱ(t) is what is left of the signal's variance after t steps of noise, the running product of 1 − β. A sampler of K of
the N steps that were trained goes through t = (K − 1)·⌊N / K⌋, …, ⌊N / K⌋, 0. Whichever it is, a step is linear in
the noisy sample x and the network's answer p, but for one clamp::

    start = clamp(sample_share · x + answer_share · p, ±limit)
    x     = start_kept · start + sample_kept · x + answer_kept · p + noise_added · (new noise)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.errors import SecateurError, require_known

LARGEST_STEPS = 1 << 12
"""Of training."""


@dataclass(frozen=True)
class Denoising:
    """One step; the names are those of the module's docstring.

    Attributes:
        time: t, how many steps of noise the sample has had before it.
        sample_share, answer_share: what the estimate of the noiseless actions is made of.
        limit: of that estimate; infinite for none.
        start_kept, sample_kept, answer_kept, noise_added: what the next sample is made of.
    """

    time: int
    sample_share: float
    answer_share: float
    limit: float
    start_kept: float
    sample_kept: float
    answer_kept: float
    noise_added: float


def _linear(first: float, last: float, steps: int) -> np.ndarray:
    return np.linspace(first, last, steps)


def _scaled_linear(first: float, last: float, steps: int) -> np.ndarray:
    return np.linspace(math.sqrt(first), math.sqrt(last), steps) ** 2


def _cosine(first: float, last: float, steps: int) -> np.ndarray:
    """ᾱ falls as a squared cosine (Nichol and Dhariwal 2021, arXiv 2102.09672, section 3.2)."""
    left = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - left[1:] / left[:-1], 0.999)


BETAS = {"linear": _linear, "scaled_linear": _scaled_linear, "squaredcos_cap_v2": _cosine}
"""Name in the configuration → (first, last, steps) → β of each step of training."""


def denoising_steps(config: Mapping[str, Any], count: int) -> tuple[Denoising, ...]:
    """The steps of a LeRobot configuration, the noisiest first.

    Args:
        config: of a diffusion policy.
        count: K.

    Raises:
        SecateurError: another scheduler, schedule or kind of prediction.
        KeyError, TypeError, ValueError: the configuration is another's, or K is more than N.
    """
    trained = int(config["num_train_timesteps"])
    if not 1 <= count <= trained <= LARGEST_STEPS:
        raise ValueError(f"{count} steps of {trained}")
    kind, schedule = str(config["noise_scheduler_type"]), str(config["beta_schedule"])
    predicted = str(config["prediction_type"])
    require_known("a noise scheduler", kind, _STEPS, SecateurError)
    require_known("a schedule of noise", schedule, BETAS, SecateurError)
    require_known(
        "what a diffusion policy predicts", predicted, dict.fromkeys(("epsilon", "sample")), SecateurError
    )
    limit = float(config["clip_sample_range"]) if config["clip_sample"] else math.inf
    betas = BETAS[schedule](float(config["beta_start"]), float(config["beta_end"]), trained)
    kept = np.cumprod(1 - betas)
    if not (limit > 0 and np.isfinite(kept).all() and (betas > 0).all() and (betas < 1).all()):
        raise ValueError("its noise or its clipping is out of range")
    stride = trained // count
    times = [stride * n for n in reversed(range(count))]
    befores = [float(kept[time - stride]) if time else 1.0 for time in times]
    return tuple(
        _STEPS[kind](time, float(kept[time]), before, predicted == "epsilon", limit)
        for time, before in zip(times, befores)
    )


def _estimate(kept: float, of_noise: bool) -> tuple[float, float]:
    """Shares of sample and answer in the estimate of the noiseless actions; the answer may be that estimate."""
    return (1 / math.sqrt(kept), -math.sqrt((1 - kept) / kept)) if of_noise else (0.0, 1.0)


def _ddim(time: int, kept: float, before: float, of_noise: bool, limit: float) -> Denoising:
    """Equation 12 without new noise; the noise kept is the network's, or what its estimate leaves of the sample."""
    noise = math.sqrt(1 - before)
    of_sample, of_answer = noise / math.sqrt(1 - kept), -noise * math.sqrt(kept / (1 - kept))
    kept_of = (0.0, noise) if of_noise else (of_sample, of_answer)
    return Denoising(time, *_estimate(kept, of_noise), limit, math.sqrt(before), *kept_of, 0.0)


def _ddpm(time: int, kept: float, before: float, of_noise: bool, limit: float) -> Denoising:
    """Equation 7, with the smaller of the two variances that section 3.2 gives; no noise at the last step."""
    alpha = kept / before
    of_start = math.sqrt(before) * (1 - alpha) / (1 - kept)
    of_sample = math.sqrt(alpha) * (1 - before) / (1 - kept)
    variance = max((1 - before) / (1 - kept) * (1 - alpha), 1e-20) if time else 0.0
    shares = _estimate(kept, of_noise)
    return Denoising(time, *shares, limit, of_start, of_sample, 0.0, math.sqrt(variance))


_STEPS = {"DDIM": _ddim, "DDPM": _ddpm}
