"""What recovery of a recurrent policy learns from: windows of episodes, and what the original did along them.

The original's answer to an observation depends on all that it saw before, so it is asked along whole episodes, from
states of zero. A student learns from windows by truncated back-propagation through time. It starts each from the state
that was there when the episode was run: its own where it acted itself, which is what DAgger asks for (Ross et al. 2011,
arXiv 1011.0686). That state is of the student as it was then; the first steps of a window therefore do not count, and
let the state become that of the student as it is now ("burn-in" of Kapturowski et al. 2019, "Recurrent experience
replay in distributed reinforcement learning"). The states too are held against the original's, lightly: what a student
remembers is its own affair, but a state that means what the original's means does not drift (docs/adr/0050).
"""

from collections.abc import Sequence

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.policy import Policy, Tensors
from secateur.policy.unroll import fed_back, run_along, run_entries
from secateur.prune.lessons import (
    KeptOutputs,
    Key,
    Lesson,
    Loss,
    Training,
    Walker,
    answers_of,
    error_of,
    unit_of,
)
from secateur.prune.states import at_rest, in_episodes, weight_of
from secateur.prune.surgery import Keep, kept_indices
from secateur.simulate.controller import acting

WINDOW, WARM = 16, 8
"""Steps of a window that count, and steps before them that do not."""

COUNTED: Key = ("", 0, "counted")
"""Key of what says which steps of a window count, 1 or 0."""


