"""A summary as one page that opens anywhere: no network, no script, light and dark, phone and print."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from secateur.report import bars, candidates, proof, where, wording
from secateur.report.charts import curve, histogram, paired, responses
from secateur.report.kept import NOTHING, Kept
from secateur.report.memory import during, memory_drawing
from secateur.report.omitted import omitted
from secateur.report.picture import component_picture


def render_html(summary: Mapping[str, Any], kept: Kept = NOTHING) -> str:
    """The page as text. Sections without data are left out, and the last one says why.

    Args:
        summary: of the run.
        kept: what else its folder holds.
    """
    figures, loop = kept.figures, summary["closed_loop"]
    boards, bands, ticks = bars.board_bars(figures["boards"]) if figures.get("boards") else ([], [], [])
    arenas = [(arena, memory_drawing(arena)) for arena in figures.get("arenas", ())]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            bars=bars.budget_bars(summary),
            shares=bars.share_bars(summary),
            widths=bars.width_bars(summary),
            picture=component_picture(figures["graph"]) if figures.get("graph") else None,
            candidates=candidates.candidates(summary),
            candidate_rows=candidates.rows(summary),
            returns=loop and histogram(loop["baseline_returns"], loop["artifact_returns"]),
            changes=loop and paired(loop["baseline_returns"], loop["artifact_returns"]),
            curves=_curves(summary),
            responses=responses((summary.get("search") or {}).get("curves", ())),
            film=_film(kept),
            verified=proof.verified(kept.verification),
            columns_of_proof=proof,
            columns_of_where=where,
            operators=bars.operator_bars(figures.get("operators", ())),
            boards=boards,
            bands=bands,
            ticks=ticks,
            memory=[(arena, drawing) for arena, drawing in arenas if drawing],
            during=during,
            omitted=omitted(summary, kept),
            columns=bars,
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


def _film(kept: Kept) -> dict[str, Any] | None:
    """The film's facts, and both its files as addresses that hold them."""
    facts = kept.figures.get("film")
    if facts is None or kept.film is None or kept.still is None:
        return None
    return {**facts, "moving": _inlined(kept.film), "still": _inlined(kept.still)}


def _inlined(webp: bytes) -> str:
    return "data:image/webp;base64," + b64encode(webp).decode()


def _curves(summary: Mapping[str, Any]) -> list[Markup]:
    points = summary.get("recovery", [])
    steps = [point["step"] for point in points]
    drawn = (
        curve(steps, [point["loss"] for point in points], "loss", log=True),
        curve(steps, [point["return_mean"] for point in points], "mean return"),
    )
    return [drawing for drawing in drawn if drawing]
