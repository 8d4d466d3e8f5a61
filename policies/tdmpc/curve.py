"""Draws ``learning_curve.png`` from ``learning_curve.csv``."""

import csv
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

LINES = (
    ("act_return", "policy (act)", "#1f4e79", "-"),
    ("act_return_delay_20ms", "policy, 20 ms delay", "#7fa8d1", "-"),
    ("planner_return", "planner", "#d9572b", "o-"),
)


def draw(folder: Path) -> None:
    """Reads the curve in a policy's folder and draws it there."""
    with (folder / "learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for column, label, colour, style in LINES:
        points = [(float(r["env_steps"]) / 1000, float(r[column])) for r in rows if column in r]
        points = [p for p in points if not math.isnan(p[1])]
        if points:
            axes.plot(*zip(*points), style, color=colour, label=label, markersize=4)
    axes.set(xlabel="thousand environment steps", ylabel="return of an episode", ylim=(0, 250))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(folder / "learning_curve.png", dpi=140)
