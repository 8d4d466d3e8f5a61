"""What recovery learns from: states, the original's answers there, and how far a student is from them.

Three teachers. One holds a student's entries against the original's on states that were visited. One, for policies
that plan, unrolls the latent model from there along actions of the kind that a planner tries out, because a model that
is right for one step may be useless after five. One, for recurrent policies, unrolls the policy itself along what was
seen, because what it remembers shows only later (``remembering.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Protocol, TypeVar

import torch
from torch.nn.functional import smooth_l1_loss

from secateur.graph.groups import ComponentGraph
from secateur.policy.parts import sees_pictures
from secateur.policy.planning import Planning
from secateur.policy.policy import Policy, Tensors
from secateur.policy.unroll import Call, run_entries
from secateur.prune.states import digest, weight_of
from secateur.prune.surgery import Keep, kept_indices
from secateur.simulate.planner import EntryModel

CHUNK = 1024
"""States that are labelled at a time."""

HORIZON = 5
"""Steps that a planner's model is unrolled."""

PLANS = 4
"""Sequences of actions that a planner's model is unrolled along, from each state."""

SCORE = "score"
"""Stands for an entry in the key of what a planner compares."""

Key = tuple[str, int, str]
"""(entry, which call of it, output)."""

Loss = Callable[["Lesson", int], torch.Tensor]
"""(batch, step) → distance, a scalar."""


@dataclass(frozen=True)
class Training:
    """How students learn from a teacher.

    Attributes:
        rounds: of a whole recovery: times that the student's own way is looked at.
        episodes: of the student that are looked at in a round.
        batch: states of a gradient step.
        own: share of them that is drawn from the original's way alone; the rest is drawn from all states.
        learning_rate: of Adam at the start; it falls to zero along a cosine.
        harsh: error of a student, as it was cut, from which it learns at that rate; one that errs less learns more
            slowly in proportion, since there is more to spoil than to gain. Zero for the same rate for all.
    """

    rounds: int = 8
    episodes: int = 8
    batch: int = 128
    own: float = 0.0
    learning_rate: float = 5e-3
    harsh: float = 0.0


PICTURES = Training(episodes=32, learning_rate=2e-3)
"""Of who sees by a camera: eight episodes show few different pictures, and a convolution learns at a lower rate."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """States with the original's answers.

    Attributes:
        states: the inputs of the entry that observations go into, name → ``[states, ...]``.
        answers: of the original, ``[states, ...]``, on all of its channels; ``[states, plans, ...]`` of a planner.
        actions: along which a planner's model was unrolled, by step, ``[states, plans, width]``; else empty.
        spread: of a planner's answers: their deviation over the states that the lesson began with, a mean over
            channels. It is what errors are measured in.
    """

    states: Tensors
    answers: Mapping[Key, torch.Tensor]
    actions: Mapping[int, torch.Tensor]
    spread: Mapping[Key, float] = field(default_factory=dict)

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
            self.spread,
        )

    def joined(self, other: "Lesson") -> "Lesson":
        """The states of both."""
        return Lesson(
            {name: torch.cat([tensor, other.states[name]]) for name, tensor in self.states.items()},
            {key: torch.cat([tensor, other.answers[key]]) for key, tensor in self.answers.items()},
            {step: torch.cat([tensor, other.actions[step]]) for step, tensor in self.actions.items()},
            self.spread,
        )


Walker = tuple[Policy, Keep]
"""A policy that was cut from the original, and what it kept."""


class Teacher(Protocol):
    """Labels states, and says how far a student is from the labels."""

    original: Policy
    graph: ComponentGraph
    training: Training

    def lesson(self, states: Tensors, lengths: Sequence[int] = (), by: Walker | None = None) -> Lesson:
        """The original's answers at some states.

        Args:
            states: inputs of the entry that observations go into, name → ``[states, ...]``.
            lengths: states of each episode, in order; asked for by teachers of recurrent policies alone.
            by: whose way they are on, with what it keeps; the original's by default. Asked for likewise.
        """
        ...

    def loss(self, student: Policy, keep: Keep) -> Loss:
        """What a student, cut to ``keep``, is trained to make small."""
        ...

    def error(self, student: Policy, keep: Keep, lesson: Lesson) -> float:
        """How far the student is from the original in what moves the robot, in units of the outputs' variance."""
        ...


