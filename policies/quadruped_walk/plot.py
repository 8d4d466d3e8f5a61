"""Draws ``learning_curve.png`` from the curves of expert and student: ``python policies/quadruped_walk/plot.py``."""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).parent
PANELS = (
    ("expert_curve.csv", "reward", 250.0, "expert, by PPO (exploring)", "#d9572b"),
    ("learning_curve.csv", "act_return", 1.0, "student, by DAgger (act)", "#1f4e79"),
)
"""File, column, what it is multiplied by to be a return, title, colour."""


def draw() -> None:
    """Reads both curves and draws them side by side."""
    figure, panels = pyplot.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained", sharey=True)
    for axes, (name, column, factor, title, colour) in zip(panels, PANELS):
        with (FOLDER / name).open() as file:
            rows = list(csv.DictReader(file))
        steps = [float(row["env_steps"]) / 1e6 for row in rows]
        axes.plot(steps, [factor * float(row[column]) for row in rows], color=colour)
        axes.set(xlabel="million environment steps", title=title, ylim=(0, 250))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("return of an episode")
    figure.savefig(FOLDER / "learning_curve.png", dpi=140)


if __name__ == "__main__":
    draw()
