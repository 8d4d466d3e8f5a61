"""A network in parts that are lowered on their own, so that each is lowered once for the widths that it depends on.

A part is the operators that one rule turns into steps: a layer and its clamp, a chain of element-wise operators, a
convolution and the PAD that it takes in. What its rule sees of the others is which of its tensors they need, and that
depends on which tensors share a buffer so far. Both may depend on widths (a transpose of one channel moves nothing),
so the parts are followed in order: from where one leaves off, its form at the widths says where the next begins.

Rules decide from kinds, types, constants and who else needs a tensor what they take together, and look at no shapes
but those of the operators that they turn into steps. That is what makes a part of it; see ``PriceByWidth`` for what
holds it to that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from operator import itemgetter
from typing import Any, NamedTuple

from secateur.graph.sizes import Size, size_at
from secateur.graph.template import Template
from secateur.network import Network
from secateur.operators.lower import lower_part
from secateur.operators.program import BY_SPEED, Choice, Program, Step
from secateur.records import Widths
from secateur.target.cost import StepCost


class Form(NamedTuple):
    """What the parts after it notice of a part: which kernels run over which buffers, where its outputs are.

    Buffers are the part's own, those of its inputs first.
    """

    steps: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    outputs: tuple[int, ...]
    buffers: int


@dataclass(eq=False)
class Place:
    """Between two parts: the part that follows, and what became of it at the widths that it has been asked for.

    Attributes:
        position: how many parts lie before; −1 where the network does not come apart.
        first: tensor → the first tensor of its buffer, where that is another one.
        part: the part that follows; None at an end. The last place stands for the forms of all parts.
        pick: widths of all groups → those that the part depends on.
        known: these widths → costs of its steps, sizes of its new buffers, the place after it.
        after: form of the part → the place after it.
    """

    position: int
    first: dict[int, int] = field(default_factory=dict)
    part: Template | None = None
    pick: Callable[[Widths], Any] = tuple
    known: dict[Any, tuple[list[StepCost], list[int], "Place"]] = field(default_factory=dict)
    after: dict[Form, "Place"] = field(default_factory=dict)


class Parts:
    """The parts of a template's network, and every place between them that any widths have led to.

    Args:
        template: of the network.
        program: the network's, at full width.
        cost: step → its cost.
        choice: among kernels.
    """

    def __init__(
        self,
        template: Template,
        program: Program,
        cost: Callable[[Step], StepCost],
        choice: Choice = BY_SPEED,
    ) -> None:
        self._template, self._cost, self._choice = template, cost, choice
        network = template.network
        self._parts = _split(network, program)
        self._part_of = {
            operator: position for position, (_, part) in enumerate(self._parts) for operator in part
        }
        self._readers: dict[int, list[int]] = {}
        for index, operator in enumerate(network.operators):
            for tensor in operator.inputs:
                self._readers.setdefault(tensor, []).append(index)
        self._inputs: list[list[int | Size]] = [
            [template.sizes.get((tensor, axis), n) for axis, n in enumerate(network.tensors[tensor].shape)]
            for tensor in network.inputs.values()
        ]
        apart = not network.states and sum(len(part) for _, part in self._parts) == len(network.operators)
        self._start = self._place(0, {}) if apart else Place(-1)

    def follow(self, widths: Widths) -> tuple[list[StepCost], list[int], Place] | None:
        """Costs of all steps, sizes of all buffers, and the last place, at the widths of all groups.

        None where the network does not come apart.

        Raises:
            SecateurError: a part cannot be lowered at these widths.
        """
        steps: list[StepCost] = []
        sizes = [
            prod(n if isinstance(n, int) else size_at(n, widths) for n in shape) for shape in self._inputs
        ]
        place = self._start
        while place.part is not None:
            key = place.pick(widths)
            found = place.known.get(key)
            if found is None:
                found = place.known[key] = self._lower(place, place.part, widths)
            steps += found[0]
            sizes += found[1]
            place = found[2]
        return (steps, sizes, place) if place.position == len(self._parts) else None

    def _place(self, position: int, first: dict[int, int]) -> Place:
        """The place before a part."""
        if position == len(self._parts):
            return Place(position, first)
        operators = [self._template.network.operators[index] for index in self._parts[position][1]]
        written = dict.fromkeys(tensor for operator in operators for tensor in operator.outputs)
        read = dict.fromkeys(
            tensor
            for operator in operators
            for tensor in operator.inputs
            if tensor != -1 and tensor not in written and not self._template.network.tensors[tensor].constant
        )
        buffers: dict[int, list[int]] = {first.get(tensor, tensor): [] for tensor in read}
        if len(buffers) < len(read):
            return Place(-1)  # alone, it would not know that two of its inputs are one
        for tensor in (*buffers, *first):
            if (buffer := first.get(tensor, tensor)) in buffers:
                buffers[buffer].append(tensor)
        kept = {tensor for tensor in written if self._needed(tensor, position)}
        kept |= {
            tensor
            for tensor in read
            if any(self._needed(name, position) for name in buffers[first.get(tensor, tensor)])
        }
        part = self._template.part(self._parts[position][1], kept)
        pick = itemgetter(*part.groups) if part.groups else _nothing
        return Place(position, first, part, pick)

    def _needed(self, tensor: int, position: int) -> bool:
        """True if a later part reads a tensor, or if it is an output of the network."""
        return tensor in self._template.network.outputs.values() or any(
            self._part_of[reader] > position for reader in self._readers.get(tensor, ())
        )

    def _lower(self, place: Place, part: Template, widths: Widths) -> tuple[list[StepCost], list[int], Place]:
        """What becomes of the part after a place at some widths."""
        program = lower_part(part.at(widths), self._choice)
        inputs = len(program.inputs)
        form = Form(
            tuple((step.kernel, step.reads, step.writes) for step in program.steps),
            tuple(program.outputs.values()),
            len(program.buffers),
        )
        if form not in place.after:
            anchor, operators = self._parts[place.position]
            alone = all(operators[step.operators[0]] == anchor for step in program.steps)
            place.after[form] = self._after(place, program) if alone else Place(-1)
        return (
            [self._cost(step) for step in program.steps],
            [buffer.size_bytes for buffer in program.buffers[inputs:]],
            place.after[form],
        )

    def _after(self, place: Place, program: Program) -> Place:
        """The place after a part that became this program."""
        first = dict(place.first)
        owner = {buffer: first.get(int(name), int(name)) for name, buffer in program.inputs.items()}
        for name, buffer in program.outputs.items():
            if owner.setdefault(buffer, int(name)) != int(name):
                first[int(name)] = owner[buffer]
        return self._place(place.position + 1, first if first != place.first else place.first)


def _split(network: Network, program: Program) -> list[tuple[int, tuple[int, ...]]]:
    """Each operator whose rule adds steps, or makes another name for a buffer → all that it takes together.

    The first operator that a step lists is the one whose rule added it.
    """
    parts: dict[int, set[int]] = {}
    for step in program.steps:
        parts.setdefault(step.operators[0], set()).update(step.operators)
    taken = {operator for part in parts.values() for operator in part}
    parts |= {index: {index} for index in range(len(network.operators)) if index not in taken}
    return [(anchor, tuple(sorted(parts[anchor]))) for anchor in sorted(parts)]


def _nothing(widths: Widths) -> tuple[()]:
    """The widths that a part of constant shapes depends on."""
    return ()