class EntryTeacher:
    """Every entry's outputs on visited states, the deployed entry at every step and the others now and then."""

    others_every = 32

    def __init__(self, original: Policy, graph: ComponentGraph) -> None:
        """``graph`` is that of the original."""
        self.original, self.graph = original, graph
        self.training = PICTURES if sees_pictures(original) else Training()

    def lesson(self, states: Tensors, lengths: Sequence[int] = (), by: Walker | None = None) -> Lesson:
        """The answers of all entries, fed by each other as in ``run_entries``."""
        pieces = []
        for part in _chunks(states):
            with torch.no_grad():
                pieces.append(
                    Lesson(part, answers_of(run_entries(self.original, self.original.module, part)), {})
                )
        return reduce(Lesson.joined, pieces)

    def loss(self, student: Policy, keep: Keep) -> Loss:
        """Squared error of each output in units of the original's spread, weighted by entry."""
        kept = KeptOutputs(self.graph, keep)

        def loss(batch: Lesson, step: int) -> torch.Tensor:
            return self._distance(student, kept, batch, step % self.others_every == 0)

        return loss

    def error(self, student: Policy, keep: Keep, lesson: Lesson) -> float:
        """Of the deployed entry alone."""
        with torch.no_grad():
            return float(self._distance(student, KeptOutputs(self.graph, keep), lesson, False))

    def _distance(
        self, student: Policy, kept: "KeptOutputs", batch: Lesson, all_entries: bool
    ) -> torch.Tensor:
        total = torch.zeros(())
        wanted = None if all_entries else student.deployed
        for call, key in keyed(run_entries(student, student.module, batch.states, wanted=wanted)):
            if wanted not in (None, key[0]):
                continue
            weight = weight_of(student, student.entry(key[0]), key[2], call.outputs)
            total = total + weight * error_of(call.outputs[key[2]], kept(key, batch.answers[key]))
        return total


class UnrollingTeacher:
    """The latent model unrolled from visited states, along the policy's own actions with noise.

    A student is held against every entry's outputs, weighted by entry, and against what a planner compares: by how
    much one plan's foreseen return is better than another's from the same state. A student's own way leads to states
    where the original has never been and its answers are wild. So errors are measured in the spread that
    answers have on the original's way, large ones count by their size and not its square (Huber 1964), and
    half of every batch is drawn from the original's way.
    """

    training = Training(rounds=16, batch=32, own=0.5, learning_rate=3e-3, harsh=5.0)

    def __init__(self, original: Policy, graph: ComponentGraph, planning: Planning, seed: int) -> None:
        """``seed`` is of the noise, which is a function of it and of the states alone."""
        self.original, self.graph, self.planning, self.seed = original, graph, planning, seed

    def lesson(self, states: Tensors, lengths: Sequence[int] = (), by: Walker | None = None) -> Lesson:
        """Answers of all five entries along ``HORIZON`` steps of ``PLANS`` plans.

        The noise of a plan has a deviation between 0 and 1, the same for all its steps: a planner tries out the
        policy's own plans, and draws from far around them. Where the plan ends, the policy's own action is taken.
        """
        pieces = []
        generator = torch.Generator().manual_seed(self.seed ^ int(digest(states)[:15], 16))
        for part in _chunks(states):
            count = len(next(iter(part.values())))
            spread = torch.rand(count * PLANS, 1, generator=generator)
            actions: dict[int, torch.Tensor] = {}

            def act(
                step: int,
                own: torch.Tensor,
                actions: dict[int, torch.Tensor] = actions,
                spread: torch.Tensor = spread,
            ) -> torch.Tensor:
                noise = torch.randn(own.shape, generator=generator) if step < HORIZON else 0.0
                actions[step] = (own + spread * noise).clamp(-1, 1)
                return actions[step]

            with torch.no_grad():
                answers = self._unroll(self.original, part, act)
                answers[SCORE, 0, SCORE] = self._compared(answers)
            pieces.append(Lesson(part, _by_state(answers), _by_state(actions)))
        whole = reduce(Lesson.joined, pieces)
        return replace(whole, spread={key: _spread(answer) for key, answer in whole.answers.items()})

    def loss(self, student: Policy, keep: Keep) -> Loss:
        """Huber's loss of each output, weighted by entry, per step, and of what plans are compared by."""
        kept = KeptOutputs(self.graph, keep)
        return lambda batch, step: self._distance(student, kept, batch)

    def error(self, student: Policy, keep: Keep, lesson: Lesson) -> float:
        """The same as the loss: a planner hears every entry."""
        with torch.no_grad():
            return float(self._distance(student, KeptOutputs(self.graph, keep), lesson))

    def _distance(self, student: Policy, kept: "KeptOutputs", batch: Lesson) -> torch.Tensor:
        outputs = self._unroll(student, batch.states, lambda step, _: batch.actions[step].flatten(0, 1))
        total = torch.zeros(())
        for key, output in outputs.items():
            weight = weight_of(self.original, self.original.entry(key[0]), key[2], [key[2]])
            total = total + weight * _huber(
                output, kept(key, batch.answers[key].flatten(0, 1)), batch.spread[key]
            )
        key = (SCORE, 0, SCORE)
        compared = _huber(self._compared(outputs), batch.answers[key].flatten(0, 1), batch.spread[key])
        return total / (HORIZON + 1) + compared

    def _unroll(
        self, policy: Policy, states: Tensors, act: Callable[[int, torch.Tensor], torch.Tensor]
    ) -> dict[Key, torch.Tensor]:
        """Outputs along the plans, ``[states × plans, ...]``."""
        names, model = self.planning, EntryModel(policy, self.planning)
        latent = model.encode(**states).repeat_interleave(PLANS, 0)
        answers: dict[Key, torch.Tensor] = {(names.encode, 0, self._output(names.encode)): latent}
        latents, actions = [], []
        for step in range(HORIZON + 1):
            own = model.action_of(latent)
            answers[names.choose, step, self._output(names.choose)] = own
            latents.append(latent)
            actions.append(act(step, own))
            if step < HORIZON:
                latent = model.next(latent, actions[-1])
                answers[names.next, step, self._output(names.next)] = latent
        # Nothing waits for rewards and values: one call for all steps.
        everywhere, taken = torch.cat(latents), torch.cat(actions)
        judged = {(names.reward, self._output(names.reward)): model.reward_of(everywhere, taken)}
        judged |= {(names.value, output): v for output, v in model.value_of(everywhere, taken).items()}
        for (entry, output), rows in judged.items():
            for step, part in enumerate(rows.chunk(HORIZON + 1)):
                answers[entry, step, output] = part
        return answers

    def _compared(self, answers: Mapping[Key, torch.Tensor]) -> torch.Tensor:
        """Each plan's foreseen return less the mean over the plans from the same state, ``[states × plans, 1]``."""
        names, discount = self.planning, self.planning.settings.discount
        foreseen = torch.stack([v for k, v in answers.items() if k[:2] == (names.value, HORIZON)]).amin(0)
        for step in reversed(range(HORIZON)):
            foreseen = answers[names.reward, step, self._output(names.reward)] + discount * foreseen
        each = foreseen.unflatten(0, (-1, PLANS))
        return (each - each.mean(1, keepdim=True)).flatten(0, 1)

    def _output(self, entry: str) -> str:
        return next(name for owner, name in self.graph.trace.outputs if owner == entry)


