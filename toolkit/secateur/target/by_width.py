"""Widths → predicted cost on a target, by the template of the deployed network; nothing is built or converted."""

from dataclasses import replace

from secateur.graph.template import Template
from secateur.operators.lower import lower
from secateur.records import Cost, Widths
from secateur.target.cost import price
from secateur.target.target import Target


class PriceByWidth:
    """Calls with widths, answers with a Cost; remembers what it was asked.

    Parameters are counted as torch does (the converter may fold a bias away), everything else as it will be
    built.
    """

    def __init__(self, template: Template, target: Target) -> None:
        self.template, self.target = template, target
        program = lower(template.network)
        self.components = {step.label: template.components[step.operators[0]] for step in program.steps}
        self._known: dict[tuple[int, ...], Cost] = {}

    def __call__(self, widths: Widths) -> Cost:
        """Predicted cost of the deployed entry at ``widths``; groups not named are whole."""
        graph = self.template.graph
        complete = {**graph.full, **widths}
        key = tuple(complete.values())
        if key not in self._known:
            cost = price(lower(self.template.at(complete)), self.target, self.components)
            counts = graph.parameter_counts(complete)
            parts = {name: replace(part, parameters=counts[name]) for name, part in cost.components.items()}
            total = sum(part.parameters for part in parts.values())
            self._known[key] = replace(cost, parameters=total, components=parts)
        return self._known[key]
