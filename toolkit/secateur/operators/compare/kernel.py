"""How the compare kernels are called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

COMPARE = pair_kernel(
    "compare",
    Path(__file__).parent,
    "target = 1 where one compares to other as asked, else 0; target may be a source.",
    ("pairs", "requantise"),
)

COMPARE_FLOAT = pair_kernel(
    "compare_float",
    Path(__file__).parent,
    "target = 1 where one compares to other as asked, else 0, of float32.",
    ("pairs",),
    "secateur_float",
    "int8_t",
)
