"""Cycles of Cortex-M4 and Cortex-M33, fitted to published MLPerf Tiny latencies: what their targets' ranges rest on.

    pip install -e ".[bench]"
    python bench/published_cycles.py            counts, fits, writes bench/results/published_cycles.json
    python bench/published_cycles.py --fit      fits to what was counted before

Of two boards it is known what ran when their results were got: CMSIS-NN, called by code generated ahead of time
(microTVM). The same networks are run by CMSIS-NN on the emulated core, block by block, and weighed with the cycles of
Arm's Cortex-M4 Technical Reference Manual (table 3-1: a load two, its next neighbour one, n words at once 1 + n, a
taken branch 1 + P, P = 2); words that are read from flash are counted apart. Published cycles = a · weighed + w ·
words of flash, times a ratio for the Cortex-M33 board: three coefficients, eight results. Each result is left out
once; the interval is what was measured over what was predicted, of all eight.

The coefficients then weigh secateur's own kernels on the same networks: cycles per instruction of each family, times
the interval; of kernels of no family, from the least to the greatest of the networks. Loads of many words at once make
fewer instructions of more cycles, so cycles per instruction of CMSIS-NN would not do.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cmsis_nn
import numpy as np
import unicorn
from scipy.optimize import nnls
from tiny_networks import NETWORKS

from secateur.device.image import load_image
from secateur.device.protocol import random_inputs
from secateur.device.unicorn_core import UnicornCore
from secateur.export.c.generate import generate
from secateur.export.toolchain import build
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.operators.program import Program
from secateur.runfolder import to_json, write_atomically
from secateur.target.arena import plan
from secateur.target.target import FAMILIES, Target, load_target

ROOT = Path(__file__).parent
PUBLISHED = ROOT / "data" / "mlperf_tiny.csv"
RESULTS = ROOT / "results" / "published_cycles.json"
SYSTEMS = {
    "cortex-m4": ("NUCLEO-L4R5ZI_MICROTVM-CMSIS-NN", 120),
    "cortex-m33": ("NRF5340-DK_MICROTVM-CMSIS-NN", 128),
}
"""Core → system in the published results, and its clock in MHz."""

REFILL = 2
"""Cycles of a taken branch beyond its own; the manual says one to three."""

MISSED_CYCLES = 4 * 64 / 8
"""Of a word of weights where every line of eight bytes is missed in the RP2350's flash cache: a miss is 28 clocks of
quad SPI at half the core's clock, and overhead."""

OTHER = "other"

SMALLEST_INSTRUCTIONS = 5000
"""Of a family in a network, for it to say anything."""

NAME = "net"


@dataclass(frozen=True)
class Weighed:
    """Instructions, the manual's cycles for them, and words read from flash."""

    instructions: int
    cycles: int
    flash_words: float


