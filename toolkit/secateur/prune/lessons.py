"""What recovery learns from: states, the original's answers there, and how far a student is from them.

Two teachers. One holds a student's entries against the original's on states that were visited. The other, for
policies that plan, unrolls the latent model from there along actions of the kind that a planner tries out, because
a model that is right for one step may be useless after five.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from typing import Protocol

import torch

from secateur.graph.groups import ComponentGraph
from secateur.policy.planning import Planning
from secateur.policy.policy import Policy, Tensors
from secateur.policy.unroll import Call, run_entries
from secateur.prune.states import weight_of
from secateur.prune.surgery import Keep, kept_indices
from secateur.simulate.planner import EntryModel

CHUNK = 1024
"""States that are labelled at a time."""

HORIZON = 5
"""Steps that a planner's model is unrolled."""

Key = tuple[str, int, str]
"""(entry, which call of it, output)."""

Loss = Callable[["Lesson", int], torch.Tensor]
"""(batch, step) → distance, a scalar."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """States with the original's answers.

    Attributes:
        states: the inputs of the entry that observations go into, name → ``[states, ...]``.
        answers: of the original, ``[states, ...]``, on all of its channels.
        actions: along which the model was unrolled, by step; empty where it was not.
    """

    states: Tensors
    answers: Mapping[Key, torch.Tensor]
    actions: Mapping[int, torch.Tensor]

    @property
    def count(self) -> int:
        """How many states."""
        return len(next(iter(self.states.values())))

    def rows(self, index: torch.Tensor) -> "Lesson":
        """Some of the states."""
        return Lesson(
            {name: tensor[index] for name, tensor in self.states.items()},
            {key: tensor[index] for key, tensor in self.answers.items()},
            {step: tensor[index] for step, tensor in self.actions.items()},
        )

    def joined(self, other: "Lesson") -> "Lesson":
        """The states of both."""
        return Lesson(
            {name: torch.cat([tensor, other.states[name]]) for name, tensor in self.states.items()},
            {key: torch.cat([tensor, other.answers[key]]) for key, tensor in self.answers.items()},
            {step: torch.cat([tensor, other.actions[step]]) for step, tensor in self.actions.items()},
        )


class Teacher(Protocol):
    """Labels states, and says how far a student is from the labels."""

    original: Policy
    graph: ComponentGraph

    def lesson(self, states: Tensors) -> Lesson:
        """The original's answers at some states."""
        ...

    def loss(self, student: Policy, keep: Keep) -> Loss:
        """What a student, cut to ``keep``, is trained to make small."""
        ...

    def error(self, student: Policy, keep: Keep, lesson: Lesson) -> float:
        """How far the student is from the original in what moves the robot, in units of the outputs' variance."""
        ...


def teacher_of(original: Policy, graph: ComponentGraph, seed: int) -> Teacher:
    """The teacher for how the policy moves the robot: by its deployed entry, or by planning."""
    if original.plans and original.planning is not None:
        return UnrollingTeacher(original, graph, original.planning, seed)
    return EntryTeacher(original, graph)


class EntryTeacher:
    """Every entry's outputs on visited states, the deployed entry at every step and the others now and then."""

    others_every = 32

    def __init__(self, original: Policy, graph: ComponentGraph) -> None:
        """``graph`` is that of the original."""
        self.original, self.graph = original, graph

    def lesson(self, states: Tensors) -> Lesson:
        """The answers of all entries, fed by each other as in ``run_entries``."""
        pieces = []
        for part in _chunks(states):
            with torch.no_grad():
                pieces.append(
                    Lesson(part, _answers(run_entries(self.original, self.original.module, part)), {})
                )
        return reduce(Lesson.joined, pieces)

    def loss(self, student: Policy, keep: Keep) -> Loss:
        """Squared error of each output in units of the original's spread, weighted by entry."""
        kept = _Kept(self.graph, keep)

        def loss(batch: Lesson, step: int) -> torch.Tensor:
            return self._distance(student, kept, batch, step % self.others_every == 0)

        return loss

    def error(self, student: Policy, keep: Keep, lesson: Lesson) -> float:
        """Of the deployed entry alone."""
        with torch.no_grad():
            return float(self._distance(student, _Kept(self.graph, keep), lesson, False))

    def _distance(self, student: Policy, kept: "_Kept", batch: Lesson, all_entries: bool) -> torch.Tensor:
        total = torch.zeros(())
        wanted = None if all_entries else student.deployed
        for key, answer in _answers(
            run_entries(student, student.module, batch.states, wanted=wanted)
        ).items():
            if wanted not in (None, key[0]):
                continue
            weight = weight_of(student, student.entry(key[0]))
            total = total + weight * _error(answer, kept(key, batch.answers[key]))
        return total


