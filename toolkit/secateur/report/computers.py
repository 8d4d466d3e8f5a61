"""What was measured on computers, on the screen: one table for all of them."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from secateur.units import format_bytes, format_seconds

_WIDTH = 200
"""Wide enough for the table, which takes no more than it needs."""


def print_computers(found: Mapping[str, Any], console: Console) -> None:
    """One row for each device and file, then what each device was like, from the document of ``bench_computers``."""
    titles = (
        "device",
        "file",
        "p50",
        "p90",
        "p99",
        "max",
        "jitter",
        "cold start",
        "peak RSS",
        "rate held",
        "predicted",
    )
    table = Table(*titles, box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for device in found["devices"]:
        for model in device.get("models", ()):
            call, predicted = model["call"], model["predicted"]
            times = (format_seconds(call[f"{key}_s"]) for key in ("p50", "p90", "p99", "max", "jitter"))
            table.add_row(
                device["device"] + (" THROTTLED" if device["throttled"] else ""),
                model["name"] + ("" if model["settled"] else " (not settled)"),
                *times,
                format_seconds(model["cold_start_s"]),
                format_bytes(model["peak_rss_bytes"]),
                f"{model['held_hz']:.4g} Hz",
                f"{format_seconds(predicted['low_s'])}–{format_seconds(predicted['high_s'])}"
                if predicted
                else "–",
            )
    console.width = max(console.width, _WIDTH)
    console.print(table)
    effort = found["effort"]
    console.print(
        f"Rate held: at {found['utilisation']:.0%} utilisation, by p99. Medians to ±{effort['half_width']:.0%} with"
        f" {effort['confidence']:.0%} confidence, {effort['threads']} thread(s), {effort['warmup_s']:g} s of warm-up.",
        soft_wrap=True,
    )
    if found["target"]:
        console.print(f"Predicted for one call on {found['target']}, computation alone.", soft_wrap=True)
    for device in found["devices"]:
        _print_device(device, console)


def _print_device(device: Mapping[str, Any], console: Console) -> None:
    if "error" in device:
        console.print(f"{device['device']}: failed: {device['error']}", soft_wrap=True, markup=False)
        return
    machine, before, after = device["machine"], device["before"], device["after"]
    model = device["models"][0]
    slowed = {None: "throttling unknown", True: "THROTTLED", False: "not throttled"}[device["throttled"]]
    parts = [
        machine["model"] or machine["cpu"] or "unknown processor",
        f"{machine['cores']} × {machine['architecture']}",
        f"governor {machine['governor'] or 'unknown'}",
        f"{_known(before['temperature_c'])} → {_known(after['temperature_c'])} °C, {slowed}",
        f"{model['library']} {model['library_version'] or ''}".strip(),
        f"load {before['load']:.1f}",
    ]
    if device["components_utilisation"] is not None:
        parts.append(f"components at their rates: {device['components_utilisation']:.1%} busy")
    wrong = sum(m["against_host"]["mismatched_bytes"] for m in device["models"])
    parts.append(f"against LiteRT here: {wrong or 'no'} bytes differ")
    console.print(f"{device['device']}: {'; '.join(parts)}", soft_wrap=True, markup=False)


def _known(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def print_calibration(found: Mapping[str, Any], console: Console) -> None:
    """Errors on held-out networks, before and after, from the document of ``calibrate``."""
    titles = (
        "held-out networks",
        "median before",
        "90 % before",
        "median after",
        "90 % after",
        "largest after",
    )
    table = Table(*titles, box=None, pad_edge=False)
    for name, both in found["errors"].items():
        shares = (both["before"]["median"], both["before"]["p90"], *both["after"].values())
        table.add_row(name, *(f"{share:.1%}" for share in shares))
    console.width = max(console.width, _WIDTH)
    console.print(table)
    console.print(
        f"{found['target']} on {found['device']}; written to {found['file']}: use it with --target.",
        soft_wrap=True,
    )
