"""Numbers of a summary as people read them; the same words on the screen and in the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secateur.units import format_bytes, format_seconds

MISSING = "–"

COLUMNS = ("Parameters", "MACs", "Flash", "RAM", "Instructions", "Latency")


@dataclass(frozen=True)
class Row:
    """One line of the cost table.

    Attributes:
        part: the component, or ``"total"``.
        stage: ``before``, ``after`` (both predicted), ``measured`` or ``budget``.
        cells: one text for each of COLUMNS.
        first: the first line of its part.
    """

    part: str
    stage: str
    cells: tuple[str, ...]
    first: bool = False


def count(number: float | None) -> str:
    """84224 → ``"84,224"``."""
    return MISSING if number is None else f"{round(number):,}"


def size(number: float | None) -> str:
    """12288 → ``"12.00 KiB"``."""
    return MISSING if number is None else format_bytes(int(number))


def duration(seconds: float | None) -> str:
    """0.0021 → ``"2.1 ms"``."""
    return MISSING if seconds is None else "0 s" if seconds == 0 else format_seconds(seconds)


def span(interval: Sequence[float] | None) -> str:
    """An interval of time: ``"58–86 µs"``, ``"800 µs–1.2 ms"``."""
    if interval is None:
        return MISSING
    low, high = (duration(end) for end in interval)
    if low == high:
        return low
    number, unit = low.split(" ")
    return f"{number}–{high}" if high.endswith(" " + unit) else f"{low}–{high}"


def share(fraction: float | None, digits: int = 1) -> str:
    """0.9912 → ``"99.1 %"``."""
    return MISSING if fraction is None else f"{100 * fraction:.{digits}f} %"


def interval(ends: Sequence[float] | None) -> str:
    """Shares [0.98, 1.01] → ``"98.0 % to 101.0 %"``."""
    return MISSING if ends is None else f"{share(ends[0])} to {share(ends[1])}"


def delay_line(delay: Mapping[str, Any]) -> str:
    """How late a verification's actions were, and where that is from."""
    if not delay["worst_s"]:
        return f"No delay: {delay['source']}."
    given = delay.get("given_s", delay["worst_s"])
    return (
        f"Actions {format_seconds(delay['worst_s'])} late at most ({delay['worst_periods']:.3g} control periods, "
        f"{delay['mode']}{', with jitter' if delay['jitter'] else ''}): {delay['source']}."
    ) + (
        f" The environment can be delayed by whole control periods only: it was given {format_seconds(given)}."
        if given > delay["worst_s"]
        else ""
    )


def bounds_line(test: Mapping[str, Any]) -> str:
    """Between what a test of returns took them to be, where the task declares that; empty where it does not."""
    if not test.get("highest_is_known"):
        return ""
    low, high = test["lowest_return"], test["highest_return"]
    return f"Returns lie between {low:.6g} and {high:.6g}, as the task declares: the confidence rests on no guess."


def cost_rows(summary: Mapping[str, Any]) -> list[Row]:
    """The cost table: each component before and after, then the total with what was measured and allowed."""
    before, after = summary["baseline"], summary["predicted"]
    budget, measured = summary["budget"], summary["measured"]
    rows: list[Row] = []
    for name in after["components"]:
        known = before.get("components", {}).get(name)
        rows.append(Row(name, "before", _cells(known or {}), first=True))
        rows.append(Row(name, "after", _cells(after["components"][name])))
        if limits := budget.get("components", {}).get(name):
            rows.append(Row(name, "budget", _cells(limits)))
    rows.append(Row("total", "before", _cells(before), first=True))
    rows.append(Row("total", "after", _cells(after)))
    if measured is not None:
        rows.append(Row("total", "measured", _cells(measured)))
    rows.append(Row("total", "budget", _cells(budget)))
    return rows


def _cells(numbers: Mapping[str, Any]) -> tuple[str, ...]:
    latency_s = numbers.get("latency_s")
    interval = numbers.get("latency_range_s") or (None if latency_s is None else (latency_s, latency_s))
    return (
        count(numbers.get("parameters")),
        count(numbers.get("macs")),
        size(numbers.get("flash_bytes")),
        size(numbers.get("ram_bytes")),
        count(numbers.get("instructions")),
        span(interval),
    )


def latency_is_measured(measured: Mapping[str, Any] | None) -> bool:
    """Whether a clock was read, rather than the latency worked out from something else or missing."""
    return (
        measured is not None
        and measured["latency_s"] is not None
        and measured["latency_source"] == "measured"
    )


def device_line(summary: Mapping[str, Any]) -> str:
    """Where it was measured and what the latency rests on."""
    measured = summary["measured"]
    if measured is None:
        if computer := summary.get("computer"):
            return (
                f"Latency is predicted for {summary['target']}, with the program around the call. Nothing was "
                f"measured: the {computer['dtype']} file ran on {computer['ran_on']}."
            )
        return "Nothing was measured: no device was run."
    source = measured["latency_source"]
    how = f"; latency predicted from {source}." if source and source != "measured" else "."
    return f"Measured on {measured['device']}{how}"


