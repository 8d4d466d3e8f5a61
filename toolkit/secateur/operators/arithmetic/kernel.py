"""How the pair_float kernel is called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

PAIR_FLOAT = pair_kernel(
    "pair_float",
    Path(__file__).parent,
    "target = the sum, difference, product, ... of one and other, of float32; target may be a source.",
    ("pairs", "float"),
    "secateur_float",
)
