"""How the extreme kernel is called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

EXTREME = pair_kernel(
    "extreme",
    Path(__file__).parent,
    "target = the larger or the smaller of one and other; target may be a source.",
    ("pairs",),
)
