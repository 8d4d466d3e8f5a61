"""Draws ``learning_curve.png`` from ``learning_curve.csv``: ``python policies/arm_reach_camera/plot.py``."""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).parent


def main() -> None:
    """Successes, and how far the tip and the estimate of the cube's place are off, against updates."""
    with (FOLDER / "learning_curve.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    updates = [row["updates"] / 1000 for row in rows]
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(6.4, 4.2), layout="constrained")
    above.plot(updates, [100 * row["act_success"] for row in rows], "o-", color="#1f4e79", markersize=4)
    above.set(ylabel="successes, %", ylim=(0, 102))
    for column, label, colour in (
        ("distance_mm", "tip at the end", "#1f4e79"),
        ("estimate_mm", "estimate of the cube", "#d9572b"),
    ):
        below.plot(updates, [row[column] for row in rows], "o-", color=colour, label=label, markersize=4)
    below.set(xlabel="thousand updates", ylabel="off by, mm", yscale="log")
    below.legend(frameon=False)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(FOLDER / "learning_curve.png", dpi=140)


if __name__ == "__main__":
    main()