def cycles_of(code: bytes) -> tuple[int, int]:
    """Of a block without its last branch being taken: instructions and cycles, by their first half-words."""
    halves = np.frombuffer(code[: len(code) // 2 * 2], "<u2").tolist()
    place = instructions = cycles = 0
    after_access = False
    while place < len(halves):
        first = halves[place]
        long = first >> 11 in (0b11101, 0b11110, 0b11111)
        second = halves[place + 1] if long and place + 1 < len(halves) else 0
        words, single = _words(first, second, long)
        if single:
            cycles += 1 if after_access else 2
        elif words:
            cycles += 1 + words
        elif long and first >> 4 in (0xFB9, 0xFBB):
            cycles += 7  # SDIV and UDIV: two to twelve
        else:
            cycles += 1
        after_access = single
        instructions += 1
        place += 2 if long else 1
    return instructions, cycles


def _words(first: int, second: int, long: bool) -> tuple[int, bool]:
    """Words that an instruction loads or stores at once; and whether it is a load or store of a single value."""
    if long:
        if first >> 9 == 0b1110100:
            return (2, False) if first >> 6 & 1 else (second.bit_count(), False)
        return 0, first >> 9 == 0b1111100
    if first >> 12 == 0b1100 or first >> 9 in (0b1011010, 0b1011110):
        return (first & (0x1FF if first >> 12 == 0b1011 else 0xFF)).bit_count(), False
    return 0, first >> 12 in (0b0101, 0b0110, 0b0111, 0b1000, 0b1001) or first >> 11 == 0b01001


def weighed(
    image: Path, target: Target, program: Program, network: Network, marks: list[str]
) -> dict[str, Weighed]:
    """One call, by family of the steps' kernels; ``marks`` are the functions in which its steps begin, in order."""
    loaded, arena = load_image(image), plan(program.buffers)
    core = UnicornCore(image, target)
    machine = core.machine
    base, top = loaded.symbols[f"{NAME}_arena"], target.ram_origin + target.ram_bytes
    for name, values in random_inputs(network, 3, np.random.default_rng(0)).items():
        machine.mem_write(base + arena.offsets[program.inputs[name]], values[2].tobytes())
    starts = {loaded.symbols[mark] for mark in marks}
    blocks: dict[tuple[int, int], int] = {}
    family, step, end = OTHER, -1, 0
    totals: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])

    def on_block(_machine: unicorn.Uc, address: int, size: int, _data: object) -> None:
        nonlocal family, step, end
        if address in starts:
            step += 1
            family = FAMILIES.get(program.steps[step].kernel, OTHER)
        known = blocks.get((address, size))
        if known is None:
            known = blocks[address, size] = cycles_of(bytes(machine.mem_read(address, size)))
        total = totals[family]
        total[0] += known[0]
        total[1] += known[1] + (REFILL if address != end else 0)
        end = address + size

    def on_read(
        _machine: unicorn.Uc, _access: int, _address: int, size: int, _value: int, _data: object
    ) -> None:
        totals[family][2] += size / 4

    flash = target.flash_origin, target.flash_origin + target.flash_bytes - 1
    machine.hook_add(unicorn.UC_HOOK_BLOCK, on_block)
    machine.hook_add(unicorn.UC_HOOK_MEM_READ, on_read, None, *flash)
    core.call(loaded.symbols[f"{NAME}_step"], top)
    assert step == len(program.steps) - 1, "a step was not seen"
    return {name: Weighed(int(a), int(b), c) for name, (a, b, c) in totals.items()}


def ours(network: Network, target: Target, folder: Path) -> dict[str, Weighed]:
    """As it is exported."""
    program = lower(network)
    image = build(generate(network, target, NAME), target, NAME, folder)
    return weighed(image, target, program, network, [f"secateur_{step.kernel}" for step in program.steps])


def theirs(network: Network, target: Target, folder: Path) -> dict[str, Weighed]:
    """By CMSIS-NN."""
    vendor = cmsis_nn.vendored()
    if vendor is None:
        sys.exit('CMSIS-NN is missing: it is in the wheel "bakenn". Run pip install -e ".[bench]".')
    program = cmsis_nn.with_its_scratch(lower(network))
    flags = (*cmsis_nn.compiler_flags(vendor), *cmsis_nn.library_sources(vendor))
    toolchain = target.toolchain.model_copy(update={"flags": flags})
    files = cmsis_nn.sources(network, program, NAME)
    image = build(files, target.model_copy(update={"toolchain": toolchain}), NAME, folder)
    return weighed(
        image, target, program, network, [f"{NAME}_do_{index}" for index in range(len(program.steps))]
    )


