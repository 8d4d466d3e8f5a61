"""Writes the README's tables from runs: the demo's from build/demo, the strategies' from bench/results.

    make demo && python bench/demo.py

Keeps the demo's summary in bench/results/demo.json; a test notices when the README no longer shows it.
"""

import io
import json
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from secateur.report.table import print_summary
from secateur.runfolder import read_finished, to_json, write_atomically

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DEMO = ROOT / "bench" / "results" / "demo.json"
STRATEGIES = ROOT / "bench" / "results" / "strategies.json"


def demo_text(summary: dict[str, Any]) -> str:
    """The command of a run and what it printed, as fenced blocks."""
    console = Console(file=io.StringIO(), width=100)
    print_summary(summary, console)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    shown = "\n".join(lines)
    return f"```sh\n{summary['provenance']['command']['line']}\n```\n\n```text\n{shown}\n```"


def strategies_text(document: dict[str, Any]) -> str:
    """The conclusions of bench/strategies.py with the command that drew them."""
    sentences = "\n".join(f"- {sentence}" for sentence in document["conclusions"])
    commands = "\n".join(document["commands"])
    return f"```sh\n{commands}\n```\n\n{document['table']}\n\n{sentences}"


def replaced(text: str, marker: str, content: str) -> str:
    """The text with what stands between a pair of markers replaced."""
    pattern = rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{content}\n{m[2]}", text, flags=re.DOTALL)


def filled(text: str) -> str:
    """The README with the tables of the results that are kept."""
    if DEMO.exists():
        text = replaced(text, "demo", demo_text(json.loads(DEMO.read_bytes())))
    if STRATEGIES.exists():
        text = replaced(text, "strategies", strategies_text(json.loads(STRATEGIES.read_bytes())))
    return text


if __name__ == "__main__":
    if (ROOT / "build" / "demo" / "summary.json").exists():
        write_atomically(DEMO, to_json(read_finished(ROOT / "build" / "demo")))
    write_atomically(README, filled(README.read_text(encoding="utf-8")).encode())