class KeptOutputs:
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
        """What is left of an output ``[n, ...]``."""
        for position, index in self.index[key[0], key[2]]:
            wanted = wanted.index_select(position, index)
        return wanted


def error_of(answer: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean squared error of answers ``[n, ...]`` in units of what was wanted (``unit_of``)."""
    return ((answer - wanted) / unit_of(wanted)).square().mean()


def unit_of(rows: torch.Tensor) -> torch.Tensor:
    """What errors of answers ``[n, ...]`` are measured in, a scalar, at least 0.001.

    Their deviation, a mean over channels.
    """
    return deviation(rows).mean().clamp_min(1e-3)


def deviation(rows: torch.Tensor) -> torch.Tensor:
    """Of answers ``[n, ...]``, on each channel; of one answer alone, which has none, its size."""
    return rows.std(dim=0) if len(rows) > 1 else rows[0].abs()


def _huber(answer: torch.Tensor, wanted: torch.Tensor, spread: float) -> torch.Tensor:
    """Squared up to an error of one spread, and growing evenly beyond."""
    return 2 * smooth_l1_loss(answer / spread, wanted / spread)


def _spread(answers: torch.Tensor) -> float:
    """Deviation over the first two axes, a mean over the others."""
    return float(unit_of(answers.flatten(0, 1)))


K = TypeVar("K")


def _by_state(tensors: Mapping[K, torch.Tensor]) -> dict[K, torch.Tensor]:
    """``[states × plans, ...]`` → ``[states, plans, ...]``."""
    return {key: tensor.unflatten(0, (-1, PLANS)) for key, tensor in tensors.items()}


def _chunks(states: Tensors) -> Sequence[Tensors]:
    count = len(next(iter(states.values())))
    return [
        {name: array[start : start + CHUNK] for name, array in states.items()}
        for start in range(0, count, CHUNK)
    ]


def keyed(calls: Sequence[Call]) -> list[tuple[Call, Key]]:
    """Every output by entry, number of the call of that entry, and name; with its call."""
    seen: dict[str, int] = {}
    found: list[tuple[Call, Key]] = []
    for call in calls:
        number = seen.get(call.entry.name, 0)
        seen[call.entry.name] = number + 1
        found.extend((call, (call.entry.name, number, name)) for name in call.outputs)
    return found


def answers_of(calls: Sequence[Call]) -> dict[Key, torch.Tensor]:
    """Outputs by entry, number of the call of that entry, and name."""
    return {key: call.outputs[key[2]] for call, key in keyed(calls)}
