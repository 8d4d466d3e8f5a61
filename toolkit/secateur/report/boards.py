"""Boards on the screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secateur.target.computer import Computer
from secateur.target.target import Target
from secateur.units import format_bytes


def describe(target: Target | Computer) -> dict[str, Any]:
    """A target as plain data."""
    return _plain(target.model_dump(warnings=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def print_boards(boards: Sequence[Mapping[str, Any]], console: Console, whole: bool) -> None:
    """A line each, or all there is to say of one."""
    if whole:
        for key, value in boards[0].items():
            console.print(Text.assemble((key, "bold"), f"  {value}"), soft_wrap=True)
        return
    table = Table("board", "core", "clock", "flash", "RAM", "runtime", box=None)
    for board in boards:
        clock = f"{board['clock_hz'] / 1e6:g} MHz"
        core = board["core"] + (f" × {board['cores']}" if "cores" in board else "")
        flash = format_bytes(board["flash_bytes"]) if "flash_bytes" in board else "–"
        table.add_row(board["name"], core, clock, flash, format_bytes(board["ram_bytes"]), board["runtime"])
    console.print(table)
