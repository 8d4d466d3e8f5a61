"""What a command shows while it runs, and where; nothing heavy is imported before it is needed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from secateur.errors import following_schema


def console(stderr: bool) -> Any:
    """Rich's console on standard output, or on standard error. Text is shown as it is: names may have brackets."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False)


@contextmanager
def quiet_libraries() -> Iterator[TextIO]:
    """Gives standard error for our own messages; what the libraries below us write there leads nowhere meanwhile.

    They write to the file descriptor itself, from C++. SECATEUR_DEBUG=1 lets them.
    """
    if os.environ.get("SECATEUR_DEBUG"):
        yield sys.stderr
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with os.fdopen(os.dup(kept), "w", buffering=1) as stream:
            yield stream
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def progress() -> Iterator[Any]:
    """Stages and their progress on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from secateur.pipeline import Progress as Hooks

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
    )
    with quiet_libraries() as stream, Progress(*columns, console=Console(file=stream)) as bars:
        tasks: list[Any] = []

        def stage(title: str) -> None:
            if tasks:
                bars.update(tasks[-1], total=1.0, completed=1.0)
            tasks.append(bars.add_task(title, total=None, note=""))

        def share(done: float, note: str) -> None:
            bars.update(tasks[-1], total=1.0, completed=done, note=note)

        def tell(text: str) -> None:
            bars.console.print(text, markup=False, soft_wrap=True)

        yield Hooks(stage, share, tell)
        if tasks:
            bars.update(tasks[-1], total=1.0, completed=1.0)


def show(summary: Any, folder: Path, as_json: bool, page: Path | None = None) -> None:
    """A summary, a front or a sweep on standard output, as JSON or as a table, and which page to open."""
    import json

    from secateur.report.front import print_front
    from secateur.report.sweep import print_sweep
    from secateur.report.table import print_summary

    if as_json:
        print(json.dumps(summary, indent=2))
        return
    screen = console(stderr=False)
    kind = summary.get("kind")
    with following_schema("a summary", folder):
        (print_summary if kind is None else print_sweep if kind == "sweep" else print_front)(summary, screen)
    page = page or folder / "report.html"
    screen.print(f"\nThe run is in {folder}; open {page} in a browser.", soft_wrap=True)
