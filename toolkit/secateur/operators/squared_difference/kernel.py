"""How the squared_difference kernels are called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

SQUARED_DIFFERENCE = pair_kernel(
    "squared_difference",
    Path(__file__).parent,
    "target = (one - other)^2, each with its scale; target may be a source.",
    ("pairs", "requantise"),
)

SQUARED_DIFFERENCE_16 = pair_kernel(
    "squared_difference_16",
    Path(__file__).parent,
    "target = (one - other)^2, each with its scale, of int16; target may be a source.",
    ("pairs", "requantise_16", "requantise"),
    "secateur_int16",
)
