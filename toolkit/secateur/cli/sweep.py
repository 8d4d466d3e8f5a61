"""The arguments of ``secateur sweep``."""

from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.options import ClusterOption, JsonOption
from secateur.errors import EXIT_ERROR
from secateur.terminal import progress, show


def sweep(
    file: Annotated[Path, typer.Argument(help="What to run: docs/sweeps.md shows one.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the sweep.", show_default="the file's name"),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Worker processes.", show_default="one a core")
    ] = None,
    cluster: ClusterOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a sweep: run only what has no result.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Prune many times, on this machine or on a cluster: policies, targets, budgets, strategies, seeds."""
    from secateur.sweep.story import sweep as run
    from secateur.workers import processes_here, require_one_place

    require_one_place("--jobs", jobs, cluster)
    folder = output or Path(file.stem)
    with progress() as bars:
        document = run(file, folder, jobs or processes_here(), cluster, resume, bars)
    show(document, folder, as_json)
    if any(document["counts"].get(status) for status in ("error", "timeout", "crashed", "missing")):
        raise typer.Exit(EXIT_ERROR)
