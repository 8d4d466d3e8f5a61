"""What ``secateur verify`` finds of every shipped policy: the tables of the README and of docs/verification.md.

    python bench/verification.py [--only quadruped_walk ...] [--collect]

Verifies runs that ``bench/shipped.py`` has left in build/shipped, one after another, and those alone that have not been
verified; keeps what the tables show in bench/results/verification.json, and writes docs/verification.md (the README is
written by bench/demo.py). The device is this machine, which runs the generated C; how late its actions are is what is
predicted for the board.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pages
from shipped import ROWS, each_asked, folder_of, judged

from secateur.report.wording import interval, share
from secateur.runfolder import read_document, to_json, write_atomically

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "verification.json"
PAGE = ROOT / "docs" / "verification.md"
OPTIONS = "--device host --stress standard --attribution --region"
VERIFIED = tuple(row for row in ROWS if not row.split()[2].startswith(("raspberry", "rp2350")))
"""Each policy once, on a microcontroller."""


def verify(arguments: str) -> None:
    """Verifies the run of a row of ``bench/shipped.py``; a verdict that fails is a result."""
    folder = folder_of(arguments)
    if (folder / "verify.json").exists():
        return
    judged([sys.executable, "-m", "secateur.cli", "verify", str(folder), *shlex.split(OPTIONS)])


def row_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the table shows of a ``verify.json``."""
    found = document["verification"]
    stress, attribution = found["stress"], found["attribution"]
    return {
        "policy": document["policy"],
        "target": document["target"],
        "device": document["device"],
        "outcome": document["verdict"]["outcome"],
        "pairs": found["test"]["pairs"],
        "retained": found["test"]["retained"],
        "delay": found["test"]["delay"]["source"],
        "stress": [{key: row[key] for key in ("title", "ratio", "ci95", "judged")} for row in stress["rows"]],
        "attribution": [
            {key: row[key] for key in ("component", "form", "ratio")} for row in attribution["rows"]
        ],
        "processes": document["processes"],
        "wall_s": document["wall_s"],
        "peak_memory_bytes": document["peak_memory_bytes"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: verdict, what is worse under stress, and what int8 and recovered components cost alone."""
    heads = (
        "run", "verdict", "pairs", "kept (95 %)", "worse than the original under", "kept by int8 alone", "took",
    )  # fmt: skip
    lines = []
    for row in rows:
        worse = [
            f"{each['title']}: {share(each['ratio'], 0)}"
            for each in row["stress"]
            if each["judged"] == "worse"
        ]
        good = sum(each["judged"] == "as good" for each in row["stress"])
        by_int8 = [
            f"{each['component']} {share(each['ratio'])}"
            for each in row["attribution"]
            if each["form"] == "int8"
        ]
        cells = (
            f"{row['policy']} on {row['target']} ({row['device']})",
            row["outcome"],
            row["pairs"],
            f"{share(row['retained']['ratio'])} ({interval(row['retained']['ci95'])})",
            f"{'; '.join(worse) or 'none'} ({good} of {len(row['stress'])} as good, the rest unclear)",
            ", ".join(by_int8),
            f"{row['wall_s']:.0f} s, {row['processes']} process{'es' if row['processes'] > 1 else ''}",
        )
        lines.append(cells)
    return pages.table(heads, lines)


def filled(page: str) -> str:
    """The page with the table of the kept results."""
    return pages.replaced(page, "measured", table(json.loads(RESULTS.read_bytes())["rows"]))


def overview(rows: list[dict[str, Any]]) -> str:
    """Markdown for the README: verdict, how many disturbances it bears as well as the original, the costliest int8."""
    heads = (
        "policy → board", "verdict", "pairs", "kept (95 %)", "disturbed: good, worse, unclear", "dearest in int8",
        "took",
    )  # fmt: skip
    lines = []
    for row in rows:
        judged = [each["judged"] for each in row["stress"]]
        counts = ", ".join(str(judged.count(each)) for each in ("as good", "worse", "unclear"))
        dearest = min(
            (each for each in row["attribution"] if each["form"] == "int8" and each["component"] != "all"),
            key=lambda each: each["ratio"],
        )
        cells = (
            f"{row['policy']} → {row['target']}",
            row["outcome"],
            row["pairs"],
            f"{share(row['retained']['ratio'])} ({interval(row['retained']['ci95'])})",
            counts,
            f"{dearest['component']} {share(dearest['ratio'])}",
            f"{row['wall_s']:.0f} s",
        )
        lines.append(cells)
    return pages.table(heads, lines)


def main() -> None:
    """Verifies what is missing, keeps what is there, writes the page."""
    each_asked(__doc__, VERIFIED, verify)
    found = [folder_of(arguments) / "verify.json" for arguments in VERIFIED]
    rows = [row_of(read_document(path)) for path in found if path.exists()]
    command = f"secateur verify RUN {OPTIONS}"
    write_atomically(RESULTS, to_json({"command": command, "rows": rows}))
    write_atomically(PAGE, filled(PAGE.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
