"""The tables of docs/targets.md: which operators there are in which type, and what carries them out on which core.

    python bench/operator_tables.py --write docs/targets.md

A test holds the page against them.
"""

import argparse
from pathlib import Path

from pages import replaced, table

from secateur.operators.kernels import KERNELS
from secateur.operators.lower import RULES_OF, TFLM_LACKS
from secateur.target.target import Target, list_targets, load_any

TYPES = {"int8": "int8", "int16": "int16 × int8", "float32": "float32"}
"""Type of activations → the heading of its column."""


def cores() -> dict[str, Target]:
    """Core → a board that has it, of those that run C; in alphabetical order."""
    boards = [load_any(name) for name in list_targets()]
    found = {board.core: board for board in boards if isinstance(board, Target)}
    return dict(sorted(found.items()))


def operators() -> str:
    """Operator × type."""
    kinds = sorted({kind for rules in RULES_OF.values() for kind in rules})
    rows = ([kind, *(_there(kind, dtype) for dtype in TYPES)] for kind in kinds)
    return table(["operator", *TYPES.values()], rows)


def _there(kind: str, dtype: str) -> str:
    if kind in RULES_OF[dtype]:
        return "yes"
    return "– (not in TFLM)" if kind in TFLM_LACKS.get(dtype, ()) else "–"


def kernels() -> str:
    """Kernel × core: how it computes there, and in brackets that it has no price there."""
    boards = cores()
    rows = []
    for name, kernel in sorted(KERNELS.items()):
        text = kernel.source() + "".join(kernel.headers().values())
        cells = []
        for board in boards.values():
            cell = _way(name, text, board)
            cells.append(cell if name in board.kernels or cell == "no" else f"({cell})")
        rows.append([name, *cells])
    return table(["kernel", *boards], rows)


def _way(name: str, text: str, board: Target) -> str:
    if name.endswith("_float"):
        return "FPU" if board.toolchain.fpu or "fp" in board.toolchain.cpu.split("+", 1)[-1] else "software"
    if "helium" in name:
        return "Helium" if board.helium else "no"
    dsp = board.core not in ("cortex-m0plus", "cortex-m0", "cortex-m3")
    return "DSP" if dsp and "__ARM_FEATURE_DSP" in text else "C"


TABLES = {"operators": operators, "kernels": kernels}
"""Marker in the page → its table."""


def written(page: str) -> str:
    """The page with its tables as they are now."""
    for name, made in TABLES.items():
        page = replaced(page, name, made())
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        arguments.write.write_text(written(page), encoding="utf-8")
    else:
        print("\n\n".join(made() for made in TABLES.values()))


if __name__ == "__main__":
    main()
