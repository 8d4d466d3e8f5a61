"""What ``secateur verify`` found of runs of shipped policies: the table of docs/verification.md.

    secateur verify RUN --device tflm --stress standard --attribution -o FILE.json
    python bench/verification.py FILE.json ...

Keeps what the table shows in bench/results/verification.json, a row for each policy and target; rows of others stay.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo import replaced

from secateur.report.wording import interval, share
from secateur.runfolder import read_document, to_json, write_atomically

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "verification.json"
PAGE = ROOT / "docs" / "verification.md"


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
    lines = [
        "| run | verdict | pairs | kept (95 %) | worse than the original under | kept by int8 alone | took |",
        "|---|---|---|---|---|---|---|",
    ]
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
        lines.append(
            f"| {row['policy']} on {row['target']} ({row['device']}) | {row['outcome']} | {row['pairs']} "
            f"| {share(row['retained']['ratio'])} ({interval(row['retained']['ci95'])}) "
            f"| {'; '.join(worse) or 'none'} ({good} of {len(row['stress'])} as good, the rest unclear) "
            f"| {', '.join(by_int8)} | {row['wall_s']:.0f} s, {row['processes']} process"
            f"{'es' if row['processes'] > 1 else ''} |"
        )
    return "\n".join(lines)


def filled(page: str) -> str:
    """The page with the table of the kept results."""
    return replaced(page, "measured", table(json.loads(RESULTS.read_bytes())["rows"]))


def main(files: list[str]) -> None:
    """Keeps the rows of some files, and writes the page."""
    rows = json.loads(RESULTS.read_bytes())["rows"] if RESULTS.exists() else []
    for file in files:
        new = row_of(read_document(Path(file)))
        rows = [row for row in rows if (row["policy"], row["target"]) != (new["policy"], new["target"])] + [
            new
        ]
    rows.sort(key=lambda row: (row["policy"], row["target"]))
    command = "secateur verify RUN --device tflm --stress standard --attribution -o FILE.json"
    write_atomically(RESULTS, to_json({"command": command, "rows": rows}))
    write_atomically(PAGE, filled(PAGE.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
