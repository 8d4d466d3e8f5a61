"""The region of attraction as far as it was tried: from which starts original and artifact still do the task.

A start is an offset of one joint's position and of its velocity; both have the same seeds there. Some starts stand in a
coarse grid. The others stand where they tell most: halfway between a start that was recovered from and a neighbour that
was not, for either side, the farthest apart first. Neighbours are those of a Delaunay triangulation of all starts, each
offset by its own reach. So the boundary is found more finely than by a grid of as many starts. What lies between starts
that agree is looked into where no others are left: an island smaller than a cell of the coarse grid can be missed.

A triangle counts as inside by its corners: all of it where all three were recovered from, none where none was, else cut
halfway along the edges that differ. Areas are shares of the whole that was tried; they lie between what is inside by
all corners and what is not outside by all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.simulate.displaced import Coordinate
from secateur.verify.scores import Score
from secateur.verify.statistics import wilson_interval

STARTS = 49
"""That are tried, each by both sides."""
COARSE = 5
"""Starts along each axis of the grid that comes first."""
AT_ONCE = 8
"""Starts that are chosen together, and run in parallel."""
CLOSEST = 1 / 32
"""Edges shorter than this, in reaches, are not halved again."""
SEEDS = 2
"""Of each start."""
REACH = {"rad": 1.0, "m": 0.5}
"""Farthest offset of a position that has no limits, in its unit; a third of the range where it has."""
VELOCITY_REACH = {"rad": 4.0, "m": 2.0}
"""Farthest offset of a velocity, in its unit per second."""
GOOD = 0.5
"""Share of the calm original's mean return from which on a start counts as recovered, where the task has no success."""


@dataclass(frozen=True)
class Start:
    """A start that was tried.

    Attributes:
        place: offset of position and of velocity, each in reaches, [-1, 1].
        baseline, artifact: whether each of its seeds was recovered from, by the original and by the artifact.
    """

    place: tuple[float, float]
    baseline: tuple[bool, ...]
    artifact: tuple[bool, ...]


Tried = Callable[[Sequence[tuple[float, float]]], Sequence[tuple[Sequence[bool], Sequence[bool]]]]
"""Places → for each what the original recovered from, seed by seed, and what the artifact did."""


def reach_of(coordinate: Coordinate) -> tuple[float, float]:
    """Farthest offsets of position and of velocity."""
    reach = REACH[coordinate.unit] if coordinate.span is None else 2 * coordinate.span / 3
    return reach, VELOCITY_REACH[coordinate.unit]


def recovered(score: Score, calm: float) -> bool:
    """Whether an episode counts as one that came back."""
    return score.success if score.success is not None else score.return_ >= calm - (1 - GOOD) * abs(calm)


def is_inside(recovered: int, seeds: int) -> bool:
    """Whether a start counts as recovered from: by most of its seeds."""
    return 2 * recovered > seeds


def grid(side: int) -> list[tuple[float, float]]:
    """Places, ``side`` along each axis."""
    steps = [float(step) for step in np.linspace(-1, 1, side)]
    return [(position, velocity) for position in steps for velocity in steps]


def explore(tried: Tried, starts: int = STARTS, coarse: int = COARSE) -> list[Start]:
    """Tries a coarse grid, then halfway between starts that differ, and where none do in the widest gaps.

    Args:
        tried: runs the episodes.
        starts: in all.
        coarse: starts along each axis of the grid.
    """
    found: list[Start] = []
    places = grid(coarse)
    while places:
        answers = tried(places)
        found += [Start(place, tuple(one), tuple(two)) for place, (one, two) in zip(places, answers)]
        places = _halfway(found, min(AT_ONCE, starts - len(found)))
    return found


