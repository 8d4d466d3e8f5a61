"""What predictions, which are fitted to zig's clang, are worth for images by GCC: built, run and counted.

    python bench/toolchains.py

For a board of each core, networks of every kind of ``probe_networks.py`` and ``probe_types.py`` are built by GCC and
counted on the emulator. Writes ``bench/results/toolchains.json``: of each core and type how far code and stack stay
below their bounds (negative: above), measured ÷ predicted instructions, and how often weights, tables and RAM were
exact; whole networks of int8 apart. ``python bench/targets_page.py`` makes a table of it. Minutes; needs
arm-none-eabi-gcc.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from probe_networks import PROBES
from probe_types import TYPED

from secateur.device.emulator import Emulator, linked_for
from secateur.export.c.generate import generate
from secateur.export.toolchain import build, compiler_name
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.runfolder import to_json, write_atomically
from secateur.target.cost import price
from secateur.target.target import Target, compiled_by, load_target

RESULTS = Path(__file__).parent / "results" / "toolchains.json"
BOARDS = ("rp2040", "stm32f446re", "mps3-an547")
"""Of Cortex-M0+, Cortex-M4 and Cortex-M55. Cortex-M7 and M33 run Cortex-M4's kernels."""

ROOM = {"flash_bytes": 1 << 24, "ram_bytes": 1 << 22}
WHOLE = ("dense", "cnn")
SEED = 3


def networks() -> dict[str, dict[str, Network]]:
    """Type → kind → network."""
    kinds: dict[str, Mapping[str, Any]] = {
        "int8, whole": {kind: PROBES[kind] for kind in WHOLE},
        "int8": {kind: build for kind, build in PROBES.items() if kind not in WHOLE},
        **TYPED,
    }
    return {
        name: {kind: make(np.random.default_rng(SEED)) for kind, make in table.items()}
        for name, table in kinds.items()
    }


def compare(network: Network, target: Target) -> dict[str, float]:
    """One network, predicted beside measured."""
    with tempfile.TemporaryDirectory() as folder:
        image = build(generate(network, target, "net"), linked_for(target), "net", Path(folder))
        device = Emulator(network, image, target, "net")
        seen = device.measure()
        device.close()
    told = price(lower(network, target.choice), target)
    assert None not in (seen.code_bytes, seen.stack_bytes, seen.instructions, told.instructions)
    exact = ("weights_bytes", "tables_bytes", "static_ram_bytes")
    return {
        "code_below_bytes": told.code_bytes - int(seen.code_bytes or 0),
        "stack_below_bytes": told.stack_bytes - int(seen.stack_bytes or 0),
        "instructions": int(seen.instructions or 0) / int(told.instructions or 1),
        "exact": all(getattr(told, size) == getattr(seen, size) for size in exact),
    }


def summary(found: list[dict[str, float]]) -> dict[str, Any]:
    """Of the networks of a type."""
    ratios = [one["instructions"] for one in found]
    return {
        "networks": len(found),
        "exact": sum(int(one["exact"]) for one in found),
        "code_below_bytes": min(one["code_below_bytes"] for one in found),
        "stack_below_bytes": min(one["stack_below_bytes"] for one in found),
        "instructions": [round(value, 3) for value in (min(ratios), median(ratios), max(ratios))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    cases, name, table = {}, "", networks()
    for board in BOARDS:
        target = compiled_by(load_target(board), "gcc").model_copy(update=ROOM)
        name = compiler_name(target)
        for dtype, made in table.items():
            found = summary([compare(network, target) for network in made.values()])
            cases[f"{target.core}, {dtype}"] = found
            print(target.core, dtype, found, flush=True)
    command = " ".join(["python bench/toolchains.py", *sys.argv[1:]])
    document = {"command": command, "compiler": name, "cases": cases}
    write_atomically(args.out, to_json(document))


if __name__ == "__main__":
    main()
