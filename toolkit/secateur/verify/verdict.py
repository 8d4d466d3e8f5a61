"""Passed, or every limit that was broken, each in one sentence with the value seen."""

import math
from collections.abc import Iterator

from secateur.records import Budget, ClosedLoop, Cost, Limits, Measurement, Parity, Range, Verdict
from secateur.units import format_seconds

FLOAT_TOLERANCE = 1e-5
"""Largest absolute error of the float .tflite, for outputs of up to 1; of larger outputs, the share of the largest."""

LEAST_EPISODES = 30
"""Fewer pairs of episodes are no evidence: where none of them happens to fail, their interval is a point."""


def judge(
    cost: Cost,
    measurement: Measurement | None,
    budget: Budget,
    parity: Parity,
    closed_loop: ClosedLoop,
    float_tolerance: float = FLOAT_TOLERANCE,
    control_period_s: float | None = None,
) -> Verdict:
    """Holds an artifact against its budget.

    It passes only if all of these hold:

    - measured flash and RAM, and the worst measured latency, are within the totals. What was not measured on
      this device (``None``, or no measurement at all) is judged as predicted, and the sentence says so;
    - every component's predicted flash, RAM and worst latency are within its own limits;
    - the worst latency fits one control period, where that is given; of a policy in parts, that of the parts at the
      control rate, and every other part is through within its own period, however often it is interrupted;
    - the float .tflite agrees with torch within ``float_tolerance``, and no byte differs between TFLM and the
      device;
    - the lower end of the 95 % interval of the retained return is at least ``1 − max_return_drop``.

    Args:
        cost: predicted, of the artifact.
        measurement: observed, of the artifact on its device.
        budget: the limits.
        parity: on the golden vectors.
        closed_loop: paired episodes.
        float_tolerance: largest absolute error, in units of the action.
        control_period_s: 1 / the task's control rate.

    """
    return Verdict(
        violations=(
            *_total(cost, measurement, budget.total),
            *_components(cost, budget),
            *_period(cost, measurement, control_period_s),
            *_parts(cost, measurement),
            *_parity(parity, float_tolerance),
            *_return(closed_loop, budget.max_return_drop),
        )
    )


def _total(cost: Cost, measurement: Measurement | None, limits: Limits) -> Iterator[str]:
    seen = measurement or Measurement("nothing")
    for name, observed, predicted, limit in (
        ("Flash", seen.flash_bytes, cost.flash_bytes, limits.flash_bytes),
        ("RAM", seen.ram_bytes, cost.ram_bytes, limits.ram_bytes),
    ):
        value = predicted if observed is None else observed
        if limit is not None and value > limit:
            how = "predicted" if observed is None else f"measured on {seen.device}"
            yield f"{name} is {value:,} B ({how}), over the limit of {limit:,} B."
    latency, how = _worst_latency(cost, measurement)
    if limits.latency_s is not None and not latency <= limits.latency_s:
        yield (
            f"Worst-case latency is {format_seconds(latency)} ({how}), "
            f"over the limit of {format_seconds(limits.latency_s)}."
        )
    if limits.utilisation is not None and cost.utilisation > limits.utilisation:
        yield (
            f"The core is busy for {cost.utilisation:.1%} of the time (predicted), "
            f"over the limit of {limits.utilisation:.1%}."
        )


def _components(cost: Cost, budget: Budget) -> Iterator[str]:
    for name, limits in budget.components.items():
        if name not in cost.components:
            continue  # it is not on the board, and costs nothing there
        part = cost.components[name]
        for what, value, limit in (
            ("Flash", part.flash_bytes, limits.flash_bytes),
            ("RAM", part.ram_bytes, limits.ram_bytes),
        ):
            if limit is not None and value > limit:
                yield f"{what} of {name} is {value:,} B (predicted), over its limit of {limit:,} B."
        if limits.latency_s is not None and not part.latency_s.high <= limits.latency_s:
            yield (
                f"Worst-case latency of {name} is {format_seconds(part.latency_s.high)} (predicted), "
                f"over its limit of {format_seconds(limits.latency_s)}."
            )
        if limits.utilisation is not None and part.utilisation > limits.utilisation:
            yield (
                f"{name} keeps the core busy for {part.utilisation:.1%} of the time (predicted), "
                f"over its limit of {limits.utilisation:.1%}."
            )


def _period(cost: Cost, measurement: Measurement | None, period_s: float | None) -> Iterator[str]:
    latency, how = _worst_latency(cost, measurement)
    if period_s is not None and not latency <= period_s:
        yield (
            f"Worst-case latency is {format_seconds(latency)} ({how}), "
            f"longer than one control period of {format_seconds(period_s)}."
        )


def _parts(cost: Cost, measurement: Measurement | None) -> Iterator[str]:
    """Parts at rates of their own; those at the control rate are judged by ``_period``."""
    times = cost.parts if measurement is None or not measurement.parts else measurement.parts
    quickest = min((time.period_s for time in times), default=0.0)
    _, how = _worst_latency(cost, measurement)
    for time in times:
        if time.period_s > quickest and time.response_s > time.period_s * (1 + 1e-9):
            yield (
                f"{time.name} takes {format_seconds(time.latency_s.high)} at worst ({how}) and is interrupted by the "
                f"quicker parts: it is not through after {format_seconds(time.response_s)}, longer than its period of "
                f"{format_seconds(time.period_s)}."
            )


def _worst_latency(cost: Cost, measurement: Measurement | None) -> tuple[float, str]:
    observed: Range | None = None if measurement is None else measurement.latency_s
    if measurement is None or observed is None:
        return cost.latency_s.high, "predicted"
    source = measurement.latency_source
    measured = source in ("", "measured")
    where = f"on {measurement.device}"
    return observed.high, f"measured {where}" if measured else f"{where}, predicted from {source}"


def _parity(parity: Parity, tolerance: float) -> Iterator[str]:
    tolerance *= max(1.0, parity.largest_output)
    if not parity.float_max_abs_error <= tolerance:
        yield (
            f"The float .tflite differs from torch by up to {parity.float_max_abs_error:.3g}, "
            f"over the tolerance of {tolerance:.3g}."
        )
    if parity.int8_mismatched_bytes:
        yield (
            f"{parity.int8_mismatched_bytes:,} output bytes over {parity.vectors:,} golden vectors differ "
            "between the int8 .tflite in TFLM and the device; the limit is 0."
        )


def _return(loop: ClosedLoop, drop: float) -> Iterator[str]:
    low, high = loop.ci95
    if loop.episodes < LEAST_EPISODES:
        yield f"Not enough evidence: {loop.episodes} pairs of episodes, where {LEAST_EPISODES} are the least."
    if low >= 1 - drop:
        return
    if not math.isfinite(low):
        yield f"The share of the original's return that is kept is not a finite number ({loop.return_ratio})."
        return
    sentence = (
        f"Of the original's return {100 * loop.return_ratio:.1f} % is kept "
        f"(95 % interval {math.floor(1000 * low) / 10:.1f} to {100 * high:.1f} %, {loop.episodes} episodes); "
        f"the lower end is below the limit of {100 * (1 - drop):.1f} %"
    )
    doubt = high >= 1 - drop
    yield sentence + (": not enough evidence, more episodes may decide." if doubt else ".")
