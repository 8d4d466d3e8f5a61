"""Our kernels against CMSIS-NN and against plain C: instructions, flash and RAM on one emulated core.

    pip install -e ".[bench]"
    python bench/kernels.py
    python bench/kernels.py --target mps3-an547

The same networks several times, all built by zig's clang for the target's core and counted instruction by instruction
on its emulator: as secateur generates them, for speed and for size; by CMSIS-NN 4.0.0 (``bench/cmsis_nn.py``) at -Os,
which on Cortex-M4 is within 4 % of the quickest of -O2, -O3 and -Ofast; and by secateur's portable C, without the
core's DSP instructions, at -O2. On a core with Helium, CMSIS-NN is there with its kernels for Helium, as it builds
itself for that core, and with those for DSP instructions; of the portable C the compiler makes vectors where it can.
Outputs must be the same bytes. Writes ``bench/results/kernels.json``, for other cores than Cortex-M4
``kernels_<core>.json``: figures of each layer and network, what ours are of theirs, and what code and tables take
beyond the weights. Of the networks, ``ad`` is a deep MLP, ``ic`` a residual CNN, ``kws`` and ``vww``
depthwise-separable ones, ``policy`` the fully connected policy tdmpc_cartpole.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cmsis_nn
import numpy as np
import pages
from rich.console import Console
from rich.table import Table
from tiny_networks import LAYERS, NETWORKS, POOLS

from secateur.device.emulator import CORES, linked_for
from secateur.device.image import load_image
from secateur.device.protocol import random_inputs
from secateur.device.qemu_core import qemu_name
from secateur.device.unicorn_core import UnicornCore
from secateur.export.c.generate import generate
from secateur.export.quantize import quantize
from secateur.export.read import read_tflite
from secateur.export.tflite import to_tflite
from secateur.export.toolchain import build, image_sizes
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.operators.program import Program
from secateur.policy.load import load
from secateur.prune.states import evenly, visited_inputs
from secateur.runfolder import to_json, write_atomically
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts
from secateur.target.arena import plan
from secateur.target.target import Target, load_target, optimised

RESULTS = Path(__file__).parent / "results" / "kernels.json"
STACK_BYTES = 1 << 14
"""Of which the deepest use is looked for."""

ROOM = {"flash_bytes": 1 << 24, "ram_bytes": 1 << 22}
NAME = "net"


@dataclass(frozen=True)
class Counted:
    """One call of a network.

    Attributes:
        instructions: of the step function.
        steps: of each step; what the step function itself takes is in none.
        flash_bytes: weights, tables and code.
        beyond_weights_bytes: of these, tables and code.
        ram_bytes: arena and stack.
        output: bytes.
    """

    instructions: int
    steps: tuple[int, ...]
    flash_bytes: int
    beyond_weights_bytes: int
    ram_bytes: int
    output: bytes


def count(image: Path, target: Target, program: Program, network: Network, marks: list[str]) -> Counted:
    """Run an image once; ``marks`` are the functions in which its steps begin, in order."""
    loaded, arena, place = load_image(image), plan(program.buffers), linked_for(target)
    core = CORES[target.emulator](image, place)
    base, top = loaded.symbols[f"{NAME}_arena"], place.ram_origin + place.ram_bytes
    core.write(top - STACK_BYTES, b"\xa5" * STACK_BYTES)
    for name, values in random_inputs(network, 3, np.random.default_rng(0)).items():
        core.write(base + arena.offsets[program.inputs[name]], values[2].tobytes())
    counted = core.count(loaded.symbols[f"{NAME}_step"], top, {loaded.symbols[mark] for mark in marks})
    assert len(counted.marks) == len(program.steps), "a step was not seen"
    written = np.flatnonzero(np.frombuffer(core.read(top - STACK_BYTES, STACK_BYTES), np.uint8) != 0xA5)
    sizes = image_sizes(image)
    output = b"".join(
        core.read(base + arena.offsets[buffer], program.buffers[buffer].size_bytes)
        for buffer in program.outputs.values()
    )
    core.close()
    ends = [*counted.marks[1:], counted.instructions]
    return Counted(
        counted.instructions,
        tuple(end - begin for begin, end in zip(counted.marks, ends)),
        sizes.weights_bytes + sizes.tables_bytes + sizes.code_bytes,
        sizes.tables_bytes + sizes.code_bytes,
        sizes.static_ram_bytes + STACK_BYTES - int(written[0]),
        output,
    )


def ours(network: Network, target: Target, folder: Path) -> Counted:
    """As it is exported."""
    program = lower(network, target.choice)
    image = build(generate(network, target, NAME), linked_for(target), NAME, folder)
    return count(image, target, program, network, [f"secateur_{step.kernel}" for step in program.steps])


def small(network: Network, target: Target, folder: Path) -> Counted:
    """As it is exported for size."""
    return ours(network, optimised(target, "size"), folder)


def plain(network: Network, target: Target, folder: Path) -> Counted:
    """The portable kernels."""
    toolchain = target.toolchain.model_copy(update={"flags": ("-O2", "-U__ARM_FEATURE_DSP")})
    return ours(network, target.model_copy(update={"toolchain": toolchain, "helium": False}), folder)


def theirs(network: Network, target: Target, folder: Path) -> Counted:
    """CMSIS-NN as it builds itself for the core."""
    vendor = cmsis_nn.vendored()
    assert vendor is not None
    program = cmsis_nn.with_its_scratch(lower(network), target.helium)
    files = cmsis_nn.sources(network, program, NAME)
    flags = cmsis_nn.compiler_flags(vendor)
    toolchain = target.toolchain.model_copy(update={"flags": (*flags, *cmsis_nn.library_sources(vendor))})
    place = linked_for(target).model_copy(update={"toolchain": toolchain})
    image = build(files, place, NAME, folder)
    return count(
        image, target, program, network, [f"{NAME}_do_{index}" for index in range(len(program.steps))]
    )


def theirs_without_helium(network: Network, target: Target, folder: Path) -> Counted:
    """CMSIS-NN for DSP instructions, on a core with Helium."""
    toolchain = target.toolchain.model_copy(update={"cpu": target.toolchain.cpu.split("+")[0]})
    return theirs(network, target.model_copy(update={"toolchain": toolchain, "helium": False}), folder)


VARIANTS: dict[str, Callable[[Network, Target, Path], Counted]] = {
    "secateur": ours,
    "secateur_size": small,
    "cmsis_nn": theirs,
    "plain_c": plain,
}
"""Who carries it out → how."""

WITHOUT_HELIUM = "cmsis_nn_dsp"
"""One more, on cores with Helium."""


def figures(network: Network, target: Target) -> dict[str, Any]:
    """What a network takes by each variant, and by layer."""
    results = {}
    variants = VARIANTS | ({WITHOUT_HELIUM: theirs_without_helium} if target.helium else {})
    for name, variant in variants.items():
        with tempfile.TemporaryDirectory() as folder:
            results[name] = variant(network, target, Path(folder))
    answers = {result.output for result in results.values()}
    output = next(iter(answers))
    if len(answers) != 1 or len(set(output)) < min(2, len(output)):
        sys.exit(
            "The variants differ in their outputs, or these say nothing: the figures would be worthless."
        )
    steps = lower(network).steps
    return {
        "macs": sum(step.macs for step in steps),
        **{name: to_figures(result) for name, result in results.items()},
        "layers": [
            {
                "label": step.label,
                "kernel": step.kernel,
                "macs": step.macs,
                **{name: result.steps[index] for name, result in results.items()},
            }
            for index, step in enumerate(steps)
        ],
    }


def to_figures(result: Counted) -> dict[str, int]:
    """For the results file."""
    return {
        "instructions": result.instructions,
        "flash_bytes": result.flash_bytes,
        "beyond_weights_bytes": result.beyond_weights_bytes,
        "ram_bytes": result.ram_bytes,
    }


def worst_layer(case: dict[str, Any]) -> float:
    """The largest share of CMSIS-NN's instructions of any layer that CMSIS-NN carries out."""
    shares = [
        layer["secateur"] / layer["cmsis_nn"]
        for layer in case["layers"]
        if layer["macs"] or layer["kernel"].endswith("_pool")
    ]
    return max(shares)


