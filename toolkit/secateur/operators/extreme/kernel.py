"""How the extreme kernel is called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

EXTREME = pair_kernel(
    "extreme",
    Path(__file__).parent,
    "target = the larger or the smaller of one and other; target may be a source.",
    ("pairs",),
)

EXTREME_16 = pair_kernel(
    "extreme_16",
    Path(__file__).parent,
    "target = the larger or the smaller of one and other, of int16; target may be a source.",
    ("pairs", "requantise_16", "requantise"),
    "secateur_int16",
)
