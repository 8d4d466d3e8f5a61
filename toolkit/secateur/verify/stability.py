"""Practical stability of a pruned controller, judged against where the original settles, how closely and how fast.

The original's rollouts say where its closed loop settles: a point, an orbit, a band. V(z) is the distance of a
state z to that set. A pruned controller keeps stability when on all its own rollouts::

    decrease      V(t + H) ≤ max(V(t) / 2, b)    at every step t
    boundedness   V(t) ≤ b                       at every step t ≥ D

Outside of the bound b, V halves within H steps; what is within it is within it H steps later; and from step D on
everything is. H, D and b are twice what the original needs, so the original has room for one factor of two by
construction. The *margin* is that room: the binary logarithm of right side over left, at the worst step.

Lyapunov functions that decrease over several steps at once, not over each, are those of Aeyels and Peuteman (IEEE
Trans. Automatic Control 43, 1998) and of Geiselhart, Gielen, Lazar and Wirth (Systems & Control Letters 70, 2014);
for exponentially stable systems any norm is one, given enough steps. Sundaram et al. 2025 (arXiv 2508.08144) prune
TD-MPC up to the boundary that Lyapunov criteria set. Confirmed from its abstract and from reviews of it: that, and
that they try it on a pendulum. Not confirmed, because its formulas were not at hand: which function they take, over
which states, and whether they prove its decrease or sample it. What stands here is our own; see docs/stability.md.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from secateur.errors import SecateurError
from secateur.simulate.rollout import Trajectory
from secateur.verify.settling import ROOM, SLOW, Settling, distances_to, settled_from, unsettled
from secateur.verify.state_space import ToState, observed
from secateur.verify.statistics import lower_tail_interval

LEAST_EPISODES = 4
WORST_SHARE = 0.25
"""Share of the episodes, the worst ones, whose mean is the margin: good episodes do not make up for bad ones."""


@dataclass(frozen=True)
class StabilityCriterion:
    """Where the original settles, how closely and how fast.

    Distances are root mean squares over coordinates, each in units of its standard deviation over the original's
    rollouts: shifting or rescaling a coordinate of the state changes nothing.

    Attributes:
        width: n, of the states.
        coordinates: which of them count; those that never move with the original have no unit and do not.
        scale: standard deviation of each that counts.
        attractor: states that the original settles in, their coordinates that count.
        excursion: how far from its last state an episode of the original goes, or came from; median.
        settled: distance within which it stays once it has been as close as in its settled part, or within
            5 % of the excursion where that is more.
        halving_steps: from every step on, after so many more its distance has halved or is within ``settled``.
        entry_steps: from here on its distance is within ``settled``.
        length_steps: of its episodes.
        episodes: that this was fitted on.
        left_out: episodes that were not, because the task was not done or their end strays from the others'.
    """

    width: int
    coordinates: tuple[int, ...]
    scale: tuple[float, ...]
    attractor: tuple[tuple[float, ...], ...]
    excursion: float
    settled: float
    halving_steps: int
    entry_steps: int
    length_steps: int
    episodes: int
    left_out: int

    @property
    def bound(self) -> float:
        """b: the distance that a pruned controller must come within and stay in."""
        return ROOM * self.settled

    @property
    def horizon_steps(self) -> int:
        """H: the steps over which its distance must halve, outside of the bound."""
        return round(ROOM * self.halving_steps)

    @property
    def deadline_steps(self) -> int:
        """D: the step from which on it must be within the bound."""
        return min(round(ROOM * self.entry_steps), settled_from(self.length_steps))

    def distances(self, states: np.ndarray) -> np.ndarray:
        """States ``[T, n]`` → V at each, ``[T]``.

        Raises:
            SecateurError: states of another width.
        """
        if states.ndim != 2 or states.shape[1] != self.width:
            raise SecateurError(
                "states are those that the criterion was fitted on",
                f"they have the shape {list(states.shape)}, the criterion's are [steps, {self.width}]",
                "Give fit_criterion and assess the same to_state.",
            )
        scale = np.array(self.scale)
        return distances_to(np.array(self.attractor) / scale, states[:, self.coordinates] / scale)

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "StabilityCriterion":
        """The criterion that ``to_data`` wrote."""
        names = {"coordinates": tuple(data["coordinates"]), "scale": tuple(data["scale"])}
        return cls(**{**data, **names, "attractor": tuple(tuple(point) for point in data["attractor"])})


@dataclass(frozen=True)
class StabilityMargin:
    """How a controller's rollouts stand to a criterion.

    Attributes:
        margin: mean over the worst quarter of the episodes. 1 is what the original has on what it was fitted on,
            0 is the limit, and each step of −1 from there a distance twice as large as allowed.
        ci95: its 95 % interval, by a bootstrap over episodes.
        episode_margins: of each episode, in order: at its worst step; 1 at most.
        decrease_share: of the steps outside of the bound, how many have halved their distance, or are within the
            bound, H steps later; None where no step is outside.
        entered_share: of the episodes, how many come within the bound.
        stayed_share: of the steps after coming within it, how many are within it; None where none came.
        final_distance: largest distance in the settled part, over the bound; median over episodes.
    """

    margin: float
    ci95: tuple[float, float]
    episode_margins: tuple[float, ...]
    decrease_share: float | None
    entered_share: float
    stayed_share: float | None
    final_distance: float

    @property
    def kept(self) -> bool:
        """Whether stability is kept: the interval's lower end is above zero."""
        return self.ci95[0] > 0

    @property
    def undecided(self) -> bool:
        """Not kept, but more episodes might show it to be."""
        return self.ci95[0] <= 0 < self.ci95[1]

    @property
    def episodes_kept(self) -> int:
        """Episodes with a margin above zero."""
        return sum(margin > 0 for margin in self.episode_margins)


