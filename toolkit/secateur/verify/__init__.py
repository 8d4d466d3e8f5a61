"""Proving it: parity on golden vectors, paired episodes, statistics, verdict."""

from secateur.verify.firmware import FirmwareController
from secateur.verify.golden import Golden, load_golden, save_golden
from secateur.verify.paired import compare_episodes, evaluate_pair
from secateur.verify.verdict import FLOAT_TOLERANCE, judge

__all__ = [
    "FLOAT_TOLERANCE",
    "FirmwareController",
    "Golden",
    "compare_episodes",
    "evaluate_pair",
    "judge",
    "load_golden",
    "save_golden",
]
