"""The largest compression that keeps stability: bisection over a level, each level built and rolled out."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from secateur.errors import BudgetInfeasible, SecateurError
from secateur.verify.stability import StabilityMargin


@dataclass(frozen=True)
class FrontierPoint:
    """One level that was tried.

    Attributes:
        level: share that is kept; lower is more compression.
        margin: what its rollouts gave; None where it could not be built.
        refused: why it could not.
    """

    level: float
    margin: StabilityMargin | None
    refused: str = ""

    @property
    def kept(self) -> bool:
        """Whether it was built and its interval's lower end is above zero."""
        return self.margin is not None and self.margin.kept


@dataclass(frozen=True)
class Frontier:
    """What the search found.

    Attributes:
        points: every level that was tried, in that order.
    """

    points: tuple[FrontierPoint, ...]

    @property
    def kept(self) -> FrontierPoint | None:
        """The lowest level that keeps stability; None where not even the highest does."""
        return min((point for point in self.points if point.kept), key=lambda p: p.level, default=None)

    @property
    def lost(self) -> FrontierPoint | None:
        """The highest level that was tried and does not; None where the lowest one does."""
        return max((point for point in self.points if not point.kept), key=lambda p: p.level, default=None)


FrontierProgress = Callable[[FrontierPoint, int, int], None]
"""Called with (the point, levels tried, levels to try at most) after each level."""


def frontier(
    margin_at: Callable[[float], StabilityMargin],
    low: float,
    high: float,
    evaluations: int = 8,
    resolution: float = 1.1,
    progress: FrontierProgress | None = None,
) -> Frontier:
    """Bisects between a level that keeps stability and one that does not, in the logarithm of the level.

    The highest level is tried first, then the lowest: where the one fails or the other holds, that is the answer.
    A level counts as kept only where the interval of its margin is above zero, so noise costs compression, not
    stability. Every tried level above the answer is kept, and every one below it is not; levels in between that
    were not tried, and might break the order, are not spoken of.

    Args:
        margin_at: prunes to a level and assesses it. ``BudgetInfeasible`` means that the level cannot be built,
            which counts as not kept.
        low: lowest level, above zero.
        high: highest.
        evaluations: levels tried, at most; two or more.
        resolution: stops where the lowest level kept and the highest lost are within this factor.
        progress: told of every level.

    Raises:
        SecateurError: levels out of order, fewer than two evaluations, a resolution not above 1; whatever
            ``margin_at`` raises otherwise.
    """
    if not 0 < low < high < math.inf or evaluations < 2 or not resolution > 1:
        raise SecateurError(
            "a frontier lies between two levels, 0 < low < high, tried twice or more, to a resolution above 1",
            f"got low {low}, high {high}, {evaluations} evaluations, resolution {resolution}",
            "Correct them.",
        )
    steps = math.ceil(math.log2(max(1.0, math.log(high / low) / math.log(resolution))))
    most = min(evaluations, 2 + steps)
    points: list[FrontierPoint] = []

    def keeps(level: float) -> bool:
        try:
            point = FrontierPoint(level, margin_at(level))
        except BudgetInfeasible as error:
            point = FrontierPoint(level, None, str(error))
        points.append(point)
        if progress is not None:
            progress(point, len(points), most)
        return point.kept

    if keeps(high) and not keeps(low):
        while len(points) < most:
            middle = math.sqrt(low * high)
            if keeps(middle):
                high = middle
            else:
                low = middle
    return Frontier(tuple(points))
