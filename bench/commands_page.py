"""Writes docs/commands.md from the command line's own help: ``python bench/commands_page.py``."""

from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"

HEAD = """# Commands

Every command with its options, as `--help` has them. What a command finds goes to standard output, with `--json` as one
JSON document and nothing else; logs and progress go to standard error.

| exit code | |
| --- | --- |
| 0 | done, and the verdict passed |
| 1 | an error, in one line: rule, what was seen, remedy |
| 2 | a command line that is not understood |
| 3 | no widths fit the budget; nothing was written |
| 4 | the verdict failed, or (`verify`) there is not enough evidence |

A run that was killed goes on with `--resume`. Nothing is ever written over an earlier result.
"""


def written() -> str:
    """The page as it should be."""
    import typer

    from secateur.cli import app

    command = typer.main.get_command(app)
    return "\n".join([HEAD, *(_section(name, part) for name, part in command.commands.items())])


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    options = [p for p in command.params if p.opts[0].startswith("-") and p.name != "help"]
    places = " ".join(
        (f"{p.name.upper()}" if p.required else f"[{p.name.upper()}]") + ("..." if p.nargs == -1 else "")
        for p in arguments
    )
    required = " ".join(f"{p.opts[-1]} …" for p in options if p.required)
    usage = " ".join(part for part in ("secateur", name, places, required) if part)
    lines = [f"## {name}", "", str(command.help), "", f"    {usage}", "", "| | | |", "| --- | --- | --- |"]
    lines += [_row(f"`{p.name.upper()}`", p) for p in arguments]
    lines += [_row(", ".join(f"`{opt}`" for opt in p.opts), p) for p in options]
    return "\n".join(lines) + "\n"


def _row(name: str, parameter: Any) -> str:
    text = (parameter.help or "").replace("|", "\\|")
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    known = isinstance(shown, str | int | float) and not isinstance(shown, bool) and shown != ""
    default = "required" if parameter.required else f"`{shown}`" if known else ""
    return f"| {name} | {text} | {default} |"


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
