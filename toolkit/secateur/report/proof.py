"""What ``secateur verify`` found, for the page: from ``verify.json``, whichever of its sections there are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from secateur.report.charts import histogram, paired
from secateur.report.svg import LEFT, RIGHT, WIDTH, Scale, axes, line, polyline, svg, text
from secateur.report.where import where_it_differs
from secateur.report.wording import MISSING, bounds_line, delay_line, interval, share

OUTCOMES = {"passed": "Passed", "failed": "Failed", "undecided": "Not enough evidence"}
Found = Mapping[str, Any]


@dataclass(frozen=True)
class ProfileBar:
    """A disturbance: both shares of the calm return as lengths [0, 1], and what there is to say in ``row``."""

    title: str
    before: float
    after: float
    judged: str
    row: tuple[str, ...]


TEST_COLUMNS = ("", "Original", "Artifact", "Kept", "95 % interval")
PROFILE_COLUMNS = (
    *("Disturbance", "Original, of its calm return", "Artifact, of the same"),
    *("Kept under it", "95 % interval", "Judged"),
)


def verified(document: Found) -> dict[str, Any] | None:
    """Everything that the page shows of a verification; None where there was none."""
    if not document:
        return None
    parts = document.get("verification") or {}
    test, stress = parts.get("test"), parts.get("stress")
    verdict = document.get("verdict") or {}
    return {
        "outcome": verdict.get("outcome", ""),
        "title": OUTCOMES.get(verdict.get("outcome", ""), "Judged"),
        "device": document.get("device", MISSING),
        "command": document.get("command", ""),
        "reasons": verdict.get("reasons", ()),
        "warnings": verdict.get("warnings", ()),
        "test_rows": _test_rows(test) if test else [],
        "rests_on": [line for line in (_delay(test), bounds_line(test)) if line] if test else [],
        "evidence": evidence(test.get("looks", ()), 1 - test["max_return_drop"]) if test else Markup(""),
        "returns": _of_returns(test, histogram),
        "changes": _of_returns(test, paired),
        "profile": profile_bars(stress) if stress else [],
        "profile_left_out": (stress or {}).get("left_out", {}),
        "stress_pairs": (stress or {}).get("pairs"),
        **where_it_differs(parts),
    }


def _of_returns(
    test: Found | None, draw: Callable[[Sequence[float], Sequence[float]], Markup]
) -> Markup | None:
    if not test or not test["baseline"].get("returns"):
        return None
    return draw(test["baseline"]["returns"], test["artifact"]["returns"])


def _delay(test: Found) -> str:
    return delay_line(test["delay"]) if test.get("delay") else ""


def _test_rows(test: Found) -> list[tuple[str, ...]]:
    one, two = test["baseline"], test["artifact"]
    kept, better = test["retained"], test["improvement"]
    rows: list[tuple[str, ...]] = [
        ("Mean return", *_numbers(one, two, "return_mean"), share(kept["ratio"]), interval(kept["ci95"])),
        (
            "Interquartile mean",
            *_numbers(one, two, "return_iqm"),
            share(test.get("retained_iqm")),
            MISSING,
        ),
        ("Worst episode", *_numbers(one, two, "return_min"), MISSING, MISSING),
    ]
    if one.get("success_rate") is not None:
        shares = (share(side["success_rate"], 0) for side in (one, two))
        rows.append(("Success", *shares, MISSING, interval(two["success_ci95"])))
    rows.append(
        ("Artifact better on a seed", MISSING, share(better["value"]), MISSING, interval(better["ci95"]))
    )
    return rows


def _numbers(one: Found, two: Found, key: str) -> tuple[str, str]:
    return f"{one[key]:.4g}", f"{two[key]:.4g}"


def evidence(looks: Sequence[Found], wanted: float) -> Markup:
    """The bounds of the retained return as pairs came in, and what is asked for."""
    bounds = {key: [(k["pairs"], k[key]) for k in looks if k.get(key) is not None] for key in _BOUNDS}
    values = [value for points in bounds.values() for _, value in points]
    if len(looks) < 2 or not values:
        return Markup("")
    top, bottom = 12.0, 150.0
    along = Scale([look["pairs"] for look in looks], LEFT, WIDTH - RIGHT)
    up = Scale([*values, wanted], bottom, top)
    shapes = [*axes(top, bottom), line("limit", LEFT, up(wanted), WIDTH - RIGHT, up(wanted))]
    for (_, dashes), points in zip(_BOUNDS.values(), bounds.values()):
        shapes.append(polyline("curve", [(along(pairs), up(value)) for pairs, value in points], dashes))
    shapes += [
        text(LEFT - 6, up(wanted) + 4, share(wanted, 0), "end"),
        text(LEFT, bottom + 18, f"{looks[0]['pairs']} pairs", "start"),
        text(WIDTH - RIGHT, bottom + 18, f"{looks[-1]['pairs']} pairs", "end"),
        text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, "bounds of the return that is kept", "middle"),
    ]
    if abs(up(max(values)) - up(wanted)) > 26:
        shapes.append(text(LEFT - 6, up(max(values)) + 4, share(max(values), 0), "end"))
    last = "; ".join(
        f"{words} {share(points[-1][1])}"
        for (words, _), points in zip(_BOUNDS.values(), bounds.values())
        if points
    )
    return svg(
        bottom + 46, "Evidence as pairs of episodes came in", shapes, f"After {looks[-1]['pairs']}: {last}"
    )


_BOUNDS = {"retained_at_least": ("at least", "none"), "retained_at_most": ("at most", "7 4")}


def profile_bars(stress: Found) -> list[ProfileBar]:
    """The robustness profile, in its order."""
    rows = stress["rows"]
    reach = max([1.0, *(row[key] or 0.0 for row in rows for key in ("baseline_of_calm", "artifact_of_calm"))])
    return [
        ProfileBar(
            title=row["title"],
            before=max(0.0, row["baseline_of_calm"] or 0.0) / reach,
            after=max(0.0, row["artifact_of_calm"] or 0.0) / reach,
            judged=row["judged"] or "not judged",
            row=(
                row["title"],
                share(row["baseline_of_calm"]),
                share(row["artifact_of_calm"]),
                share(row["ratio"]),
                interval(row["ci95"]),
                row["judged"] or f"not judged: {row.get('note') or 'the original fails'}",
            ),
        )
        for row in rows
    ]
