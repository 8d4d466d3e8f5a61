"""Sections that a page has not, each with the reason."""

from collections.abc import Mapping
from typing import Any

from secateur.report.candidates import candidates
from secateur.report.kept import Kept

TITLES = {
    "graph": "Component graph",
    "memory": "Memory over time",
    "operators": "Latency by operator",
    "boards": "Latency on every board",
    "film": "Film",
}
"""Sections that are drawn from a run's figures."""


SECTIONS = {
    "stress": ("Robustness profile", "--stress standard"),
    "attribution": ("Attribution", "--attribution"),
    "region": ("Region of attraction", "--region"),
    "deviation": ("Where actions differ", ""),
}
"""Sections of a verification: title, and the option of ``secateur verify`` that asks for it."""


def omitted(summary: Mapping[str, Any], kept: Kept) -> list[tuple[str, str]]:
    """Title and reason of every section that is left out."""
    found: list[tuple[str, str]] = []
    if summary["measured"] is None:
        found.append(("Measured on the device", "no device was run"))
    if not candidates(summary):
        why = "the strategy tries no candidates" if not summary.get("search") else "none were kept"
        found.append(("What the search tried", why))
    if len(summary.get("recovery", ())) < 2:
        found.append(("Recovery", "nothing was trained, or too briefly for a curve"))
    return found + _verification(kept) + _figures(kept)


def _verification(kept: Kept) -> list[tuple[str, str]]:
    if not kept.verification:
        titles = ", ".join(title for title, _ in SECTIONS.values())
        return [
            (f"Verification: {titles}", "secateur verify had not run; then: secateur report RUN --html PAGE")
        ]
    parts = kept.verification.get("verification") or {}
    return [
        (title, _why(parts.get(key), option))
        for key, (title, option) in SECTIONS.items()
        if _empty(parts.get(key))
    ]


def _empty(part: Mapping[str, Any] | None) -> bool:
    """Whether a section says nothing, or only why it does not."""
    return not part or (bool(part.get("left_out")) and not (part.get("rows") or part.get("cells")))


def _why(part: Mapping[str, Any] | None, option: str) -> str:
    if part:
        return str(part["left_out"])
    return f"secateur verify ran without {option}" if option else "actions are no numbers"


def _figures(kept: Kept) -> list[tuple[str, str]]:
    if not kept.figures:
        return [(title, "the run kept no figures.json") for title in TITLES.values()]
    reasons = kept.figures.get("left_out", {})
    there = {"memory": "arenas"}
    missing = {key for key in TITLES if not kept.figures.get(there.get(key, key))}
    if kept.film is None or kept.still is None:
        missing.add("film")
    return [
        (title, reasons.get(key, "the run kept nothing to draw it from"))
        for key, title in TITLES.items()
        if key in missing
    ]