def _halfway(found: Sequence[Start], count: int) -> list[tuple[float, float]]:
    """The middles of the longest edges whose ends differ, or of any where none do; some way apart from each other."""
    if count <= 0:
        return []
    places = np.array([start.place for start in found])
    inside = np.array([_labels(start) for start in found])
    corners = triangles(places)
    edges = np.unique(
        np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])), axis=0
    )
    lengths = np.linalg.norm(places[edges[:, 0]] - places[edges[:, 1]], axis=1)
    differ = (inside[edges[:, 0]] != inside[edges[:, 1]]).any(axis=1) & (lengths >= CLOSEST)
    if differ.any():
        edges, lengths = edges[differ], lengths[differ]
    chosen: list[np.ndarray] = []
    for edge in np.argsort(-np.round(lengths, 9), kind="stable"):
        middle = places[edges[edge]].mean(axis=0)
        if len(chosen) == count:
            break
        if all(np.linalg.norm(middle - other) >= lengths[edge] / 2 for other in chosen):
            chosen.append(middle)
    return [(float(position), float(velocity)) for position, velocity in chosen]


def _labels(start: Start) -> tuple[bool, bool]:
    one, two = start.baseline, start.artifact
    return is_inside(sum(one), len(one)), is_inside(sum(two), len(two))


def triangles(places: np.ndarray) -> np.ndarray:
    """A Delaunay triangulation: places ``[n, 2]`` in reaches → indices of corners ``[m, 3]``, counter-clockwise.

    The same places give the same triangles; none of them is flat. Places on a line have none.
    """
    from scipy.spatial import Delaunay, QhullError

    try:
        corners = np.sort(Delaunay(places).simplices.astype(np.int64))
    except QhullError:
        return np.zeros((0, 3), np.int64)
    corners = corners[np.lexsort(corners.T[::-1])]
    twice = areas(places, corners)
    corners[twice < 0] = corners[twice < 0][:, [0, 2, 1]]
    return corners[np.abs(twice) > 1e-12]


def areas(places: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Areas ``[m]`` of triangles, negative where clockwise."""
    one, two, three = (places[corners[:, k]] for k in range(3))
    first, second = two - one, three - one
    return (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2


OF_A_TRIANGLE = np.array([0.0, 0.25, 0.75, 1.0])
"""Share of a triangle that is inside, by how many of its corners are, cut halfway along its edges."""


def share_inside(places: np.ndarray, inside: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Share of the area that is inside, and between what it lies as far as starts tell.

    Args:
        places: ``[n, 2]``, in reaches.
        inside: ``[n]``.
    """
    corners = triangles(places)
    sizes = areas(places, corners) / areas(places, corners).sum()
    counts = np.asarray(inside, bool)[corners].sum(axis=1)
    between = float(sizes[counts == 3].sum()), float(1 - sizes[counts == 0].sum())
    return float((sizes * OF_A_TRIANGLE[counts]).sum()), between


def summarise(starts: Sequence[Start], coordinate: Coordinate) -> dict[str, Any]:
    """What was tried, with offsets in their units, and how much of it is inside for either side."""
    reach = reach_of(coordinate)
    rows = [
        {
            "position": start.place[0] * reach[0],
            "velocity": start.place[1] * reach[1],
            "seeds": len(start.baseline),
            "baseline": sum(start.baseline),
            "artifact": sum(start.artifact),
            "baseline_ci95": list(wilson_interval(sum(start.baseline), len(start.baseline))),
            "artifact_ci95": list(wilson_interval(sum(start.artifact), len(start.artifact))),
        }
        for start in starts
    ]
    places, sides = np.array([start.place for start in starts]), {}
    for name, inside in zip(("baseline", "artifact"), zip(*(_labels(start) for start in starts))):
        share, between = share_inside(places, np.array(inside))
        sides[name] = {"share": share, "between": list(between)}
    pairs = [pair for start in starts for pair in zip(start.baseline, start.artifact)]
    return {
        "joint": coordinate.joint,
        "unit": coordinate.unit,
        "cells": rows,
        **sides,
        "only_original": sum(one and not two for one, two in pairs),
        "only_artifact": sum(two and not one for one, two in pairs),
    }
