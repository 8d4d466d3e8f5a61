"""Bars of the page, as lengths: budgets, widths, operators, boards. The words beside each say the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secateur.report import wording
from secateur.report.rates import BANDS, periods
from secateur.report.svg import Scale


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


@dataclass(frozen=True)
class OperatorBar:
    """One operator: ``low`` and ``high`` ends of its latency as shares [0, 1] of the longest, predicted and counted.

    ``counted`` is None where nothing was counted.
    """

    label: str
    component: str
    kernel: str
    predicted: tuple[float, float]
    counted: tuple[float, float] | None
    row: tuple[str, ...]


@dataclass(frozen=True)
class BoardBar:
    """A board: latency of the original and of the artifact, in percent of an axis of durations; as text in ``row``.

    ``unknown`` says why there is none.
    """

    name: str
    own: bool
    row: tuple[str, ...]
    before: tuple[float, float] | None = None
    after: tuple[float, float] | None = None
    unknown: str = ""


@dataclass(frozen=True)
class Band:
    """A band of control rates on the axis of durations: ``start`` and ``end`` in percent."""

    label: str
    what: str
    start: float
    end: float


@dataclass(frozen=True)
class Tick:
    """An end of a band: ``place`` in percent of the axis."""

    label: str
    place: float


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


def share_bars(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each component takes of the artifact's flash, RAM and latency, predicted: shares of the largest."""
    parts = summary["predicted"]["components"]
    if len(parts) < 2:
        return []
    shown = []
    for label, key, form in _RESOURCES:
        values = {name: part[key] for name, part in parts.items() if part.get(key)}
        if most := max(values.values(), default=0):
            rows = [{"name": n, "value": form(v), "filled": v / most} for n, v in values.items()]
            shown.append({"label": label, "rows": rows})
    return shown


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


OPERATOR_COLUMNS = (
    "Operator",
    "Component",
    "Kernel",
    "MACs",
    "Instructions, predicted",
    "Instructions, counted",
    "Latency of the predicted",
    "Latency of the counted",
)


def operator_bars(operators: Sequence[Mapping[str, Any]]) -> list[OperatorBar]:
    """Every step of the program, in order."""
    stages = ("predicted", "counted")
    longest = max((o[s]["latency_range_s"][1] for o in operators for s in stages if o[s]), default=0) or 1.0

    def reach(operator: Mapping[str, Any], stage: str) -> tuple[float, float] | None:
        if operator[stage] is None:
            return None
        low, high = operator[stage]["latency_range_s"]
        return low / longest, high / longest

    return [
        OperatorBar(
            label=o["label"],
            component=o["component"] or wording.MISSING,
            kernel=o["kernel"],
            predicted=reach(o, "predicted") or (0.0, 0.0),
            counted=reach(o, "counted"),
            row=(
                *(o["label"], o["component"] or wording.MISSING, o["kernel"], wording.count(o["macs"])),
                *(wording.count(o[s] and o[s]["instructions"]) for s in stages),
                *(wording.span(o[s] and o[s]["latency_range_s"]) for s in stages),
            ),
        )
        for o in operators
    ]


BOARD_COLUMNS = ("Board", "Core", "Clock", "Original", "Artifact", "Artifact keeps up with")


def board_bars(
    boards: Sequence[Mapping[str, Any]],
) -> tuple[list[BoardBar], list[Band], list[Tick]]:
    """Every board, the run's own first, then from the quickest; the bands of control rates, and their ends."""
    axis = periods(boards)
    order = sorted(
        boards, key=lambda b: (not b["own"], b["after"]["latency_range_s"][1] if "after" in b else 1e9)
    )
    bands = [Band(label, what, axis(1 / high), axis(1 / low)) for low, high, label, what in BANDS]
    ends = sorted({hz for low, high, _, _ in BANDS for hz in (low, high)}, reverse=True)
    return [_board(board, axis) for board in order], bands, [Tick(rate(hz), axis(1 / hz)) for hz in ends]


def _board(board: Mapping[str, Any], axis: Scale) -> BoardBar:
    head = (board["name"], board["core"], f"{board['clock_hz'] / 1e6:g} MHz")
    if "unknown" in board:
        dashes = (wording.MISSING,) * 3
        return BoardBar(board["name"], board["own"], (*head, *dashes), unknown=board["unknown"])
    spans = [
        wording.span(board[stage]["latency_range_s"]) + ("" if board[stage]["fits"] else " (does not fit)")
        for stage in ("before", "after")
    ]
    before, after = (tuple(map(axis, board[stage]["latency_range_s"])) for stage in ("before", "after"))
    worst = board["after"]["latency_range_s"][1]
    return BoardBar(
        board["name"],
        board["own"],
        (*head, *spans, rate(1 / worst)),
        (before[0], before[1]),
        (after[0], after[1]),
    )


def rate(hz: float) -> str:
    """5903.2 → ``"5.9 kHz"``, of calls one after the other without a pause."""
    return (
        f"{hz / 1000:.2g} kHz"
        if 1000 <= hz < 99_500
        else f"{hz / 1000:.3g} kHz"
        if hz >= 1000
        else f"{hz:.3g} Hz"
    )
