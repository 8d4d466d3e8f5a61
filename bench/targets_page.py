"""Fills the tables of docs/targets.md from the kept results.

python bench/targets_page.py
"""

import json
from pathlib import Path

from pages import replaced, table

from secateur.runfolder import write_atomically

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "targets.md"
RESULTS = ROOT / "bench" / "results"
COLUMNS = (
    *("", "prunings", "weights, tables, RAM exact", "code above", "stack above", "instructions"),
    *("error, median", "greatest", "arena ÷ lower bound", "arena ÷ TFLM's"),
)


def prediction() -> str:
    """A row for each policy of ``bench/prediction.py``."""
    rows = []
    for name, found in json.loads((RESULTS / "prediction.json").read_bytes())["policies"].items():
        cells = (
            *(name, found["prunings"], found["exact"]),
            *("{}–{} B".format(*found[f"{bound}_bytes_above"]) for bound in ("code", "stack")),
            "{:,}–{:,}".format(*found["instructions"]),
            *(f"{found[f'instructions_error_{which}']:.1%}" for which in ("median", "max")),
            f"{found['arena_over_lower_bound_max']:.2f}",
            f"{found['arena_over_tflm_max']:.2f} at most",
        )
        rows.append(cells)
    return table(COLUMNS, rows)


def speed_and_size() -> str:
    """The second table of ``bench/kernels.py``."""
    return str(json.loads((RESULTS / "kernels.json").read_bytes())["speed_and_size"])


def toolchains() -> str:
    """A row for each core and type of ``bench/toolchains.py``, of images by GCC."""
    columns = (
        "by GCC",
        "networks",
        "weights, tables, RAM exact",
        "code below its bound",
        "stack",
        "instructions",
    )
    rows = []
    for name, found in json.loads((RESULTS / "toolchains.json").read_bytes())["cases"].items():
        low, middle, high = found["instructions"]
        cells = (
            *(name, found["networks"], found["exact"]),
            *(f"{found[f'{bound}_below_bytes']:,} B".replace("-", "−") for bound in ("code", "stack")),
            f"{middle:.2f} ({low:.2f}–{high:.2f})",
        )
        rows.append(cells)
    return table(columns, rows)


def patches() -> str:
    """The table of ``bench/patches.py``."""
    return str(json.loads((RESULTS / "patches.json").read_bytes())["table"])


TABLES = {
    "prediction": prediction,
    "speed_and_size": speed_and_size,
    "toolchains": toolchains,
    "patches": patches,
}
"""Name of the marks in the page → what is between them."""


def filled(page: str) -> str:
    """The page with the tables of the kept results."""
    for name, made in TABLES.items():
        page = replaced(page, name, made())
    return page


if __name__ == "__main__":
    write_atomically(PAGE, filled(PAGE.read_text(encoding="utf-8")).encode())