class UnrollingTeacher:
    """The latent model unrolled from visited states, along the policy's own actions with noise."""

    def __init__(self, original: Policy, graph: ComponentGraph, planning: Planning, seed: int) -> None:
        """``seed`` is of the noise, which is a function of it and of the states alone."""
        self.original, self.graph, self.planning, self.seed = original, graph, planning, seed

    def lesson(self, states: Tensors) -> Lesson:
        """Answers of all five entries along ``HORIZON`` steps.

        The noise of a state has a deviation between 0 and 1, the same for all its steps: a planner tries out the
        policy's own plans, and draws from far around them.
        """
        pieces = []
        generator = torch.Generator().manual_seed(self.seed ^ _digest(states))
        for part in _chunks(states):
            count = len(next(iter(part.values())))
            spread = torch.rand(count, 1, generator=generator)
            actions: dict[int, torch.Tensor] = {}

            def act(
                step: int,
                own: torch.Tensor,
                actions: dict[int, torch.Tensor] = actions,
                spread: torch.Tensor = spread,
            ) -> torch.Tensor:
                noise = torch.randn(own.shape, generator=generator)
                actions[step] = (own + spread * noise).clamp(-1, 1)
                return actions[step]

            with torch.no_grad():
                answers = self._unroll(self.original, part, act)
            pieces.append(Lesson(part, answers, actions))
        return reduce(Lesson.joined, pieces)

    def loss(self, student: Policy, keep: Keep) -> Loss:
        """Squared error of each output in units of the original's spread, weighted by entry, per step."""
        kept = _Kept(self.graph, keep)
        return lambda batch, step: self._distance(student, kept, batch)

    def error(self, student: Policy, keep: Keep, lesson: Lesson) -> float:
        """The same as the loss: a planner hears every entry."""
        with torch.no_grad():
            return float(self._distance(student, _Kept(self.graph, keep), lesson))

    def _distance(self, student: Policy, kept: "_Kept", batch: Lesson) -> torch.Tensor:
        total = torch.zeros(())
        for key, answer in self._unroll(student, batch.states, lambda step, _: batch.actions[step]).items():
            weight = weight_of(self.original, self.original.entry(key[0]))
            total = total + weight * _error(answer, kept(key, batch.answers[key]))
        return total / (HORIZON + 1)

    def _unroll(
        self, policy: Policy, states: Tensors, act: Callable[[int, torch.Tensor], torch.Tensor]
    ) -> dict[Key, torch.Tensor]:
        names, model = self.planning, EntryModel(policy, self.planning)
        latent = model.encode(**states)
        answers: dict[Key, torch.Tensor] = {(names.encode, 0, self._output(names.encode)): latent}
        for step in range(HORIZON + 1):
            own = model.action_of(latent)
            action = act(step, own)
            answers[names.choose, step, self._output(names.choose)] = own
            answers[names.reward, step, self._output(names.reward)] = model.reward_of(latent, action)
            for output, value in model.value_of(latent, action).items():
                answers[names.value, step, output] = value
            if step < HORIZON:
                latent = model.next(latent, action)
                answers[names.next, step, self._output(names.next)] = latent
        return answers

    def _output(self, entry: str) -> str:
        return next(name for owner, name in self.graph.trace.outputs if owner == entry)


class _Kept:
    """Outputs of the original without the channels that were cut."""

    def __init__(self, graph: ComponentGraph, keep: Keep) -> None:
        self.index: dict[tuple[str, str], list[tuple[int, torch.Tensor]]] = {}
        for output, its_axes in graph.trace.outputs.items():
            self.index[output] = [
                (position, kept_indices(graph, axis, keep))
                for position, axis in enumerate(its_axes)
                if any(name in keep for name in graph.groups_on(axis))
            ]

    def __call__(self, key: Key, wanted: torch.Tensor) -> torch.Tensor:
        for position, index in self.index[key[0], key[2]]:
            wanted = wanted.index_select(position, index)
        return wanted


def _error(answer: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    spread = wanted.std(dim=0, keepdim=True).mean().clamp_min(1e-3)
    return ((answer - wanted) / spread).square().mean()


def _digest(states: Tensors) -> int:
    """A number of 60 bits that tells sets of states apart."""
    digest = sha256()
    for name, tensor in sorted(states.items()):
        digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return int.from_bytes(digest.digest()[:8], "big") >> 4


def _chunks(states: Tensors) -> Sequence[Tensors]:
    count = len(next(iter(states.values())))
    return [
        {name: array[start : start + CHUNK] for name, array in states.items()}
        for start in range(0, count, CHUNK)
    ]


def _answers(calls: Sequence[Call]) -> dict[Key, torch.Tensor]:
    """Outputs by entry, number of the call of that entry, and name."""
    seen: dict[str, int] = {}
    found = {}
    for call in calls:
        number = seen.get(call.entry.name, 0)
        seen[call.entry.name] = number + 1
        for name, output in call.outputs.items():
            found[call.entry.name, number, name] = output
    return found
