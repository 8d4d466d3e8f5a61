"""The story of ``secateur report``: one finished run shown again, or several compared; as pages where asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from secateur.errors import SecateurError, UsageError, following_schema
from secateur.report.compare import named, render_comparison
from secateur.report.front import render_front
from secateur.report.html import render_html
from secateur.report.kept import load_figures
from secateur.runfolder import read_finished, write_atomically


def show_again(
    paths: Sequence[Path], page: Path | None, verification: Path | None
) -> dict[str, Mapping[str, Any]]:
    """Reads finished runs, each after holding its files against its manifest, and writes a page of them.

    Args:
        paths: folders.
        page: where to write it; None for nowhere.
        verification: of one run, where its ``verify.json`` is not in the folder.

    Returns:
        Name → summary of each run.

    Raises:
        UsageError: options that do not go together, or a run named twice.
        SecateurError: no finished run, one that was changed, or a page that is there already.
    """
    if page is not None and page.exists():
        raise SecateurError(
            "nothing is written over an earlier result", f"{page} is there already", "Choose another --html."
        )
    if verification is not None and (page is None or len(paths) > 1):
        raise UsageError(
            "a verification is drawn into the page of one run",
            f"got --verification and {len(paths)} runs, --html {page}",
            "Name one run, and --html PAGE.",
        )
    summaries = [read_finished(path) for path in paths]
    if len(paths) == 1:
        (summary,) = summaries
        if page is not None:
            kept = load_figures(paths[0], verification)
            with following_schema("what a page is drawn from", paths[0], TemplateError):
                text = render_front(summary) if "kind" in summary else render_html(summary, kept)
            _write(page, text)
        return {paths[0].name: summary}
    with following_schema("a summary", ", ".join(map(str, paths))):
        runs = named(paths, summaries)
    if page is not None:
        with following_schema("a summary", ", ".join(map(str, paths)), TemplateError):
            text = render_comparison(runs)
        _write(page, text)
    return runs


def _write(page: Path, text: str) -> None:
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(page, text.encode())
    except OSError as error:
        raise SecateurError(
            "the page can be written", f"{page}: {error}", "Choose another --html."
        ) from error
