"""Networks whole and patch by patch: RAM and instructions on one emulated core, in the same run.

    python bench/patches.py
    python bench/patches.py --only vww --out vww.json

Each network is built as it is, then for budgets of RAM that are shares of what it takes whole, and for the least that
patches reach (``secateur.target.patches``). All are counted instruction by instruction. What each chain by patches
gives must be the same bytes as whole: the image itself, since networks of random weights end in much the same classes.
RAM is static RAM of the linked image and the deepest stack seen. ``vww`` is MobileNet v1 × 0.25 on 96 × 96 (MLPerf
Tiny), ``mobilenet_v2`` MobileNet v2 × 0.35 (arXiv 1801.04381, table 2) on 144 × 144. Weights are random. Writes
``bench/results/patches.json``; its table goes into docs/targets.md by ``bench/targets_page.py``.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pages
from published_networks import MOBILENET_V2
from rich.console import Console
from rich.table import Table
from tiny_networks import NETWORKS, Scaled

from secateur.device.emulator import Emulator, linked_for
from secateur.device.protocol import random_inputs
from secateur.device.qemu_core import qemu_name
from secateur.device.unicorn_core import UnicornCore
from secateur.errors import BudgetInfeasible
from secateur.export.c.generate import generate
from secateur.export.toolchain import build
from secateur.network import Network, Quantization
from secateur.operators.lower import lower
from secateur.runfolder import to_json, write_atomically
from secateur.target.cost import price
from secateur.target.patches import applied, least_bytes, within
from secateur.target.target import Target, load_target

RESULTS = Path(__file__).parent / "results" / "patches.json"
ROOM = {"flash_bytes": 1 << 24, "ram_bytes": 1 << 22}
SHARES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Of the RAM that a network takes whole; those below the least that patches reach are left out."""

CALLS, NAME = 2, "net"
LEAST_VALUES = 8
"""That an image of int8 must hold to be worth a comparison."""


