"""What a planner's decision costs on a computer: the work of each entry's call × how often it is made.

Work is counted on the entry's network at one row, converted once; of a call with more rows, everything but weights
and operators is that many times as much.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from secateur.graph.groups import ComponentGraph
from secateur.graph.sizes import Size, size_at, size_of
from secateur.graph.template import Template
from secateur.policy.planning import EntryCalls, PlannerSettings, Planning
from secateur.records import ComponentCost, Cost, Range, Widths
from secateur.target.computer import Computer
from secateur.target.work import Work, work_of

WEIGHT_BYTES = {"float32": 4, "int8": 1}
"""Dtypes that a planner is exported in → bytes of a weight; biases take four."""

CYCLES_PER_CALL = 37_000
"""Of the planner's own program in Python: numpy and the runtime's interface around each call of an entry, on the
x86-64 machine that it was measured on (``python bench/planner.py --around``)."""

CYCLES_FACTORS = (0.5, 6.0)
"""Between which the cycles of another processor lie, of those: a small in-order core does less in each, and an
interpreter waits for memory more than a network does."""


def program_s(computer: Computer, calls: int) -> Range:
    """Time of the robot's own program around so many calls."""
    middle = CYCLES_PER_CALL * calls / computer.clock_hz
    return Range(*(factor * middle for factor in CYCLES_FACTORS))


def with_rows(work: Work, rows: int) -> Work:
    """The work of a call with ``rows`` rows, from that of a call with one."""
    return Work(
        operators=work.operators,
        dense=rows * work.dense,
        conv=rows * work.conv,
        depthwise=rows * work.depthwise,
        weights_bytes=work.weights_bytes,
        activations_bytes=rows * work.activations_bytes,
        idle=rows * work.idle,
        taps=rows * work.taps,
    )


@dataclass(frozen=True, eq=False)
class _EntryWork:
    """Work of one call with one row: the whole, and of each component that takes part."""

    whole: Work
    components: Mapping[str, Work]


class PlanPrice:
    """Calls with widths and settings, answers with the cost of one control step; remembers work by widths.

    Args:
        graph: of the policy.
        planning: the entries that are called.
        templates: entry → its network at any widths, of one row.
        computer: that plans.
        dtype: of the templates, key of ``WEIGHT_BYTES``.
        control_hz: how often it decides.
    """

    def __init__(
        self,
        graph: ComponentGraph,
        planning: Planning,
        templates: Mapping[str, Template],
        computer: Computer,
        dtype: str,
        control_hz: float,
    ) -> None:
        self.graph, self.planning, self.templates = graph, planning, templates
        self.computer, self.dtype, self.control_hz = computer, dtype, control_hz
        used = {c for template in templates.values() for c in template.components}
        self.components = tuple(c for c in graph.components if c in used)
        self._weights = {c: self._sizes(c) for c in self.components}
        self._known: dict[tuple[str, tuple[int, ...]], _EntryWork] = {}

    def __call__(self, widths: Widths, settings: PlannerSettings | None = None) -> Cost:
        """Predicted cost of one control step.

        Weights are those of all components that take part, each once. RAM is weights and the results of every
        operator of every signature: what the runtime itself takes is not in it. ``latency_s`` adds up the
        intervals of all calls and of the program around them, which is in the whole only, as is what a call costs
        however little it computes.

        Args:
            widths: groups not named are whole.
            settings: of the planner; its own by default.
        """
        complete = {**self.graph.full, **widths}
        calls = self.planning.calls(settings)
        macs = activations = 0
        latency = self._around(calls)
        parts = {name: ComponentCost(0, 0, 0, 0, None, Range(0.0, 0.0)) for name in self.components}
        for call in calls:
            work = self._work(call.entry, complete)
            whole = with_rows(work.whole, call.rows)
            macs += call.times * whole.macs
            activations += whole.activations_bytes
            span = self.computer.latency_s(whole, self.dtype)
            latency += _times(span, call.times)
            middle = self.computer.middle_s(whole, self.dtype)
            for name, one in work.components.items():
                own = with_rows(one, call.rows)
                share = (self.computer.middle_s(own, self.dtype) - self._call_s()) / middle
                before = parts[name]
                parts[name] = replace(
                    before,
                    macs=before.macs + call.times * own.macs,
                    ram_bytes=max(before.ram_bytes, own.activations_bytes),
                    latency_s=before.latency_s + _times(span, call.times * share),
                )
        for name, sizes in self._weights.items():
            counts = [(size_at(size, complete), each) for size, each in sizes]
            parts[name] = replace(
                parts[name],
                parameters=sum(count for count, _ in counts),
                flash_bytes=sum(count * each for count, each in counts),
                utilisation=parts[name].latency_s.high * self.control_hz,
            )
        weights = sum(part.flash_bytes for part in parts.values())
        return Cost(
            parameters=sum(part.parameters for part in parts.values()),
            macs=macs,
            weights_bytes=weights,
            tables_bytes=0,
            code_bytes=0,
            static_ram_bytes=weights + activations,
            stack_bytes=0,
            instructions=None,
            latency_s=latency,
            utilisation=latency.high * self.control_hz,
            components=parts,
        )

    def _around(self, calls: tuple[EntryCalls, ...]) -> Range:
        """Time of the program between the calls of a decision."""
        return program_s(self.computer, sum(call.times for call in calls))

    def _call_s(self) -> float:
        return self.computer.latency[self.dtype].seconds["call"]

    def _work(self, entry: str, widths: Widths) -> _EntryWork:
        template = self.templates[entry]
        key = (entry, tuple(widths[name] for name in template.groups))
        if key not in self._known:
            network = template.at(widths)
            of = {
                name: tuple(op for op, owner in zip(network.operators, template.components) if owner == name)
                for name in dict.fromkeys(template.components)
            }
            parts = {name: work_of(replace(network, operators=operators)) for name, operators in of.items()}
            self._known[key] = _EntryWork(work_of(network), parts)
        return self._known[key]

    def _sizes(self, component: str) -> tuple[tuple[Size, int], ...]:
        """Every parameter of a component, with the bytes of each of its numbers."""
        shapes = {
            path: self.graph.trace.weights[path]
            for path in self.graph.parameters
            if self.graph.component_of[path] == component
        }
        return tuple(
            (size_of(self.graph, shape), WEIGHT_BYTES[self.dtype] if len(shape) > 1 else 4)
            for shape in shapes.values()
        )


def _times(span: Range, factor: float) -> Range:
    return Range(factor * span.low, factor * span.high)
