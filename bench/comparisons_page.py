"""The tables of docs/comparisons.md, from the kept results.

python bench/comparisons_page.py
"""

import json
from pathlib import Path

from demo import COMPARED
from pages import replaced, table

from secateur.runfolder import write_atomically

ROOT = Path(__file__).parent.parent
PAGE, RESULTS = ROOT / "docs" / "comparisons.md", ROOT / "bench" / "results"


def _commands_and_table(name: str) -> str:
    document = json.loads((RESULTS / f"{name}.json").read_bytes())
    commands = "\n".join(document["commands"])
    conclusions = "".join(f"- {sentence}\n" for sentence in document.get("conclusions", ()))
    return f"```sh\n{commands}\n```\n\n{document['table']}\n" + (f"\n{conclusions}" if conclusions else "")


def _graph_scaling() -> str:
    document = json.loads((RESULTS / "graph_scaling.json").read_bytes())
    rows = []
    for case in document["cases"]:
        ratios = (f"{case[f'{side}_ratio']:.2f}" for side in ("trace", "analysis", "with_trial"))
        times = (f"{1e3 * case['seconds'][side]:,.1f} ms" for side in ("analysis", "torch_pruning"))
        peaks = (f"{case['peak_bytes'][side] / 1e6:.1f} MB" for side in ("analysis", "torch_pruning"))
        rows.append((case["kind"], f"{case['layers']:,}", case["components"], *ratios, *times, *peaks))
    heads = (
        *("model", "layers", "components", "trace", "analysis", "with trial"),
        *("analysis", "torch-pruning", "peak", "torch-pruning"),
    )
    fit = document["exponents"]
    return table(heads, rows) + (
        f"\n\nFrom 100 layers up time grows as layers to the {fit['analysis']:.2f}, torch-pruning's to the "
        f"{fit['torch_pruning']:.2f}."
    )


def _allocation() -> str:
    document = json.loads((RESULTS / "allocation.json").read_bytes())
    small, real = [], []
    for row in document["small"]:
        excess = (f"{100 * row[key]:.2f} %" for key in ("mean_excess", "largest_excess"))
        exact = f"{100 * row['optimal_share']:.0f} %"
        small.append((row["knobs"], row["problems"], exact, *excess, f"{row['time_ratio']:.3g}"))
    for row in document["real"]:
        found = (f"{row[key]:.3f}" for key in ("loss", "error", "kept"))
        where = (row["policy"], f"{row['budget_percent']:g} %", row["search"], row["trials"])
        real.append((*where, *found, f"{row['wall_s']:.0f} s"))
    solved = ("knobs", "problems", "solved exactly", "mean excess", "largest excess", "time over exhaustive")
    searched = ("policy", "budget", "search", "trials", "loss", "error", "kept", "time")
    return "\n\n".join(
        (
            f"```sh\n{document['command']}\n```",
            table(solved, small),
            "*Excess* is of the largest loss that there is to save.",
            table(searched, real),
        )
    )


def filled(page: str) -> str:
    """The page with the tables of the kept results."""
    for name in COMPARED:
        page = replaced(page, name, _commands_and_table(name))
    page = replaced(page, "ablation", _commands_and_table("ablation_tdmpc_cheetah"))
    page = replaced(page, "allocation", _allocation())
    return replaced(page, "graph_scaling", _graph_scaling())


if __name__ == "__main__":
    write_atomically(PAGE, filled(PAGE.read_text(encoding="utf-8")).encode())
