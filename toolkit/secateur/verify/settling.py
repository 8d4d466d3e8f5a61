"""Where, how closely and how fast the episodes of one controller settle."""

import math

import numpy as np
from scipy.spatial import KDTree

from secateur.errors import SecateurError

ROOM = 2.0
"""How many times as slow as the original, and as far out, a pruned controller may be; V shrinks by it within H."""
BAND = 0.05
"""Share of the excursion within which the original counts as settled: the 5 % of settling times."""
SETTLED = 0.25
"""Last share of an episode: the original has settled there, and neither H nor D is longer than what is before."""
SLOW = 0.25
"""Share of the original's episodes that may be left out of what is asked for, at most."""
STRAY = 4.0
"""What is so many times farther out than what has settled has not: such an episode of the original is left out."""
POINTS = 1024
"""States of the attractor that are kept, at most."""


class Settling:
    """What states ``[episodes, T + 1, n]`` say, each episode measured against where the *others* end.

    Attributes:
        coordinates: indices of those that move.
        scale: standard deviation of each of them.
        attractor: states in the settled parts, ``[points, coordinates]``, in units of the scale.
        excursion: how far from its last state an episode goes, or came from; median.
        distances: of every state to the settled parts of the other episodes, ``[episodes, T + 1]``.
        levels: largest distance in the settled part of each episode.
    """

    def __init__(self, states: np.ndarray) -> None:
        flat = states.reshape(-1, states.shape[2])
        spread, magnitude = flat.std(axis=0), np.abs(flat).max(axis=0)
        self.coordinates = np.flatnonzero(spread > 1e-6 * magnitude)
        if not len(self.coordinates):
            raise SecateurError(
                "stability is judged on states that move",
                f"none of {states.shape[2]} coordinates does in {len(states)} episodes",
                "Give a to_state that follows the system.",
            )
        self.scale = spread[self.coordinates]
        scaled = states[:, :, self.coordinates] / self.scale
        self.length = states.shape[1] - 1
        start = settled_from(self.length)
        count = min(self.length + 1 - start, max(1, POINTS // len(states)))
        ends = scaled[:, np.linspace(start, self.length, count).round().astype(int)]
        self.attractor = np.concatenate(ends)
        self.distances = np.stack(
            [
                distances_to(np.concatenate(np.delete(ends, number, axis=0)), episode)
                for number, episode in enumerate(scaled)
            ]
        )
        self.levels = self.distances[:, start:].max(axis=1)
        travelled = np.linalg.norm(scaled - scaled[:, -1:], axis=2).max(axis=1)
        self.excursion = float(np.median(travelled)) / math.sqrt(len(self.scale))

    def strays(self) -> np.ndarray:
        """Which episodes end far from the others, ``[episodes]``."""
        return self.levels > STRAY * max(BAND * self.excursion, float(np.median(self.levels)))

    def settled(self) -> float:
        """How far any episode goes once as close as in the settled part, or within BAND; STRAY times that at most."""
        level = max(BAND * self.excursion, float(self.levels.max()))
        farthest = max(distance[np.argmax(distance <= level) :].max() for distance in self.distances)
        return float(np.clip(farthest, level, STRAY * level))

    def halving_steps(self) -> int:
        """The fewest steps over which the distance always shrinks by ROOM or comes within ``settled``.

        Of the slowest episode, but for those, up to SLOW of all, that have no such steps within half of what is
        before the settled part: where slow starts are rare, one more episode must not undo the fit.
        """
        settled, longest = self.settled(), int(settled_from(self.length) / ROOM)
        found = [_halving(distance, settled, longest) for distance in self.distances]
        within = [steps for steps in found if steps <= longest]
        if len(within) < (1 - SLOW) * len(found):
            raise unsettled(
                f"in {len(found) - len(within)} of {len(found)} episodes its distance to where it ends does not "
                f"always halve within {longest} of {self.length} steps"
            )
        return max(within)

    def entry_steps(self) -> int:
        """The step from which on all episodes are within ``settled``; half of them must be at half time."""
        outside = self.distances > self.settled()
        entries = np.where(outside.any(axis=1), self.length + 1 - np.argmax(outside[:, ::-1], axis=1), 0)
        if np.median(entries) > self.length / 2:
            raise unsettled(f"it takes {np.median(entries):.0f} of {self.length} steps, median over episodes")
        return int(entries.max())


def distances_to(attractor: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Of each state ``[T, n]`` to the nearest of ``[points, n]``; root mean square over coordinates."""
    return KDTree(attractor).query(states)[0] / math.sqrt(states.shape[1])


def settled_from(length: int) -> int:
    """The step at which the settled part of an episode starts."""
    return round((1 - SETTLED) * length)


def unsettled(seen: str) -> SecateurError:
    """The original gives nothing to hold others against."""
    return SecateurError(
        "the original settles, within an episode and in the same place in each",
        seen,
        "Lengthen the episodes, or give a to_state in which it settles (an error to a goal, not the goal).",
    )


def _halving(distance: np.ndarray, settled: float, longest: int) -> int:
    """``Settling.halving_steps`` of one episode ``[T + 1]``; ``longest + 1`` where it takes longer."""
    for steps in range(1, longest + 1):
        if (distance[steps:] <= np.maximum(distance[:-steps] / ROOM, settled)).all():
            return steps
    return longest + 1
