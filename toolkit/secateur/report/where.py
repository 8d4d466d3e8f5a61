"""Where a verification found the artifact to differ: by component, along trajectories, and by where it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from secateur.report.svg import LEFT, RIGHT, WIDTH, Scale, axes, dot, polyline, rect, svg, text
from secateur.report.wording import MISSING, duration, interval, share
from secateur.verify.region import is_inside, triangles

Found = Mapping[str, Any]


@dataclass(frozen=True)
class SwapBar:
    """One component in one form: ``kept`` and its interval as lengths [0, 1] of an axis, ``whole`` where 100 % is."""

    component: str
    form: str
    kept: float
    low: float
    high: float
    whole: float
    row: tuple[str, ...]


SWAP_COLUMNS = ("Component", "In this form", "Return kept", "95 % interval", "Mean return")
MOVEMENT_COLUMNS = ("", "Original", "Artifact")
REGION_COLUMNS = ("Position", "Velocity", "Original", "95 % interval", "Artifact", "95 % interval")


def swap_bars(attribution: Found) -> list[SwapBar]:
    """Every component of the original that was replaced, in each form."""
    rows = attribution["rows"]
    reach = max([1.05, *(row["ci95"][1] for row in rows)])
    return [
        SwapBar(
            component=row["component"],
            form=row["form"],
            kept=max(0.0, row["ratio"]) / reach,
            low=max(0.0, row["ci95"][0]) / reach,
            high=max(0.0, row["ci95"][1]) / reach,
            whole=1.0 / reach,
            row=(
                *(row["component"], row["form"], share(row["ratio"]), interval(row["ci95"])),
                f"{row['return_mean']:.4g}",
            ),
        )
        for row in rows
    ]


def deviation_lines(deviation: Found) -> list[str]:
    """What differs, in sentences."""
    parted = deviation["divergence_median_s"]
    after = "" if parted is None else f", after {duration(parted)} (median)"
    return [
        f"At what the original saw, actions differ by {deviation['action_rms']:.3g} (root mean square), by "
        f"{deviation['action_max']:.3g} at most; 1 is the {deviation['unit']}.",
        f"In {share(deviation['diverged_share'], 0)} of {deviation['episodes']} episodes their ways part by "
        f"{deviation['diverged_at']:g} standard deviations of the states{after}.",
    ]


def movement_rows(deviation: Found) -> list[tuple[str, ...]]:
    """How either moves."""
    sides = (deviation["baseline"], deviation["artifact"])

    def cells(key: str, form: Any) -> list[str]:
        return [MISSING if side[key] is None else form(side[key]) for side in sides]

    return [
        ("Change of the action in a step", *cells("change_per_step", "{:.3g}".format)),
        ("Time with an action at its limit", *cells("saturated_share", share)),
        ("Effort, mean square of the action", *cells("effort", "{:.3g}".format)),
    ]


def deviation_drawing(deviation: Found) -> Markup:
    """How far actions differ over the time of an episode."""
    points = deviation["action_rms_over_time"]
    if len(points) < 2:
        return Markup("")
    top, bottom = 12.0, 150.0
    along = Scale([seconds for seconds, _ in points], LEFT, WIDTH - RIGHT)
    up = Scale([0.0, *(value for _, value in points)], bottom, top)
    most = max(value for _, value in points)
    shapes = [
        *axes(top, bottom),
        polyline("curve", [(along(seconds), up(value)) for seconds, value in points]),
        text(LEFT - 6, bottom, "0", "end"),
        text(LEFT - 6, top + 8, f"{most:.2g}", "end"),
        text(LEFT, bottom + 18, duration(points[0][0]), "start"),
        text(WIDTH - RIGHT, bottom + 18, duration(points[-1][0]), "end"),
        text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, "deviation of the action over time", "middle"),
    ]
    return svg(bottom + 46, "Deviation of actions along episodes", shapes, f"It is {most:.2g} at most.")


def region_drawing(region: Found) -> Markup:
    """Two maps of starts, the original's and the artifact's: offset of velocity against offset of position."""
    cells, top, side, unit = region["cells"], 26.0, 252.0, region["unit"]
    far, fast = (max(abs(cell[key]) for cell in cells) or 1.0 for key in ("position", "velocity"))
    places = np.array([(cell["position"] / far, cell["velocity"] / fast) for cell in cells])
    corners, bottom = triangles(places), top + side
    shapes: list[Markup] = []
    for name, title, left in (("baseline", "original", 70.0), ("artifact", "artifact", 364.0)):
        drawn = np.column_stack(
            [left + side * (1 + places[:, 0]) / 2, bottom - side * (1 + places[:, 1]) / 2]
        )
        inside = np.array([is_inside(cell[name], cell["seeds"]) for cell in cells])
        shapes += [
            text(left + side / 2, top - 8, title, "middle"),
            rect("start", left, top, side, side),
            _inside(drawn, corners, inside),
            *(_start(cell, name, x, y, unit) for cell, (x, y) in zip(cells, drawn)),
            text(left, bottom + 18, f"{-far:+.2g}", "start"),
            text(left + side, bottom + 18, f"{far:+.2g}", "end"),
        ]
    shapes += [
        text(64, bottom, f"{-fast:+.2g}", "end"),
        text(64, top + 10, f"{fast:+.2g}", "end"),
        text(WIDTH / 2, bottom + 40, _axes(region), "middle"),
    ]
    words = (
        f"The original recovers from {share(region['baseline']['share'])} of what was tried, the artifact from "
        f"{share(region['artifact']['share'])}"
    )
    return svg(bottom + 48, "Region of attraction, as far as it was tried", shapes, words)


def _axes(region: Found) -> str:
    unit = region["unit"]
    return f"start of {region['joint']}: {unit} across, {unit}/s up"


def _inside(drawn: np.ndarray, corners: np.ndarray, inside: np.ndarray) -> Markup:
    """Triangles as far as they count as inside: whole, or cut halfway along the edges whose ends differ."""
    pieces = []
    for triangle in corners:
        outline: list[np.ndarray] = []
        for one, two in zip(triangle, np.roll(triangle, -1)):
            outline += [drawn[one]] if inside[one] else []
            outline += [(drawn[one] + drawn[two]) / 2] if inside[one] != inside[two] else []
        if outline:
            pieces.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in outline) + "Z")
    return Markup('<path class="recovered" d="{}"/>').format("".join(pieces))


def _start(cell: Found, name: str, x: float, y: float, unit: str) -> Markup:
    kind = "tried" if is_inside(cell[name], cell["seeds"]) else "tried lost"
    where = f"{cell['position']:+.3g} {unit}, {cell['velocity']:+.3g} {unit}/s"
    return dot(kind, x, y, f"{where}: {cell[name]} of {cell['seeds']}", 2.2)


def region_lines(region: Found) -> list[str]:
    """What the maps come to."""
    sides = [_of_area(region[side]) for side in ("baseline", "artifact")]
    return [
        f"In {len(region['cells'])} moved starts of {region['joint']} the original recovers from {sides[0]}, the "
        f"artifact from {sides[1]}.",
        f"In {region['only_original']} of their episodes the original alone recovers, in {region['only_artifact']} the "
        "artifact alone.",
    ]


def _of_area(side: Found) -> str:
    """Earlier verifications counted starts of a grid, and gave an interval of that."""
    if "between" not in side:
        return f"{share(side['share'])} ({interval(side['ci95'])}) of them"
    return f"{share(side['share'])} of the area ({interval(side['between'])}, as far as starts tell)"


def region_rows(region: Found) -> list[tuple[str, ...]]:
    """Every cell."""
    unit = region["unit"]
    return [
        (
            f"{cell['position']:+.3g} {unit}",
            f"{cell['velocity']:+.3g} {unit}/s",
            *_recovered(cell, "baseline"),
            *_recovered(cell, "artifact"),
        )
        for cell in region["cells"]
    ]


def _recovered(cell: Found, name: str) -> tuple[str, str]:
    return f"{cell[name]} of {cell['seeds']}", interval(cell[f"{name}_ci95"])


def where_it_differs(parts: Found) -> dict[str, Any]:
    """All of it for the page; None where a part was not asked for or could not be had."""
    attribution, deviation, region = (parts.get(key) for key in ("attribution", "deviation", "region"))
    mapped = region if region and not region.get("left_out") else None
    return {
        "swaps": swap_bars(attribution) if attribution else [],
        "swap_pairs": attribution["pairs"] if attribution else None,
        "swap_meaning": _told(attribution, "meaning"),
        "swap_left_out": _told(attribution, "left_out"),
        "deviation": deviation_lines(deviation) if deviation else [],
        "movement": movement_rows(deviation) if deviation else [],
        "deviation_drawing": deviation_drawing(deviation) if deviation else Markup(""),
        "region": region_lines(mapped) if mapped else [],
        "region_rows": region_rows(mapped) if mapped else [],
        "region_drawing": region_drawing(mapped) if mapped else Markup(""),
    }


def _told(attribution: Found | None, key: str) -> Sequence[tuple[str, str]]:
    """Form → words, of the forms that there are rows of, or none of."""
    if not attribution:
        return []
    forms = {row["form"] for row in attribution["rows"]}
    return [
        (form, words)
        for form, words in attribution.get(key, {}).items()
        if key == "left_out" or form in forms
    ]
