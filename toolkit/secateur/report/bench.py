"""What a benchmark found, on the screen: predicted beside measured."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from secateur.target.patches import in_words
from secateur.units import format_bytes, format_seconds

_SIZES = (
    ("flash", "flash_bytes"),
    ("  weights", "weights_bytes"),
    ("  tables", "tables_bytes"),
    ("  code", "code_bytes"),
    ("RAM", "ram_bytes"),
    ("  static, arena included", "static_ram_bytes"),
    ("  stack", "stack_bytes"),
)


def print_bench(found: Mapping[str, Any], console: Console) -> None:
    """Sizes, instructions and latency, then steps, arena and parity, from the document of ``bench``."""
    if "parts" in found:
        for part in found["parts"]:
            console.print(f"\nPart {part['part']['name']}", style="bold")
            print_bench(part, console)
        _print_schedule(found, console)
        return
    predicted, measured, model = found["predicted"] or {}, found["measured"], found["model"]
    compiled = f", compiled by {found['compiler']}" if found["compiler"] else ""
    console.print(
        f"{model['source']} ({format_bytes(model['bytes'])}) on {found['target']}: {found['device']}{compiled}",
        soft_wrap=True,
    )
    table = Table("", "predicted", "measured", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for title, key in _SIZES:
        table.add_row(title, _bytes(predicted.get(key)), _bytes(measured[key]))
    table.add_row("instructions", _count(predicted.get("instructions")), _count(measured["instructions"]))
    observed = measured["latency_source"].startswith("measured")
    latency = _range(measured["latency_s"])
    table.add_row(
        "latency",
        _range(predicted.get("latency_s")),
        latency if observed or not measured["latency_s"] else f"{latency} (predicted)",
    )
    if measured["cycles"] is not None:
        table.add_row("cycles", "–", _count(measured["cycles"]))
    if measured["round_trip_s"]:
        table.add_row("round trip, line included", "–", _range(measured["round_trip_s"]))
    console.print(table)
    if predicted:
        fit = predicted["instruction_fit"]
        other = found["compiler"] and not found["compiler"].startswith("zig")
        note = "All but weights, tables and static RAM is predicted of images by zig. " if other else ""
        console.print(
            f"{note}Predicted code and stack are bounds; instructions within {100 * fit['max_error']:.1f} % on"
            f" {fit['probes']} networks left out of the fit; latency: {predicted['latency_source']}",
            soft_wrap=True,
        )
    else:
        console.print("Nothing is predicted: the target states no coefficients for this network's kernels.")
    if found["patches"]:
        console.print(in_words(found["patches"], predicted or None), soft_wrap=True)
    if measured["latency_s"]:
        console.print(f"Latency of the device: {measured['latency_source']}", soft_wrap=True)
    _print_steps(measured["operator_instructions"], console)
    _print_arena(found["arena"], console)
    _print_parity(found["parity"], console)


def _print_schedule(found: Mapping[str, Any], console: Console) -> None:
    """How parts share one core, the quicker interrupting the slower."""
    if not found["schedule"]:
        return
    console.print("\nOn one core at their rates, worst latencies, the quicker parts interrupting the slower:")
    table = Table("part", "period", "latency", "through after", "of the time", box=None, pad_edge=False)
    for one in found["schedule"]:
        times = (format_seconds(one[key]) for key in ("period_s", "latency_s", "response_s"))
        table.add_row(one["part"], *times, f"{100 * one['utilisation']:.1f} %")
    console.print(table)


def _print_steps(steps: Mapping[str, int], console: Console) -> None:
    if not steps:
        return
    table = Table("step", "instructions", "share", box=None, pad_edge=False)
    total = sum(steps.values())
    for label, count in steps.items():
        table.add_row(label, _count(count), f"{100 * count / max(total, 1):.1f} %")
    console.print(table)


def _print_arena(arena: Mapping[str, Any], console: Console) -> None:
    parts = []
    if arena["bytes"] is not None:
        parts.append(
            f"{_bytes(arena['bytes'])}, no plan can have less than {_bytes(arena['lower_bound_bytes'])}"
        )
    if arena["tflm_bytes"] is not None:
        parts.append(f"TFLM's {_bytes(arena['tflm_bytes'])}")
    if parts:
        console.print(f"Arena: {'; '.join(parts)}")


def _print_parity(parity: Mapping[str, Any] | None, console: Console) -> None:
    if parity is None:
        return
    if parity["mismatched_bytes"] is None:
        console.print(f"Not held against TFLM: {parity['reason']}", soft_wrap=True)
    else:
        count = parity["mismatched_bytes"] or "no"
        console.print(f"Against TFLM: {count} bytes differ over {parity['vectors']} calls")


def _bytes(count: int | None) -> str:
    return "–" if count is None else f"{count:,} B"


def _count(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _range(seconds: Mapping[str, float] | None) -> str:
    if not seconds:
        return "–"
    return f"{format_seconds(seconds['low'])} to {format_seconds(seconds['high'])}"
