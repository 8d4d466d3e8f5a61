"""What the search for widths tried: error against cost, the front among short trials, and the point that was chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from secateur.report import wording
from secateur.report.svg import LEFT, RIGHT, WIDTH, Scale, axes, dot, line, polyline, svg, text

RESOURCES = {
    "flash_bytes": ("flash", wording.size),
    "ram_bytes": ("RAM", wording.size),
    "latency_s": ("worst latency", wording.duration),
}


def tightest(summary: Mapping[str, Any]) -> str:
    """The limited resource that the artifact comes nearest to, as key of RESOURCES; flash where none is limited."""
    limits, cost = summary["budget"], summary["predicted"]
    shares = {key: cost[key] / limits[key] for key in RESOURCES if limits.get(key) and cost.get(key)}
    return max(shares, key=lambda key: shares[key]) if shares else "flash_bytes"


def front_of(tried: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """Of the short trials, those that no other matches in error at the same cost or less; by cost."""
    best, front = float("inf"), []
    for trial in sorted((t for t in tried if t["rounds"] == 1), key=lambda t: (t[key], t["error"])):
        if trial["error"] < best:
            best = trial["error"]
            front.append(trial)
    return front


def candidates(summary: Mapping[str, Any]) -> Markup:
    """The drawing; empty where there were no trials, or no two of different cost."""
    search = summary.get("search") or {}
    key = tightest(summary)
    tried = [t for t in search.get("tried", ()) if t["error"] > 0 and t[key] > 0]
    if len({t[key] for t in tried}) < 2:
        return Markup("")
    name, form = RESOURCES[key]
    top, bottom = 14.0, 214.0
    limit = summary["budget"].get(key)
    along = Scale([*(t[key] for t in tried), *([limit] if limit else [])], LEFT, WIDTH - RIGHT - 8, log=True)
    up = Scale([t["error"] for t in tried], bottom, top, log=True)
    shapes = axes(top, bottom)
    if limit:
        shapes.append(line("limit", along(limit), top, along(limit), bottom))
        anchor = "start" if along(limit) < WIDTH / 2 else "end"
        shapes.append(text(along(limit) + (4 if anchor == "start" else -4), top + 10, "budget", anchor))
    front = front_of(tried, key)
    shapes.append(polyline("curve", [(along(t[key]), up(t["error"])) for t in front]))
    for trial in tried:
        kind = "point final" if trial["rounds"] > 1 else "point"
        shapes.append(dot(kind, along(trial[key]), up(trial["error"]), _words(trial, key)))
    chosen = chosen_of(summary, tried)
    if chosen is not None:
        shapes.append(dot("chosen", along(chosen[key]), up(chosen["error"]), "chosen", 8.0))
    ends = ([t[key] for t in tried], [t["error"] for t in tried])
    shapes += [
        text(LEFT - 6, bottom, f"{min(ends[1]):.2g}", "end"),
        text(LEFT - 6, top + 8, f"{max(ends[1]):.2g}", "end"),
        text(LEFT, bottom + 18, form(min(ends[0])), "start"),
        text(WIDTH - RIGHT, bottom + 18, form(max(ends[0])), "end"),
        text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, f"{name}, predicted (log scale)", "middle"),
    ]
    words = f"{len(tried)} trials, {len(front)} of them on the front" + (
        f"; chosen: {_words(chosen, key)}" if chosen is not None else ""
    )
    return svg(bottom + 46, f"Error of trials against {name}", shapes, words)


def chosen_of(summary: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The trial of the widths that were chosen, its longest where there were several."""
    after = summary["predicted"]
    same = [t for t in tried if all(t[k] == after[k] for k in ("parameters", "flash_bytes", "ram_bytes"))]
    return max(same, key=lambda t: t["rounds"], default=None)


def rows(summary: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The trials as text: size, RAM, latency, error, return kept, kind; the smallest error first."""
    tried = (summary.get("search") or {}).get("tried", ())
    return [
        (
            wording.size(t["flash_bytes"]),
            wording.size(t["ram_bytes"]),
            wording.duration(t["latency_s"]),
            f"{t['error']:.3g}",
            wording.share(t["kept"]),
            "finalist" if t["rounds"] > 1 else "short",
        )
        for t in sorted(tried, key=lambda t: t["error"])
    ]


def _words(trial: Mapping[str, Any], key: str) -> str:
    name, form = RESOURCES[key]
    kept = "" if trial["kept"] is None else f", {wording.share(trial['kept'])} of the return"
    return f"{name} {form(trial[key])}: error {trial['error']:.3g}{kept}"