def counted() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Engine → benchmark → family → what was counted."""
    target = load_target("stm32l4r5zi").model_copy(update={"flash_bytes": 1 << 24, "ram_bytes": 1 << 22})
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {"cmsis_nn": {}, "secateur": {}}
    for name, build_network in NETWORKS.items():
        for engine, run in (("cmsis_nn", theirs), ("secateur", ours)):
            with tempfile.TemporaryDirectory() as folder:
                parts = run(build_network(), target, Path(folder))
            found[engine][name] = {family: vars(part) for family, part in parts.items()}
            print(
                engine,
                name,
                {f: round(p.cycles / p.instructions, 2) for f, p in parts.items()},
                file=sys.stderr,
            )
    return found


def fitted(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Coefficients, what was left out, the interval, and cycles per instruction of our families."""
    with PUBLISHED.open(encoding="utf-8") as stream:
        published = {(row["system"], row["bench"]): float(row["ms"]) for row in csv.DictReader(stream)}
    places = [(core, name) for core in SYSTEMS for name in NETWORKS]
    rows = []
    for core, name in places:
        system, mhz = SYSTEMS[core]
        measured = published[system, name] * 1e3 * mhz
        parts = counts["cmsis_nn"][name].values()
        rows.append([sum(part[key] for part in parts) / measured for key in ("cycles", "flash_words")])
    terms, other = np.array(rows), np.array([core == "cortex-m33" for core, _ in places])
    found, ratio = _fit(terms, other)
    left_out = {}
    for index, (core, name) in enumerate(places):
        kept = [k for k in range(len(places)) if k != index]
        part, part_ratio = _fit(terms[kept], other[kept])
        predicted = terms[index] @ part * (part_ratio if other[index] else 1)
        left_out[f"{core} {name}"] = float(1 / predicted)
    errors = [abs(value - 1) for value in left_out.values()]
    low, high = min(left_out.values()), max(left_out.values())
    families: dict[str, dict[str, list[float]]] = {}
    words: dict[str, float] = {}
    for core in SYSTEMS:
        scale = ratio if core == "cortex-m33" else 1.0
        families[core] = {}
        for family in (*dict.fromkeys(FAMILIES.values()), OTHER):
            own = [parts[family] for parts in counts["secateur"].values() if family in parts]
            own = [part for part in own if part["instructions"] >= SMALLEST_INSTRUCTIONS]
            each = [
                scale * (found[0] * part["cycles"] + found[1] * part["flash_words"]) / part["instructions"]
                for part in own
            ]
            most = own[int(np.argmax([part["instructions"] for part in own]))]
            middle = each[own.index(most)]
            ends = (min(each), max(each)) if family == OTHER else (middle, middle)
            families[core][family] = [max(1.0, ends[0] * low), max(1.0, ends[1] * high)]
            words[family] = most["flash_words"] / most["instructions"]
    return {
        "cycles": float(found[0]),
        "flash_word": float(found[1]),
        "cortex_m33_ratio": ratio,
        "measured_over_predicted_left_out": left_out,
        "median_error": float(np.median(errors)),
        "max_error": max(errors),
        "interval": [low, high],
        "cycles_per_instruction": families,
        "flash_words_per_instruction": words,
    }


def _fit(terms: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares of the relative error, by turns over the coefficients and the ratio of the boards."""
    ratio, found = 0.8, np.zeros(terms.shape[1])
    for _ in range(200):
        found = nnls(terms * np.where(other, ratio, 1)[:, None], np.ones(len(terms)))[0]
        predicted = terms[other] @ found
        ratio = float(predicted.sum() / (predicted @ predicted))
    return found, ratio


def tables(fit: Mapping[str, Any], core: str) -> str:
    """The figures of a core's TOML."""
    ranges = fit["cycles_per_instruction"][core]
    lines = [
        f"cycles_per_instruction_low = {ranges[OTHER][0]:.2f}",
        f"cycles_per_instruction_high = {ranges[OTHER][1]:.2f}",
        "[latency.families]",
        *(
            f"{family} = {{ low = {low:.2f}, high = {high:.2f} }}"
            for family, (low, high) in ranges.items()
            if family != OTHER
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", action="store_true", help="to what was counted before")
    args = parser.parse_args()
    counts = json.loads(RESULTS.read_text(encoding="utf-8"))["counted"] if args.fit else counted()
    fit = fitted(counts)
    for place, value in fit["measured_over_predicted_left_out"].items():
        print(f"{place}: left out, measured over predicted {value:.3f}")
    print(f"left out: median error {fit['median_error']:.1%}, greatest {fit['max_error']:.1%}")
    for core in SYSTEMS:
        print(f"# {core}\n{tables(fit, core)}")
    for family, words in fit["flash_words_per_instruction"].items():
        high = fit["cycles_per_instruction"]["cortex-m33"][family][1] + MISSED_CYCLES * words
        print(f"# RP2350, {family}: up to {high:.2f}, every line of weights missed")
    document = {
        "command": "python bench/published_cycles.py",
        "emulator": f"Unicorn {unicorn.__version__}",
        "peer": "CMSIS-NN 4.0.0 from the bakenn wheel",
        "counted": counts,
        "fit": fit,
    }
    write_atomically(RESULTS, to_json(document))


if __name__ == "__main__":
    main()
