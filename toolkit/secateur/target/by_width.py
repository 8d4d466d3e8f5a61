"""Widths → predicted cost on a target, by the template of the deployed network; nothing is built or converted.

From one question of a search to the next, most of the network stays the same. So it is cut into parts that are
lowered on their own (``target/parts.py``), each once for the widths that its own shapes depend on; what its steps cost
and its buffers take is kept. To answer is to follow the parts and to sum.
"""

from dataclasses import replace
from functools import partial

from secateur.errors import SecateurError
from secateur.graph.sizes import parameter_sizes, size_at
from secateur.graph.template import Template
from secateur.operators.lower import lower
from secateur.operators.program import Program
from secateur.records import Cost, Widths
from secateur.target.cost import Ledger, StepCost, ledger, price, step_cost
from secateur.target.parts import Parts, Place
from secateur.target.target import Target


class PriceByWidth:
    """Calls with widths, answers with a Cost; remembers what it was asked.

    Parameters are counted as torch does (the converter may fold a bias away), everything else as it will be
    built.
    """

    def __init__(self, template: Template, target: Target) -> None:
        self.template, self.target = template, target
        self.full = template.graph.full
        program = lower(template.network, target.choice)
        self.components = self._components(program)
        self._parameters = parameter_sizes(template.graph)
        self._known: dict[tuple[int, ...], Cost] = {}
        self._ledgers: dict[Place, Ledger] = {}
        self._parts: Parts | None = Parts(template, program, partial(step_cost, target=target), target.choice)

    def __call__(self, widths: Widths) -> Cost:
        """Predicted cost of the deployed entry at ``widths``; groups not named are whole."""
        key = tuple([widths.get(name, width) for name, width in self.full.items()])
        if key not in self._known:
            complete = dict(zip(self.full, key))
            cost = self._by_parts(complete)
            self._known[key] = self.whole(complete) if cost is None else self._counted(cost, complete)
        return self._known[key]

    def whole(self, widths: Widths) -> Cost:
        """The same, the long way: every operator is lowered anew."""
        program = lower(self.template.at(widths), self.target.choice)
        return self._counted(price(program, self.target, self._components(program)), widths)

    def _by_parts(self, widths: Widths) -> Cost | None:
        """The cost as the sum of the parts'; None where the network does not come apart.

        Where a structure is met for the first time, the whole is lowered too, and has to agree.
        """
        if self._parts is None:
            return None
        try:
            found = self._parts.follow(widths)
        except SecateurError:
            return None  # lowered whole, the first operator that is refused says why
        if found is None:
            return None
        steps, sizes, end = found
        if end not in self._ledgers:
            program = lower(self.template.at(widths), self.target.choice)
            if not self._agrees(program, steps, sizes):
                self._parts = None
                return None
            self._ledgers[end] = ledger(program, self.target, self._components(program))
        return self._ledgers[end].cost(steps, sizes)

    def _agrees(self, program: Program, steps: list[StepCost], sizes: list[int]) -> bool:
        """True if the parts lowered on their own are what they are in the whole."""
        return [step_cost(step, self.target) for step in program.steps] == steps and [
            buffer.size_bytes for buffer in program.buffers
        ] == sizes

    def _components(self, program: Program) -> dict[str, str]:
        """Label of a step → the component that its operator belongs to."""
        return {step.label: self.template.components[step.operators[0]] for step in program.steps}

    def _counted(self, cost: Cost, widths: Widths) -> Cost:
        """With the parameters as torch counts them."""
        parts = {
            name: replace(part, parameters=size_at(self._parameters[name], widths))
            for name, part in cost.components.items()
        }
        return replace(cost, parameters=sum(part.parameters for part in parts.values()), components=parts)