def _divisible(channels: float) -> int:
    """Channels as the reference implementation rounds them: a multiple of 8, and not below 0.9 of what was asked."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenet_v2() -> Network:
    """MobileNet v2 × 0.35 on 144 × 144, two classes."""
    chain, share = Scaled((1, 144, 144, 3)), 0.35
    chain.layer("CONV_2D", _divisible(32 * share), (3, 3), 2)
    for factor, channels, repeats, stride in MOBILENET_V2:
        for index in range(repeats):
            start, before = chain.current, chain.shape
            if factor > 1:
                chain.layer("CONV_2D", factor * before[3], (1, 1))
            chain.layer("DEPTHWISE_CONV_2D", 0, (3, 3), stride if index == 0 else 1)
            chain.layer("CONV_2D", _divisible(channels * share), (1, 1), active=False)
            if chain.shape == before:
                chain.apply("ADD", chain.shape, (start,), Quantization((0.15,), (5,)))
    chain.layer("CONV_2D", 1280, (1, 1))
    chain.pool("AVERAGE_POOL_2D", chain.shape[1:3])
    chain.classify(2)
    return chain.finish()


CASES: dict[str, Callable[[], Network]] = {"vww": NETWORKS["vww"], "mobilenet_v2": mobilenet_v2}
"""Name → network."""


def built(network: Network, target: Target, folder: Path) -> Emulator:
    """The network on its emulated core."""
    image = build(generate(network, target, NAME), linked_for(target), NAME, folder)
    return Emulator(network, image, target, NAME)


def counted(network: Network, target: Target) -> dict[str, Any]:
    """Predicted and measured figures of a network."""
    cost = price(lower(network, target.choice), target)
    with tempfile.TemporaryDirectory() as folder:
        device = built(network, target, Path(folder))
        measured = device.measure()
        device.close()
    if cost.static_ram_bytes != measured.static_ram_bytes or cost.weights_bytes != measured.weights_bytes:
        sys.exit(f"Predicted to the byte, and not what was built: {cost}, {measured}")
    return {
        "macs": cost.macs,
        "predicted": {
            "ram_bytes": cost.ram_bytes,
            "flash_bytes": cost.flash_bytes,
            "instructions": cost.instructions,
        },
        "measured": {
            "ram_bytes": measured.ram_bytes,
            "static_ram_bytes": measured.static_ram_bytes,
            "flash_bytes": measured.flash_bytes,
            "instructions": measured.instructions,
        },
    }


def compared(network: Network, whole: Target, fitted: Target) -> int:
    """Bytes of what the chains by patches give, the same as whole."""
    program = lower(network, fitted.choice)
    ends = [max(program.steps[loop.last].operators) for loop in program.loops]
    results = {f"result{end}": network.operators[end].outputs[0] for end in ends}
    head = replace(network, operators=network.operators[: ends[-1] + 1], outputs=results)
    drawn = random_inputs(head, CALLS + 2, np.random.default_rng(1))  # the first two are the same everywhere
    inputs, answers = {name: values[2:] for name, values in drawn.items()}, []
    for target in (whole, fitted):
        with tempfile.TemporaryDirectory() as folder:
            device = built(head, target, Path(folder))
            answers.append(device.run(inputs))
            device.close()
    for name, values in answers[0].items():
        if not np.array_equal(values, answers[1][name]):
            sys.exit("Patches answer otherwise: the figures would be worthless.")
        if len(np.unique(values)) < LEAST_VALUES or np.array_equal(*values[:2]):
            sys.exit(f"{name} says nothing: the figures would be worthless.")
    return sum(values.size for values in answers[0].values())


def case(network: Network, target: Target) -> dict[str, Any]:
    """A network whole, and by patches for each budget that can be met."""
    whole = counted(network, target)
    taken = whole["predicted"]["ram_bytes"]
    least = least_bytes(target, network)
    budgets = {f"{share:g} of whole": int(share * taken) for share in SHARES}
    if least is not None:
        budgets["least"] = least
    found = {}
    for title, budget in budgets.items():
        try:
            fitted = within(target, network, budget)
        except BudgetInfeasible:
            continue
        found[title] = {
            "budget_bytes": budget,
            "patches": applied(network, fitted),
            "equal_bytes": compared(network, target, fitted),
            **counted(network, fitted),
        }
    return {"whole": whole, "by_patches": found}


COLUMNS = ("", "RAM", "÷ whole", "instructions", "÷ whole", "predicted", "flash", "patches")


def rows(name: str, figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for the whole, and for every budget."""
    whole = figures["whole"]["measured"]
    lines = []
    for title, one in {"whole": figures["whole"], **figures["by_patches"]}.items():
        measured, patches = one["measured"], one.get("patches")
        chains = [] if patches is None else patches["chains"]
        grids = ", ".join(f"{each['grid'][0]} × {each['grid'][1]} ({each['steps']} steps)" for each in chains)
        lines.append(
            (
                f"{name}, {title}",
                f"{measured['ram_bytes']:,} B",
                f"{measured['ram_bytes'] / whole['ram_bytes']:.2f}",
                f"{measured['instructions']:,}",
                f"{measured['instructions'] / whole['instructions']:.2f}",
                f"{one['predicted']['instructions'] / measured['instructions'] - 1:+.1%}",
                f"{measured['flash_bytes']:,} B",
                grids or "–",
            )
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="stm32f446re")
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    target = load_target(args.target).model_copy(update=ROOM)
    names = [args.only] if args.only else list(CASES)
    cases = {name: case(CASES[name](), target) for name in names}
    lines = [line for name, figures in cases.items() for line in rows(name, figures)]
    table = Table(*COLUMNS, box=None)
    for line in lines:
        table.add_row(*line)
    Console(width=160).print(table)
    if args.only and not args.out:
        return
    document = {
        "command": "python bench/patches.py " + " ".join(sys.argv[1:]),
        "core": target.core,
        "emulator": qemu_name() if target.emulator == "qemu" else UnicornCore.name,
        "cases": cases,
        "table": pages.table(COLUMNS, lines),
    }
    write_atomically(args.out or RESULTS, to_json(document))


if __name__ == "__main__":
    main()
