"""Writes the README's tables from runs: the demo's from build/demo, the others' from bench/results.

    make demo && python bench/demo.py

Keeps the demo's summary in bench/results/demo.json; a test notices when the README no longer shows it.
"""

import io
import json
from pathlib import Path
from typing import Any

from pages import replaced
from rich.console import Console
from shipped import RESULTS as SHIPPED
from shipped import table
from verification import RESULTS as VERIFIED
from verification import overview

from secateur.report.table import print_summary
from secateur.runfolder import read_finished, to_json, write_atomically

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DEMO = ROOT / "bench" / "results" / "demo.json"
COMPARED = {
    "arm_reach_camera": ("act deployed",),
    "quadruped_walk": ("act deployed",),
    "tdmpc_cheetah": ("plan total", "act total", "act deployed"),
    "cartpole_gru": ("act deployed",),
    "tdmpc_cartpole": ("plan total", "act deployed"),
}
"""Policies with tables of strategies (``bench/strategies.py --report``), and those of them that the README shows."""


def demo_text(summary: dict[str, Any]) -> str:
    """The command of a run and what it printed, as fenced blocks."""
    console = Console(file=io.StringIO(), width=100)
    print_summary(summary, console)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    shown = "\n".join(lines)
    return f"```sh\n{summary['provenance']['command']['line']}\n```\n\n```text\n{shown}\n```"


def strategies_text(document: dict[str, Any], shown: tuple[str, ...]) -> str:
    """Overviews of bench/strategies.py, and the commands that gave them."""
    ways = [way.split() for way in shown]
    commands = "\n".join(
        line
        for line in document["commands"]
        if any(f"--mode {mode}" in line and f"--match {match}" in line for mode, match in ways)
    )
    tables = "\n\n".join(document["overviews"][way] for way in shown)
    return f"{tables}\n\n```sh\n{commands}\n```"


def filled(text: str) -> str:
    """The README with the tables of the results that are kept."""
    if DEMO.exists():
        text = replaced(text, "demo", demo_text(json.loads(DEMO.read_bytes())))
    if SHIPPED.exists():
        text = replaced(text, "shipped", table(json.loads(SHIPPED.read_bytes())))
    if VERIFIED.exists():
        text = replaced(text, "verified", overview(json.loads(VERIFIED.read_bytes())["rows"]))
    for policy, shown in COMPARED.items():
        results = ROOT / "bench" / "results" / f"{policy}.json"
        if results.exists():
            text = replaced(text, policy, strategies_text(json.loads(results.read_bytes()), shown))
    return text


if __name__ == "__main__":
    if (ROOT / "build" / "demo" / "summary.json").exists():
        write_atomically(DEMO, to_json(read_finished(ROOT / "build" / "demo")))
    write_atomically(README, filled(README.read_text(encoding="utf-8")).encode())
