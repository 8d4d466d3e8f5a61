"""Response curves: what is lost as one component, or one coupling group, shrinks and the others stay.

The others stay where the budget leaves them, not whole: at the pressure under which widths are to be chosen. Beside a
whole network every component looks dispensable.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secateur.graph.groups import ComponentGraph, Group
from secateur.prune.allocate import Scores, measured_floors, ranked_widths
from secateur.prune.solve import Choice, Knob
from secateur.prune.trials import Trial
from secateur.records import Widths

FINENESS = 4
"""Settings per halving of a component."""

LOWEST = 1 / 64
"""Share below which a part has one setting left, its floors."""


@dataclass(frozen=True)
class Part:
    """What a knob turns: a component's own groups, or one coupling group; with the widths at each setting.

    Attributes:
        name: of the component, or of the coupling group.
        coupling: whether it is the latter.
        shares: of channels, by setting, falling from 1.
        widths: by setting.
    """

    name: str
    coupling: bool
    shares: tuple[float, ...]
    widths: tuple[Mapping[str, int], ...]


@dataclass(frozen=True)
class Point:
    """A measured place of a curve: the setting, its trial, and the parameters of the whole policy there."""

    setting: int
    share: float
    trial: Trial
    parameters: int


@dataclass(frozen=True)
class Curve:
    """The response curve of a part, from its highest measured setting to its lowest."""

    part: Part
    points: tuple[Point, ...]

    def losses(self) -> tuple[float, ...]:
        """The error at every setting: interpolated in its logarithm, not falling, carried on at its last slope."""
        measured = np.array([point.setting for point in self.points], dtype=float)
        logs = np.log([max(point.trial.error, 1e-6) for point in self.points])
        logs = np.maximum.accumulate(logs)
        settings = np.arange(len(self.part.shares), dtype=float)
        values = np.interp(settings, measured, logs)
        if len(measured) > 1:
            last = (logs[-1] - logs[-2]) / (measured[-1] - measured[-2])
            beyond = settings > measured[-1]
            values[beyond] = logs[-1] + last * (settings[beyond] - measured[-1])
            first = (logs[1] - logs[0]) / (measured[1] - measured[0])
            before = settings < measured[0]
            values[before] = logs[0] - first * (measured[0] - settings[before])
        return tuple(np.exp(np.minimum(values, 5.0)).tolist())


def component_parts(graph: ComponentGraph, scores: Scores, groups: Sequence[Group]) -> tuple[Part, ...]:
    """One part for each component's own groups among ``groups``, in the policy's order, and one a coupling group."""
    inside: dict[str, list[str]] = {name: [] for name in graph.components}
    for group in groups:
        if not group.coupling:
            inside[group.components[0]].append(group.name)
    found = [_part(graph, scores, component, names) for component, names in inside.items() if names]
    return (*found, *group_parts(graph, scores, [group for group in groups if group.coupling]))


def group_parts(graph: ComponentGraph, scores: Scores, groups: Sequence[Group]) -> tuple[Part, ...]:
    """One part for each group."""
    return tuple(_part(graph, scores, group.name, [group.name]) for group in groups)


def nearest(parts: Sequence[Part], widths: Widths) -> Choice:
    """The setting of each part whose widths are nearest to these in number."""
    choice = []
    for part in parts:
        wanted = sum(widths[name] for name in part.widths[0])
        gaps = [abs(sum(setting.values()) - wanted) for setting in part.widths]
        choice.append(gaps.index(min(gaps)))
    return tuple(choice)


def _part(graph: ComponentGraph, scores: Scores, name: str, groups: list[str]) -> Part:
    """Settings in equal ratios from whole to the floors."""
    coupling = graph.by_name[groups[0]].coupling
    floors = measured_floors(graph)
    lowest = {group: floors[group] for group in groups}
    shares, widths, step = [1.0], [{group: graph.full[group] for group in groups}], 0
    while widths[-1] != lowest:
        step += 1
        share = 2.0 ** (-step / FINENESS)
        ranked = ranked_widths(graph, scores, groups, share)
        lower = {group: max(lowest[group], ranked[group]) for group in groups}
        if share <= LOWEST:
            lower = lowest
        if lower != widths[-1]:
            shares.append(share)
            widths.append(lower)
    return Part(name, coupling, tuple(shares), tuple(widths))


def measure(
    parts: Sequence[Part],
    base: Choice,
    beside: Widths,
    reach: Sequence[int],
    attempt: Callable[[Widths], Trial],
    parameters: Callable[[Widths], int],
) -> tuple[Curve, ...]:
    """The curve of each part around ``base``.

    Args:
        parts: that there are.
        base: setting of each part, where the others stay.
        beside: widths of all groups that no part turns.
        reach: offsets from the base's setting that are measured, 0 among them.
        attempt: widths → what comes of them.
        parameters: widths → parameters of the policy.
    """
    curves = []
    for index, part in enumerate(parts):
        last = len(part.shares) - 1
        settings = sorted({min(max(base[index] + offset, 0), last) for offset in reach})
        points = []
        for setting in settings:
            choice = (*base[:index], setting, *base[index + 1 :])
            widths = widths_at(parts, choice, beside)
            points.append(Point(setting, part.shares[setting], attempt(widths), parameters(widths)))
        curves.append(Curve(part, tuple(points)))
    return tuple(curves)


def widths_at(parts: Sequence[Part], choice: Choice, beside: Widths) -> dict[str, int]:
    """All widths at a setting of each part."""
    widths = dict(beside)
    for part, setting in zip(parts, choice):
        widths.update(part.widths[setting])
    return widths


def knobs_of(curves: Sequence[Curve], corrections: Sequence[float]) -> tuple[Knob, ...]:
    """Curves as knobs; a correction stretches what a part is expected to lose."""
    return tuple(
        Knob(curve.part.name, curve.part.widths, tuple(factor * loss for loss in curve.losses()))
        for curve, factor in zip(curves, corrections)
    )