COLUMNS = (
    "",
    "MACs",
    "Instructions",
    "per MAC",
    "÷ CMSIS-NN",
    "worst layer",
    "÷ plain C",
    "flash ÷",
    "RAM ÷",
)
MORE = "÷ CMSIS-NN for DSP"
"""One more column, on cores with Helium."""


def row(name: str, case: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table; ratios of flash and RAM are to CMSIS-NN."""
    own, other, portable = (case[variant] for variant in ("secateur", "cmsis_nn", "plain_c"))
    digits = 3 if WITHOUT_HELIUM in case else 2
    more = [f"{own['instructions'] / case[WITHOUT_HELIUM]['instructions']:.2f}"] if digits == 3 else []
    return (
        name,
        f"{case['macs']:,}",
        f"{own['instructions']:,}",
        f"{own['instructions'] / case['macs']:.{digits}f}" if case["macs"] else "–",
        f"{own['instructions'] / other['instructions']:.2f}",
        f"{worst_layer(case):.2f}",
        f"{own['instructions'] / portable['instructions']:.2f}",
        f"{own['flash_bytes'] / other['flash_bytes']:.2f}",
        f"{own['ram_bytes'] / other['ram_bytes']:.2f}",
        *more,
    )


SIZE_COLUMNS = ("", "optimise", "code and tables", "flash", "RAM", "instructions", "÷ speed's", "÷ CMSIS-NN")


def size_rows(name: str, case: dict[str, Any]) -> list[tuple[str, ...]]:
    """A network for speed and for size."""
    quick, other = case["secateur"]["instructions"], case["cmsis_nn"]["instructions"]
    return [
        (
            name,
            optimise,
            *(f"{own[key]:,} B" for key in ("beyond_weights_bytes", "flash_bytes", "ram_bytes")),
            f"{own['instructions']:,}",
            f"{own['instructions'] / quick:.2f}",
            f"{own['instructions'] / other:.2f}",
        )
        for optimise, own in (("speed", case["secateur"]), ("size", case["secateur_size"]))
    ]


def shipped_policy() -> Network:
    """The deployed entry of tdmpc_cartpole, quantised on states that it visits."""
    loaded = load("tdmpc_cartpole")
    assert loaded.task is not None
    episodes = rollouts(loaded.task, torch_controller(loaded.policy, loaded.task), range(2))
    samples = evenly(visited_inputs(loaded.task, episodes), 256)
    return read_tflite(quantize(to_tflite(loaded.policy), samples))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="stm32f446re")
    parser.add_argument("--only", help="part of a name")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if cmsis_nn.vendored() is None:
        sys.exit('CMSIS-NN is missing: it is in the wheel "bakenn". Run pip install -e ".[bench]".')
    target = load_target(args.target)
    roomy = target.model_copy(update=ROOM)
    single = {**LAYERS, **POOLS} if target.helium else LAYERS
    cases = {
        name: figures(build_network(), roomy)
        for name, build_network in {**single, **NETWORKS, "policy": shipped_policy}.items()
        if not args.only or args.only in name
    }
    rows = [row(name, case) for name, case in cases.items()]
    columns = (*COLUMNS, MORE) if target.helium else COLUMNS
    table = Table(*columns, box=None)
    for line in rows:
        table.add_row(*line)
    Console(width=140).print(table)
    whole = [line for name, case in cases.items() if name not in single for line in size_rows(name, case)]
    table = Table(*SIZE_COLUMNS, box=None)
    for line in whole:
        table.add_row(*line)
    Console(width=140).print(table)
    if args.only:
        return
    document = {
        "command": "python bench/kernels.py " + " ".join(sys.argv[1:]),
        "core": target.core,
        "emulator": qemu_name() if target.emulator == "qemu" else UnicornCore.name,
        "compiler": "zig's clang; secateur "
        + " ".join(target.toolchain.flags)
        + ", CMSIS-NN -Os, plain C -O2",
        "peer": "CMSIS-NN 4.0.0 from the bakenn wheel",
        "cases": cases,
        "table": pages.table(columns, rows),
        "speed_and_size": pages.table(SIZE_COLUMNS, whole),
    }
    own = RESULTS if target.core == "cortex-m4" else RESULTS.with_name(f"kernels_{target.core}.json")
    write_atomically(args.out or own, to_json(document))


if __name__ == "__main__":
    main()
