"""How the multiply kernel is called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

MULTIPLY = pair_kernel(
    "multiply",
    Path(__file__).parent,
    "target = one * other, each with its scale; target may be a source.",
    ("pairs", "requantise"),
)

MULTIPLY_HELIUM = pair_kernel(
    "multiply_helium",
    Path(__file__).parent,
    "target = one * other, each with its scale; target may be a source.",
    ("helium_pairs", "helium", "pairs", "requantise"),
)

MULTIPLY_16 = pair_kernel(
    "multiply_16",
    Path(__file__).parent,
    "target = one * other, each with its scale, of int16; target may be a source.",
    ("pairs", "requantise_16", "requantise"),
    "secateur_int16",
)
