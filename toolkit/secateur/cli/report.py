"""The arguments of ``secateur report``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.options import JsonOption
from secateur.errors import UsageError
from secateur.terminal import console, show


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Folders of finished runs; several are compared. Or of a sweep."),
    ],
    html: Annotated[
        Path | None, typer.Option(help="Write a page, with what secateur verify has found since.")
    ] = None,
    verification: Annotated[
        Path | None, typer.Option(help="Where verify.json is, if not in the folder of the run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a finished run again, after holding its files against its manifest; or compare several."""
    from secateur.report.again import show_again
    from secateur.report.compare import print_comparison
    from secateur.sweep.story import is_sweep
    from secateur.sweep.story import report as of_sweep

    if len(runs) == 1 and is_sweep(runs[0]):
        if html is not None or verification is not None:
            raise UsageError(
                "--html and --verification are of runs",
                f"{runs[0]} is a sweep",
                f"Leave them out: its page is {runs[0] / 'report.html'}.",
            )
        show(of_sweep(runs[0]), runs[0], as_json)
        return
    found = show_again(runs, html, verification)
    if len(found) == 1:
        (summary,) = found.values()
        show(summary, runs[0], as_json, html)
    elif as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        print_comparison(found, console(stderr=False))