def parameters_line(summary: Mapping[str, Any]) -> str:
    """Deployed and whole, before and after."""
    before, after = summary["baseline"], summary["predicted"]
    return (
        f"Deployed parameters {_change(before['parameters'], after['parameters'])}; "
        f"whole policy {_change(before['policy_parameters'], after['policy_parameters'])}."
    )


def _change(before: int, after: int) -> str:
    left = f" ({share(after / before)})" if before else ""
    return f"{count(before)} → {count(after)}{left}"


def parity_line(summary: Mapping[str, Any]) -> str:
    """How exactly the artifacts agree."""
    parity = summary["parity"]
    if parity is None:
        return "Parity was not checked."
    mismatched, error = parity["int8_mismatched_bytes"], parity["float_max_abs_error"]
    if mismatched is None:
        return (
            f"{count(parity['vectors'])} rows of recorded calls. Torch to float .tflite: largest error "
            f"{_error(error)}; to the .tflite that is deployed: {_error(parity['int8_max_abs_error'])}; "
            f"the largest output is {_error(parity['largest_output'])}."
        )
    bytes_ = "all bytes equal" if mismatched == 0 else f"{count(mismatched)} bytes differ"
    return (
        f"{count(parity['vectors'])} golden vectors. Torch to float .tflite: largest error {_error(error)}. "
        f"Int8 .tflite in TFLM to the device: {bytes_}. "
        f"Torch to int8: largest error {_error(parity['int8_max_abs_error'])}, in units of the action."
    )


def _error(value: float | None) -> str:
    return "not a finite number" if value is None else f"{value:.2g}"


def planner_lines(summary: Mapping[str, Any]) -> list[str]:
    """How much is planned in a control step; nothing where no planner is deployed."""
    planner = summary.get("planner")
    if planner is None:
        return []
    before, after = planner["before"], planner["after"]
    calls = sum(call["times"] for call in planner["calls"])
    return [
        "; ".join(
            f"{name.replace('_', ' ')} {before[name]} → {after[name]}"
            for name in ("horizon", "samples", "policy_samples", "iterations")
        )
        + ".",
        f"A control step makes {calls} calls of {len(planner['calls'])} signatures; parameters, MACs and latency are "
        "of a whole control step.",
        f"The {planner['dtype']} file ran on {planner['ran_on']}; latency is predicted for {summary['target']}, "
        "with the program around the calls.",
    ]


def part_lines(summary: Mapping[str, Any]) -> list[str]:
    """Parts at rates of their own and how long each takes; nothing for a policy in one part."""
    lines = []
    for part in summary.get("parts") or ():
        seen, where = part["measured"] or part["predicted"], "measured" if part["measured"] else "predicted"
        if where == "measured" and not latency_is_measured(summary["measured"]):
            where = "predicted from counted instructions"
        lines.append(
            f"{part['name']} at {part['rate_hz']:.4g} Hz: {span(seen['latency_range_s'])} ({where}), through after "
            f"{duration(seen['response_s'])} of {duration(1 / part['rate_hz'])} at worst, "
            f"{share(seen['utilisation'])} of the time."
        )
    if lines:
        busy = sum((part["measured"] or part["predicted"])["utilisation"] for part in summary["parts"])
        lines.append(
            f"Together {share(busy)} of the time. The total's latency is that of the parts at the control rate, which "
            "interrupt the others; flash, RAM and instructions are those of all."
        )
    return lines


def loop_lines(summary: Mapping[str, Any]) -> list[str]:
    """What the episodes showed."""
    loop = summary["closed_loop"]
    if loop is None:
        return ["No episodes were run: the policy has no task."]
    low, high = loop["ci95"]
    lines = [
        f"Mean return {loop['baseline_return_mean']:.4g} → {loop['artifact_return_mean']:.4g} over "
        f"{loop['episodes']} paired episodes, actions delayed by {duration(loop['delay_s'])}"
        f"{_late(summary)}.",
        f"{share(loop['return_ratio'])} of the return is kept (95 % interval {share(low)} to {share(high)}; "
        f"at least {share(1 - summary['budget']['max_return_drop'])} is asked for).",
    ]
    if loop["success_rate"] is not None:
        low, high = loop["success_ci95"]
        lines.append(
            f"Success {share(loop['baseline_success_rate'], 0)} → {share(loop['success_rate'], 0)} "
            f"(95 % interval {share(low)} to {share(high)})."
        )
    return lines


def _late(summary: Mapping[str, Any]) -> str:
    """What slower parts made arrived late too."""
    slow = [p for p in summary.get("parts") or () if p["late_periods"]]
    return "".join(
        f", what {p['name']} gives by {p['late_periods']} control period{'s' * (p['late_periods'] > 1)}"
        for p in slow
    )
