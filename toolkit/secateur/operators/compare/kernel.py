"""How the compare kernel is called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

COMPARE = pair_kernel(
    "compare",
    Path(__file__).parent,
    "target = 1 where one compares to other as asked, else 0; target may be a source.",
    ("pairs", "requantise"),
)
