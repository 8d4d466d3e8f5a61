"""Draws ``learning_curve.png`` from ``learning_curve.csv``: ``python policies/cartpole_gru/plot.py``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tdmpc.curve import draw

if __name__ == "__main__":
    draw(Path(__file__).parent)
