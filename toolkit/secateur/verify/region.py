"""The region of attraction as far as it was tried: from which starts original and artifact still do the task.

Starts are moved over a grid: how far one joint is from where it would start, and how fast. In each cell both have the
same seeds. No cell says anything of starts between cells, and a cell of few seeds says little: its interval is given.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from secateur.simulate.displaced import Coordinate
from secateur.verify.scores import Score
from secateur.verify.statistics import wilson_interval

SIDE = 7
"""Cells along each axis."""
SEEDS = 2
"""Of each cell."""
REACH = {"rad": 1.0, "m": 0.5}
"""Farthest offset of a position that has no limits, in its unit; a third of the range where it has."""
VELOCITY_REACH = {"rad": 4.0, "m": 2.0}
"""Farthest offset of a velocity, in its unit per second."""
GOOD = 0.5
"""Share of the calm original's mean return from which on a start counts as recovered, where the task has no success."""


def axes_of(coordinate: Coordinate) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of position and of velocity, each ``[SIDE]``."""
    reach = REACH[coordinate.unit] if coordinate.span is None else 2 * coordinate.span / 3
    speed = VELOCITY_REACH[coordinate.unit]
    return np.linspace(-reach, reach, SIDE), np.linspace(-speed, speed, SIDE)


def recovered(score: Score, calm: float) -> bool:
    """Whether an episode counts as one that came back."""
    return score.success if score.success is not None else score.return_ >= calm - (1 - GOOD) * abs(calm)


def summarise(
    cells: Sequence[tuple[float, float, Sequence[bool], Sequence[bool]]],
    coordinate: Coordinate,
) -> dict[str, Any]:
    """Cells of (offset of position, of velocity, what the original recovered, what the artifact did)."""
    rows = [
        {
            "position": position,
            "velocity": velocity,
            "seeds": len(one),
            "baseline": sum(one),
            "artifact": sum(two),
            "baseline_ci95": list(wilson_interval(sum(one), len(one))),
            "artifact_ci95": list(wilson_interval(sum(two), len(two))),
        }
        for position, velocity, one, two in cells
    ]
    sides = {}
    for name, place in (("baseline", 2), ("artifact", 3)):
        known = [flag for cell in cells for flag in cell[place]]  # type: ignore[union-attr]
        sides[name] = {
            "share": sum(known) / len(known),
            "ci95": list(wilson_interval(sum(known), len(known))),
        }
    only_original = sum(a and not b for *_, one, two in cells for a, b in zip(one, two))
    only_artifact = sum(b and not a for *_, one, two in cells for a, b in zip(one, two))
    return {
        "joint": coordinate.joint,
        "unit": coordinate.unit,
        "cells": rows,
        **sides,
        "only_original": only_original,
        "only_artifact": only_artifact,
    }
