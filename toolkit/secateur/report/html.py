"""A summary as one page that opens anywhere: no network, no script, light and dark, phone and print."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from secateur.report import wording
from secateur.report.charts import curve, histogram, responses


@dataclass(frozen=True)
class Bar:
    """One resource against its limit, each length as a share [0, 1] of the bar's whole width.

    Attributes:
        label: ``flash``, ``RAM of encoder``, …
        value, limit, before: as text.
        kind: ``measured`` or ``predicted``; a latency worked out from counted instructions is predicted.
        filled, mark: lengths of the value and up to the limit's mark.
        over: whether the value is above the limit.
    """

    label: str
    value: str
    limit: str
    before: str
    kind: str
    filled: float
    mark: float
    over: bool


@dataclass(frozen=True)
class WidthBar:
    """A pruning group's channels, ``kept`` as a share [0, 1] of what there was."""

    group: str
    components: str
    coupling: bool
    before: int
    after: int
    kept: float


def render_html(summary: Mapping[str, Any]) -> str:
    """The page as text. Sections without data are left out, or say why they are empty."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            bars=budget_bars(summary),
            widths=width_bars(summary),
            returns=_returns(summary),
            curves=_curves(summary),
            responses=responses((summary.get("search") or {}).get("curves", ())),
        )
    )


def environment() -> Environment:
    """Where the pages' templates are, and how they are read."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["wording"] = wording
    return made


def budget_bars(summary: Mapping[str, Any]) -> list[Bar]:
    """Every limit of the budget with what was seen: measured where it was, predicted elsewhere."""
    measured = summary["measured"] or {}
    predicted, baseline = summary["predicted"], summary["baseline"]
    bars = [
        _bar(label, key, form, summary["budget"], measured, predicted, baseline)
        for label, key, form in _RESOURCES
        if summary["budget"].get(key) is not None
    ]
    for name, limits in summary["budget"].get("components", {}).items():
        parts = (predicted["components"].get(name, {}), baseline.get("components", {}).get(name, {}))
        bars += [
            _bar(f"{label} of {name}", key, form, limits, {}, *parts)
            for label, key, form in _RESOURCES
            if limits.get(key) is not None and parts[0].get(key) is not None
        ]
    return bars


_RESOURCES = (
    ("Flash", "flash_bytes", wording.size),
    ("RAM", "ram_bytes", wording.size),
    ("Worst-case latency", "latency_s", wording.duration),
)


def _bar(
    label: str,
    key: str,
    form: Any,
    limits: Mapping[str, Any],
    measured: Mapping[str, Any],
    predicted: Mapping[str, Any],
    baseline: Mapping[str, Any],
) -> Bar:
    value, limit = measured.get(key), limits[key]
    observed = value is not None and (key != "latency_s" or wording.latency_is_measured(measured))
    kind = "measured" if observed else "predicted"
    value = predicted[key] if value is None else value
    whole = 1.15 * max(value, limit)
    return Bar(
        label=label,
        value=form(value),
        limit=form(limit),
        before=form(baseline.get(key)),
        kind=kind,
        filled=value / whole,
        mark=limit / whole,
        over=value > limit,
    )


def width_bars(summary: Mapping[str, Any]) -> list[WidthBar]:
    """Every pruning group before and after."""
    return [
        WidthBar(
            group=group["group"],
            components=", ".join(group["components"]),
            coupling=len(group["components"]) > 1,
            before=group["before"],
            after=group["after"],
            kept=group["after"] / group["before"] if group["before"] else 0.0,
        )
        for group in summary.get("widths", [])
    ]


def _returns(summary: Mapping[str, Any]) -> Markup | None:
    loop = summary["closed_loop"]
    return None if loop is None else histogram(loop["baseline_returns"], loop["artifact_returns"])


def _curves(summary: Mapping[str, Any]) -> list[Markup]:
    points = summary.get("recovery", [])
    steps = [point["step"] for point in points]
    drawn = (
        curve(steps, [point["loss"] for point in points], "loss", log=True),
        curve(steps, [point["return_mean"] for point in points], "mean return"),
    )
    return [drawing for drawing in drawn if drawing]