class RememberingTeacher:
    """The deployed entry's outputs and states along windows of episodes, and now and then what other entries give.

    In a lesson a state is a window: the inputs from outside are ``[windows, steps, ...]``, the states before the first
    step ``[windows, ...]``, on all of the original's channels.
    """

    others_every = 32
    training = Training(batch=64)

    def __init__(self, original: Policy, graph: ComponentGraph) -> None:
        """``graph`` is that of the original."""
        self.original, self.graph = original, graph
        self.fed = fed_back(original, original.entry())
        self.others = len(original.entries) > 1

    def lesson(self, states: Tensors, lengths: Sequence[int] = (), by: Walker | None = None) -> Lesson:
        """The original's answers along the episodes, in windows; all is one episode where no lengths are given."""
        outside = {name: rows for name, rows in states.items() if name not in self.fed}
        lengths = tuple(lengths) or (len(next(iter(outside.values()))),)
        episodes = in_episodes(outside, lengths)
        answers, own = self._along(self.original, episodes, len(lengths))
        before = (
            own if by is None else self._widened(self._along(by[0], episodes, len(lengths))[1], own, by[1])
        )
        which, steps, counted = _windows(lengths)
        first, last = (which, steps[:, 0]), (which, steps[:, -1])
        every = (which[:, None], steps)
        found: dict[Key, torch.Tensor] = {COUNTED: counted}
        found |= {(self.original.deployed, 0, name): rows[every] for name, rows in answers.items()}
        if self.others:
            there = {name: rows[last] for name, rows in (episodes | own).items()}
            with acting(self.original.module):
                found |= self._of_others(self.original, there)
        spread = {
            key: float(unit_of(rows[counted > 0]))
            for key, rows in found.items()
            if key[0] == self.original.deployed
        }
        taken = {name: rows[every] for name, rows in episodes.items()}
        return Lesson(taken | {name: rows[first] for name, rows in before.items()}, found, {}, spread)

    def loss(self, student: Policy, keep: Keep) -> Loss:
        """Squared error of each output in units of the original's spread, weighted by entry and output."""
        kept = KeptOutputs(self.graph, keep)

        def loss(batch: Lesson, step: int) -> torch.Tensor:
            return self._distance(student, kept, keep, batch, step % self.others_every == 0)

        return loss

    def error(self, student: Policy, keep: Keep, lesson: Lesson) -> float:
        """Of the deployed entry alone."""
        with torch.no_grad():
            return float(self._distance(student, KeptOutputs(self.graph, keep), keep, lesson, False))

    def _along(
        self, policy: Policy, episodes: Tensors, count: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Outputs and the states before each step, ``[episodes, steps, ...]``."""
        with acting(policy.module):
            return run_along(policy.entry(), policy.module, self.fed, episodes, at_rest(policy, count))

    def _distance(
        self, student: Policy, kept: KeptOutputs, keep: Keep, batch: Lesson, all_entries: bool
    ) -> torch.Tensor:
        entry = student.entry()
        seen = {name: rows for name, rows in batch.states.items() if name not in self.fed}
        start = {name: self._narrowed(name, batch.states[name], keep) for name in self.fed}
        outputs, before = run_along(entry, student.module, self.fed, seen, start)
        counted = batch.answers[COUNTED].flatten()
        total = torch.zeros(())
        for name, output in outputs.items():
            key = (entry.name, 0, name)
            wanted = kept(key, batch.answers[key].flatten(0, 1))
            error = ((output.flatten(0, 1) - wanted) / batch.spread[key]).square().flatten(1).mean(1)
            weight = weight_of(student, entry, name, outputs)
            total = total + weight * (error * counted).sum() / counted.sum()
        if all_entries and self.others:
            end = _last_counted(batch.answers[COUNTED])
            there = {name: rows[torch.arange(len(end)), end] for name, rows in (seen | before).items()}
            for key, answer in self._of_others(student, there).items():
                weight = weight_of(student, student.entry(key[0]), key[2], [key[2]])
                total = total + weight * error_of(answer, kept(key, batch.answers[key]))
        return total

    def _of_others(self, policy: Policy, there: Tensors) -> dict[Key, torch.Tensor]:
        """What the other entries give at some (observation, state) pairs."""
        found = answers_of(run_entries(policy, policy.module, there))
        return {key: answer for key, answer in found.items() if key[0] != policy.deployed}

    def _narrowed(self, name: str, state: torch.Tensor, keep: Keep) -> torch.Tensor:
        """A state ``[n, ...]`` on the channels that are kept."""
        for position, axis in enumerate(self.graph.trace.inputs[self.original.deployed, name]):
            index = kept_indices(self.graph, axis, keep) if position else None
            if index is not None and len(index) < state.shape[position]:
                state = state.index_select(position, index)
        return state

    def _widened(self, states: Tensors, like: Tensors, keep: Keep) -> dict[str, torch.Tensor]:
        """States ``[episodes, steps, ...]`` of a student on the original's channels; zero where it has none."""
        found = {}
        for name, state in states.items():
            for position, axis in enumerate(self.graph.trace.inputs[self.original.deployed, name]):
                if not position:
                    continue
                size = like[name].shape[position + 1]
                shape = [*state.shape[: position + 1], size, *state.shape[position + 2 :]]
                index = kept_indices(self.graph, axis, keep)
                state = state.new_zeros(shape).index_copy_(position + 1, index, state)
            found[name] = state
        return found


def _last_counted(counted: torch.Tensor) -> torch.Tensor:
    """The last step that counts of each window ``[windows, steps]``: what follows repeats an episode's last one."""
    return (counted * torch.arange(1, counted.shape[1] + 1)).argmax(1)


def _windows(lengths: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Windows that together count every step of every episode once.

    Returns:
        Of each window its episode ``[windows]``, its steps ``[windows, WARM + WINDOW]``, and which of them count,
        likewise, as 1 or 0. A step beyond the end of a short episode is its last one, and does not count.
    """
    which, steps, counted = [], [], []
    span = WARM + WINDOW
    for number, length in enumerate(lengths):
        for begin in (0, *range(span, length, WINDOW)):
            end = min(begin + WINDOW, length) if begin else min(span, length)
            start = max(0, end - span)
            place = start + torch.arange(span)
            which.append(number)
            steps.append(place.clamp_max(length - 1))
            counted.append(((place >= begin) & (place < end)).float())
    return torch.tensor(which), torch.stack(steps), torch.stack(counted)
