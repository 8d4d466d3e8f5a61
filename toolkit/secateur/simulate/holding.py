"""Parts at their own rates: which of them run in a control step, and what the others left behind.

On a board a slow part is interrupted by the fast ones, and what it makes of an observation arrives when it is through:
some control periods *late*. As an episode starts there is no hurry, and every part has looked before the robot moves.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from secateur.records import Part

Rows = Mapping[str, np.ndarray]
Run = Callable[[Part, Rows, Sequence[int]], Rows]
"""(part, its inputs, the lanes that they are of) → its outputs; both name → ``[lanes, ...]``."""


class Holding:
    """Control steps of a policy in parts, in several lanes, each at a step of its own.

    Args:
        parts: in the order in which they run, the one that moves the robot last.
        late: part → control periods from a run of it until others see its output; 0 where it is not named.
    """

    def __init__(self, parts: Sequence[Part], late: Mapping[str, int] = {}) -> None:
        self.parts, self.late = tuple(parts), dict(late)
        self._steps: dict[int, int] = defaultdict(int)
        self._made: dict[tuple[str, int], deque[tuple[int, dict[str, np.ndarray]]]] = {}

    def reset(self, lanes: Sequence[int]) -> None:
        """A new episode starts in these lanes."""
        for lane in lanes:
            self._steps[lane] = 0
            for part in self.parts:
                self._made.pop((part.name, lane), None)

    def step(self, inputs: Rows, lanes: Sequence[int], run: Run) -> dict[str, np.ndarray]:
        """One control step in some lanes.

        Args:
            inputs: of all parts from outside, name → ``[lanes, ...]``.
            lanes: no lane twice.
            run: called once for each part that is due in any of them.

        Returns:
            Outputs of the last part, name → ``[lanes, ...]``.
        """
        if len(self.parts) == 1:
            return dict(run(self.parts[0], inputs, lanes))
        outputs: Rows = {}
        for part in self.parts:
            due = [row for row, lane in enumerate(lanes) if self._steps[lane] % part.period == 0]
            if not due:
                continue
            now = [lanes[row] for row in due]
            taken = {name: rows[due] for name, rows in inputs.items()}
            for name, (feeding, output) in part.fed.items():
                taken[name] = np.concatenate([self._seen(feeding, lane)[output] for lane in now])
            outputs = run(part, taken, now)
            for row, lane in enumerate(now):
                self._keep(part.name, lane, {name: rows[row : row + 1] for name, rows in outputs.items()})
        for lane in lanes:
            self._steps[lane] += 1
        return dict(outputs)

    def _keep(self, part: str, lane: int, outputs: dict[str, np.ndarray]) -> None:
        step = self._steps[lane]
        queue = self._made.setdefault((part, lane), deque())
        queue.append((step + self.late.get(part, 0) if step else 0, outputs))

    def _seen(self, part: str, lane: int) -> dict[str, np.ndarray]:
        """The newest of a part's outputs that has arrived."""
        queue = self._made[part, lane]
        while len(queue) > 1 and queue[1][0] <= self._steps[lane]:
            queue.popleft()
        return queue[0][1]
