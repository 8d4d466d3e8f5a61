"""How the squared_difference kernel is called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

SQUARED_DIFFERENCE = pair_kernel(
    "squared_difference",
    Path(__file__).parent,
    "target = (one - other)^2, each with its scale; target may be a source.",
    ("pairs", "requantise"),
)
