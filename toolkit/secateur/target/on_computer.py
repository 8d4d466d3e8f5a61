"""Widths → predicted cost on a computer, by the template of the deployed network; nothing is built or converted."""

from dataclasses import replace

from secateur.graph.sizes import parameter_sizes, size_at
from secateur.graph.template import Template
from secateur.records import ComponentCost, Cost, Range, Widths
from secateur.target.computer import Computer
from secateur.target.planning import program_s
from secateur.target.work import Work, work_of


class PriceOnComputer:
    """Calls with widths, answers with the Cost of one call; remembers what it was asked.

    Weights are those of the file, in its dtype. RAM is weights and the results of every operator: what the runtime
    itself takes is not in it. Latency is that of the network, by the computer's model, and of the Python program around
    the call, which is in the whole only, as is what a call costs however little it computes.

    Args:
        template: of the deployed network, converted to ``dtype``.
        computer: that it is for.
        dtype: key of the computer's ``latency``.
    """

    def __init__(self, template: Template, computer: Computer, dtype: str) -> None:
        self.template, self.computer, self.dtype = template, computer, dtype
        self.full = template.graph.full
        self._parameters = parameter_sizes(template.graph)
        self._known: dict[tuple[int, ...], Cost] = {}

    def __call__(self, widths: Widths) -> Cost:
        """Predicted cost of the deployed entry at ``widths``; groups not named are whole."""
        key = tuple(widths.get(name, width) for name, width in self.full.items())
        if key not in self._known:
            self._known[key] = self._cost(dict(zip(self.full, key)))
        return self._known[key]

    def _cost(self, widths: Widths) -> Cost:
        network, owners = self.template.at(widths), self.template.components
        whole = work_of(network)
        parts = {}
        for name in dict.fromkeys(owners):
            own = tuple(op for op, owner in zip(network.operators, owners) if owner == name)
            parts[name] = self._part(
                work_of(replace(network, operators=own)), whole, size_at(self._parameters[name], widths)
            )
        latency = self.computer.latency_s(whole, self.dtype) + program_s(self.computer, 1)
        return Cost(
            parameters=sum(part.parameters for part in parts.values()),
            macs=whole.macs,
            weights_bytes=whole.weights_bytes,
            tables_bytes=0,
            code_bytes=0,
            static_ram_bytes=whole.weights_bytes + whole.activations_bytes,
            stack_bytes=0,
            instructions=None,
            latency_s=latency,
            components=parts,
        )

    def _part(self, own: Work, whole: Work, parameters: int) -> ComponentCost:
        """A component's share of the network's latency is its share of the middle, what a call costs left out."""
        span, middle = self.computer.latency_s(whole, self.dtype), self.computer.middle_s(whole, self.dtype)
        call_s = self.computer.latency[self.dtype].seconds["call"]
        share = (self.computer.middle_s(own, self.dtype) - call_s) / middle
        return ComponentCost(
            parameters=parameters,
            macs=own.macs,
            flash_bytes=own.weights_bytes,
            ram_bytes=own.activations_bytes,
            instructions=None,
            latency_s=Range(share * span.low, share * span.high),
        )
