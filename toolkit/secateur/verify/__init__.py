"""Proving it: parity on golden vectors, paired episodes, statistics, stability, verdict."""

from secateur.verify.firmware import FirmwareController
from secateur.verify.frontier import Frontier, FrontierPoint, frontier
from secateur.verify.golden import Golden, load_golden, save_golden
from secateur.verify.paired import compare_episodes, evaluate_pair
from secateur.verify.stability import StabilityCriterion, StabilityMargin, assess, fit_criterion
from secateur.verify.state_space import latent_of, observed
from secateur.verify.verdict import FLOAT_TOLERANCE, judge

__all__ = [
    "FLOAT_TOLERANCE",
    "FirmwareController",
    "Frontier",
    "FrontierPoint",
    "Golden",
    "StabilityCriterion",
    "StabilityMargin",
    "assess",
    "compare_episodes",
    "evaluate_pair",
    "fit_criterion",
    "frontier",
    "judge",
    "latent_of",
    "load_golden",
    "observed",
    "save_golden",
]
