"""From the cost of one call to that of a control step: calls per step, rows per call, components at their own rates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

from secateur.policy.policy import Policy
from secateur.records import ComponentCost, Cost, Measurement, Part, PartTime, Range, Widths
from secateur.target.schedule import with_responses

HANDOVER_CODE_BYTES, HANDOVER_FLOW_CODE_BYTES = 128, 64
"""Of what holds parts together, at most, and of each part and flow in it."""


def calls_per_step(policy: Policy, part: str | None = None) -> int:
    """How often one row of the deployed entry, or of another part, is computed in a control step of its own."""
    return policy.entry(part).rows_per_run


def of_parts(
    prices: Mapping[str, Callable[[Widths], Cost]],
    policy: Policy,
    parts: Sequence[Part],
    control_hz: float,
    handed: Callable[[Widths], Sequence[int]] = lambda _: (),
    code_of: Callable[[str], int] = lambda _: 0,
) -> Callable[[Widths], Cost]:
    """Widths → cost of a policy in parts; of one part it is ``per_step``.

    Bytes, parameters and work add up: arenas and stacks too, because a part may interrupt another. Code of a kernel is
    there once. The latency of the whole is that of the parts at the control rate, one after the other; all parts and
    their response times are in ``Cost.parts``.

    Args:
        prices: part → widths → cost of one call, one row.
        policy: says how often, and at what rates.
        parts: of it.
        control_hz: of the task.
        handed: widths → static RAM of each flow that is held between runs, with one more for the count of steps; none
            where a runtime holds them.
        code_of: kernel → its code's bytes.
    """
    if len(parts) == 1:
        return per_step(prices[parts[0].name], policy, control_hz)

    def priced(widths: Widths) -> Cost:
        held, costs, times = handed(widths), [], []
        for part in parts:
            cost = prices[part.name](widths)
            calls = calls_per_step(policy, part.name)
            rate_hz = control_hz / part.period
            components = {name: _part(own, calls, rate_hz) for name, own in cost.components.items()}
            instructions = None if cost.instructions is None else calls * cost.instructions
            latency = scaled(cost.latency_s, calls)
            costs.append(
                replace(
                    cost,
                    macs=calls * cost.macs,
                    instructions=instructions,
                    latency_s=latency if part.period == 1 else Range(0.0, 0.0),
                    utilisation=latency.high * rate_hz,
                    components=components,
                )
            )
            times.append(
                PartTime(
                    name=part.name,
                    period_s=1 / rate_hz,
                    latency_s=latency,
                    response_s=0.0,
                    flash_bytes=cost.flash_bytes,
                    static_ram_bytes=cost.static_ram_bytes,
                    stack_bytes=cost.stack_bytes,
                    instructions=instructions,
                    components=tuple(components),
                )
            )
        total = reduce(lambda one, two: _both(one, two, code_of), costs)
        if held:
            code = HANDOVER_CODE_BYTES + HANDOVER_FLOW_CODE_BYTES * (len(held) + len(parts))
            total = replace(
                total,
                code_bytes=total.code_bytes + code,
                static_ram_bytes=total.static_ram_bytes + sum(held),
            )
        return replace(total, parts=with_responses(times))

    return priced


def _both(one: Cost, two: Cost, code_of: Callable[[str], int]) -> Cost:
    """Two networks on one target."""
    components = dict(one.components)
    for name, part in two.components.items():
        components[name] = _sum(components[name], part) if name in components else part
    instructions = None
    if one.instructions is not None and two.instructions is not None:
        instructions = one.instructions + two.instructions
    return Cost(
        parameters=one.parameters + two.parameters,
        macs=one.macs + two.macs,
        weights_bytes=one.weights_bytes + two.weights_bytes,
        tables_bytes=one.tables_bytes + two.tables_bytes,
        code_bytes=one.code_bytes + two.code_bytes - sum(map(code_of, one.kernels & two.kernels)),
        static_ram_bytes=one.static_ram_bytes + two.static_ram_bytes,
        stack_bytes=one.stack_bytes + two.stack_bytes,
        instructions=instructions,
        latency_s=one.latency_s + two.latency_s,
        components=components,
        utilisation=one.utilisation + two.utilisation,
        kernels=one.kernels | two.kernels,
    )


def _sum(one: ComponentCost, two: ComponentCost) -> ComponentCost:
    """A component that two parts run."""
    instructions = None
    if one.instructions is not None and two.instructions is not None:
        instructions = one.instructions + two.instructions
    return ComponentCost(
        parameters=max(one.parameters, two.parameters),
        macs=one.macs + two.macs,
        flash_bytes=one.flash_bytes + two.flash_bytes,
        ram_bytes=max(one.ram_bytes, two.ram_bytes),
        instructions=instructions,
        latency_s=one.latency_s + two.latency_s,
        utilisation=one.utilisation + two.utilisation,
    )


def per_step(price: Callable[[Widths], Cost], policy: Policy, control_hz: float) -> Callable[[Widths], Cost]:
    """The same price, of a whole control step.

    Work and latency are those of all calls and rows of a step in which every component runs. Utilisation is the share
    of time that the core is busy, each component at its own rate: Σ worst latency × rate.

    Args:
        price: widths → cost of one call of the deployed entry, one row.
        policy: whose deployed entry says how often, and whose components say at what rates.
        control_hz: the rate of components without one of their own.
    """
    times = calls_per_step(policy)
    rates = {part.name: part.rate_hz or control_hz for part in policy.components}

    def priced(widths: Widths) -> Cost:
        cost = price(widths)
        parts = {name: _part(part, times, rates[name]) for name, part in cost.components.items()}
        beside = cost.latency_s.high - sum(part.latency_s.high for part in cost.components.values())
        busy = sum(part.utilisation for part in parts.values()) + max(0.0, beside) * times * control_hz
        return replace(
            cost,
            macs=times * cost.macs,
            instructions=None if cost.instructions is None else times * cost.instructions,
            latency_s=scaled(cost.latency_s, times),
            utilisation=busy,
            components=parts,
        )

    return priced


def _part(part: ComponentCost, times: int, rate_hz: float) -> ComponentCost:
    latency = scaled(part.latency_s, times)
    return replace(
        part,
        macs=times * part.macs,
        instructions=None if part.instructions is None else times * part.instructions,
        latency_s=latency,
        utilisation=latency.high * rate_hz,
    )


def scaled(latency: Range, times: int) -> Range:
    """So many times as long."""
    return Range(times * latency.low, times * latency.high)


def of_a_step(measurement: Measurement, times: int) -> Measurement:
    """Latency and instructions of a whole control step."""
    if times == 1 or measurement.latency_s is None:
        return measurement
    source = f"{measurement.latency_source} × {times} calls in a step"
    counts = measurement.operator_instructions
    return replace(
        measurement,
        instructions=None if measurement.instructions is None else times * measurement.instructions,
        operator_instructions={label: times * count for label, count in counts.items()},
        latency_s=scaled(measurement.latency_s, times),
        latency_source=source,
    )


def measurement_of_parts(
    measurements: Mapping[str, Measurement], parts: Sequence[Part], control_hz: float
) -> Measurement:
    """What was observed of all parts together, in one image: its sizes are those of each; see ``of_parts``."""
    if len(parts) == 1:
        return measurements[parts[0].name]
    each = [measurements[part.name] for part in parts]
    quick = [m for m, part in zip(each, parts) if part.period == 1]
    times = [
        PartTime(
            name=part.name,
            period_s=part.period / control_hz,
            latency_s=seen.latency_s,
            response_s=0.0,
            stack_bytes=seen.stack_bytes,
            instructions=seen.instructions,
        )
        for part, seen in zip(parts, each)
        if seen.latency_s is not None
    ]
    spans = [seen.latency_s for seen in quick if seen.latency_s is not None]
    return replace(
        each[-1],
        stack_bytes=_total([seen.stack_bytes for seen in each]),
        instructions=_total([seen.instructions for seen in each]),
        operator_instructions={
            f"{part.name}: {label}": count
            for part, seen in zip(parts, each)
            for label, count in seen.operator_instructions.items()
        },
        latency_s=reduce(Range.__add__, spans) if len(spans) == len(quick) else None,
        parts=with_responses(times),
    )


def _total(numbers: Sequence[int | None]) -> int | None:
    return None if None in numbers else sum(number for number in numbers if number is not None)