def fit_criterion(trajectories: Sequence[Trajectory], to_state: ToState = observed) -> StabilityCriterion:
    """What the original's own rollouts say about where, how closely and how fast it settles.

    Every episode's distances are to where the *others* settle: to its own end it would always come back.

    Args:
        trajectories: of the original, four or more; those that failed the task are left out.
        to_state: see ``observed`` and ``latent_of``.

    Raises:
        SecateurError: too few episodes, states that never move, or an original that does not settle.
    """
    done = [trajectory for trajectory in trajectories if trajectory.success is not False]
    _require_episodes(len(done), "of the original that did the task")
    length = max(trajectory.length for trajectory in done)
    states = np.stack([_held(to_state(trajectory), trajectory, length) for trajectory in done])
    fit = Settling(states)
    near = ~fit.strays()
    if near.mean() < 1 - SLOW:
        raise unsettled(f"{np.sum(~near)} of {len(done)} episodes end far from the others")
    if not near.all():
        _require_episodes(int(near.sum()), "of the original that settle where the others do")
        fit = Settling(states[near])
    return StabilityCriterion(
        width=states.shape[2],
        coordinates=tuple(fit.coordinates.tolist()),
        scale=tuple(fit.scale.tolist()),
        attractor=tuple(tuple(point) for point in (fit.attractor * fit.scale).tolist()),
        excursion=fit.excursion,
        settled=fit.settled(),
        halving_steps=fit.halving_steps(),
        entry_steps=fit.entry_steps(),
        length_steps=length,
        episodes=int(near.sum()),
        left_out=len(trajectories) - int(near.sum()),
    )


def assess(
    criterion: StabilityCriterion,
    trajectories: Sequence[Trajectory],
    generator: np.random.Generator,
    to_state: ToState = observed,
) -> StabilityMargin:
    """Holds a controller's rollouts against the criterion.

    An episode that its environment ended early stays where it ended: a fall is no convergence.

    Args:
        criterion: fitted on the original.
        trajectories: of the controller in question, four or more; on the seeds of the fit, slow starts are not
            held against it. The original itself is tried on other seeds.
        generator: draws the bootstrap.
        to_state: the one that the criterion was fitted with.

    Raises:
        SecateurError: too few or too short episodes, or states of another width.
    """
    _require_episodes(len(trajectories), "to judge")
    horizon, deadline, bound = criterion.horizon_steps, criterion.deadline_steps, criterion.bound
    distances, slacks = [], []
    for trajectory in trajectories:
        states = _held(to_state(trajectory), trajectory, criterion.length_steps)
        distance = criterion.distances(states)
        distances.append(distance)
        slacks.append(_slack(distance[horizon:], np.maximum(distance[:-horizon] / ROOM, bound)))
    bounded = [_slack(distance[deadline:], bound) for distance in distances]
    margins = np.array([min(1.0, a.min(), b.min()) for a, b in zip(slacks, bounded, strict=True)])
    outside = [slack[d[:-horizon] > bound] for slack, d in zip(slacks, distances, strict=True)]
    within = [distance <= bound for distance in distances]
    after = [inside[np.argmax(inside) :] for inside in within if inside.any()]
    ends = [distance[settled_from(len(distance) - 1) :].max() for distance in distances]
    point, interval = lower_tail_interval(margins, WORST_SHARE, generator)
    return StabilityMargin(
        margin=point,
        ci95=interval,
        episode_margins=tuple(margins.tolist()),
        decrease_share=_share([slack >= 0 for slack in outside]),
        entered_share=len(after) / len(distances),
        stayed_share=_share(after),
        final_distance=float(np.median(ends)) / bound,
    )


def _slack(distance: np.ndarray, allowed: np.ndarray | float) -> np.ndarray:
    """Factors of ROOM by which distances are below what is allowed."""
    return np.log(allowed / np.maximum(distance, np.finfo(float).tiny)) / math.log(ROOM)


def _held(states: np.ndarray, trajectory: Trajectory, length: int) -> np.ndarray:
    """States of at least ``length`` steps; those of an episode that ended early, held where it ended."""
    missing = length + 1 - len(states)
    if missing <= 0:
        return states
    if not trajectory.terminated:
        raise SecateurError(
            "episodes are as long as those that the criterion was fitted on",
            f"seed {trajectory.seed} was cut off after {trajectory.length} of {length} steps",
            "Use the same time limit.",
        )
    return np.concatenate([states, np.repeat(states[-1:], missing, axis=0)])


def _share(flags: Sequence[np.ndarray]) -> float | None:
    every = np.concatenate(flags) if flags else np.array([])
    return float(every.mean()) if len(every) else None


def _require_episodes(count: int, which: str) -> None:
    if count < LEAST_EPISODES:
        raise SecateurError(
            f"stability is judged on {LEAST_EPISODES} or more episodes {which}",
            f"got {count}",
            "Ask for more episodes.",
        )
