"""How the add kernel is called: see ``pairing.py``."""

from pathlib import Path

from secateur.operators.pairing import pair_kernel

ADD = pair_kernel(
    "add",
    Path(__file__).parent,
    "target = one + other, or one - other, each with its scale; target may be a source.",
    ("pairs", "requantise"),
)

ADD_HELIUM = pair_kernel(
    "add_helium",
    Path(__file__).parent,
    "target = one + other, or one - other, each with its scale; target may be a source.",
    ("helium_pairs", "helium", "pairs", "requantise"),
)

ADD_16 = pair_kernel(
    "add_16",
    Path(__file__).parent,
    "target = one + other, or one - other, each with its scale, of int16; target may be a source.",
    ("pairs", "requantise_16", "requantise"),
    "secateur_int16",
)
