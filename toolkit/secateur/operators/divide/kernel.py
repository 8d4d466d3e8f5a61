"""How the divide kernel is called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

DIVIDE = pair_kernel(
    "divide",
    Path(__file__).parent,
    "target = one / other, each with its scale; target may be a source.",
    ("pairs", "requantise"),
)
