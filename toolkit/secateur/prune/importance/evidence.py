"""What importance is judged on: states that the policy visited, chance, and the task it does."""

from dataclasses import dataclass

import torch

from secateur.policy.policy import Task, Tensors

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a criterion may look at besides the policy and its graph.

    Attributes:
        visited: the deployed entry's inputs where the policy went: name → ``[states, ...]``. They are kept in
            an order that depends on the states alone, so that no score depends on the order they were given
            in.
        generator: of everything random.
        task: what the policy does; without it, closed-loop sensitivity ends at the action.
    """

    visited: Tensors
    generator: torch.Generator
    task: Task | None = None

    def __post_init__(self) -> None:
        order = _own_order(self.visited)
        object.__setattr__(self, "visited", {name: rows[order] for name, rows in self.visited.items()})

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(next(iter(self.visited.values())))

    def some(self, count: int) -> Tensors:
        """At most ``count`` of the states, as good as drawn at random."""
        return {name: rows[:count] for name, rows in self.visited.items()}


def _own_order(visited: Tensors) -> torch.Tensor:
    """Row indices sorted by the rows' content, then shuffled in one way that is always the same."""
    count = len(next(iter(visited.values())))
    keys = torch.zeros(count, dtype=torch.float64)
    for name in sorted(visited):
        rows = visited[name].reshape(count, -1)
        direction = torch.sin(torch.arange(1.0, rows.shape[1] + 1, dtype=torch.float64))
        for start in range(0, count, _CHUNK):
            part = rows[start : start + _CHUNK].double()
            keys[start : start + _CHUNK] += (part * direction).sum(dim=1)
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return torch.argsort(keys, stable=True)[shuffled]
