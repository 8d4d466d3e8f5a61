"""Cycles per instruction where no published latency comes with an instruction count: what the targets' ranges rest on.

    python bench/cycles_per_instruction.py

Cortex-M7: the same organisation's engine on an STM32L4R5 (Cortex-M4, see ``bench/published_cycles.py``) and on a
Cortex-M7, in one round of MLPerf Tiny. Both cores run the same kernels, so the ratio of their cycles is that of
their cycles per instruction.

Cortex-M0+: nobody publishes what can be compared, so the instructions of a generated policy are weighed with the
cycles of Arm's Cortex-M0+ Technical Reference Manual (zero wait states, single-cycle multiplier), and again as if
every flash access met two wait states and nothing were prefetched. The RP2040 adds a missed cache line for every eight
bytes of weights.

Cortex-M85: latencies that MLPerf Tiny 1.2 states for EK-RA8D1, over what CMSIS-NN 4.0.0 with Helium takes for networks
of the same shapes (``bench/results/kernels_cortex-m55.json``). Which kernels that board ran is not published.
"""

import csv
import json
import tempfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import unicorn

from secateur.device.emulator import Emulator
from secateur.device.unicorn_core import UnicornCore
from secateur.export.c.generate import generate
from secateur.export.toolchain import build
from secateur.network import Network, Operator, Quantization, Tensor
from secateur.operators.lower import lower
from secateur.target.target import load_target

RESULTS = Path(__file__).parent / "data" / "mlperf_tiny.csv"
CLOCK_MHZ = {"L4R5": 120, "F746": 216, "H7A3": 280}
BENCHMARKS = ("ad", "ic", "kws", "vww")

WAIT_STATES = 2
FETCHED_INSTRUCTIONS = 4
"""Half-words in the 64 bits that flash gives at once."""

LINE_BYTES, LINE_CYCLES = 8, 64
"""Of the RP2040's flash cache; a miss is 28 clocks of quad SPI at half the core's clock, and overhead."""


def cortex_m7() -> tuple[float, float]:
    """Least and greatest ratio of Cortex-M7 cycles to Cortex-M4 cycles."""
    cycles: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    with RESULTS.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            system = row["system"].replace("_", "").replace("-", "")
            board = next((name for name in CLOCK_MHZ if name in system), None)
            if board and row["bench"] in BENCHMARKS:
                variant = system.split(board, 1)[1].lstrip("ZINGQP")
                cycles[row["round"], row["org"], variant, row["bench"]][board] = (
                    float(row["ms"]) * CLOCK_MHZ[board]
                )
    ratios = [
        value / boards["L4R5"]
        for boards in cycles.values()
        if "L4R5" in boards
        for name, value in boards.items()
        if name != "L4R5"
    ]
    print(
        f"Cortex-M7 over Cortex-M4: {len(ratios)} pairs, {min(ratios):.2f} to {max(ratios):.2f},"
        f" median {np.median(ratios):.2f}"
    )
    return min(ratios), max(ratios)


HELIUM = RESULTS.parent.parent / "results" / "kernels_cortex-m55.json"
RA8D1_MHZ = 480


def cortex_m85() -> tuple[float, float]:
    """Least and greatest of published cycles over CMSIS-NN's instructions, over the four benchmarks."""
    cases = json.loads(HELIUM.read_text(encoding="utf-8"))["cases"]
    ratios = {}
    with RESULTS.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["system"] == "EK-RA8D1" and row["bench"] in BENCHMARKS:
                cycles = float(row["ms"]) * 1000 * RA8D1_MHZ
                ratios[row["bench"]] = cycles / cases[row["bench"]]["cmsis_nn"]["instructions"]
    text = ", ".join(f"{name} {ratio:.2f}" for name, ratio in sorted(ratios.items()))
    print(f"Cortex-M85: published cycles over CMSIS-NN's instructions: {text}")
    return min(ratios.values()), max(ratios.values())


POLICIES = ((4, 32, 32, 1), (17, 64, 64, 6), (27, 100, 50, 8), (45, 21, 13, 3), (8, 128, 128, 2))
"""Widths of layers."""


def policy(widths: tuple[int, ...], generator: np.random.Generator) -> Network:
    """Fully connected layers with clamped activations."""
    tensors = [Tensor("in", (1, widths[0]), "int8", Quantization((0.05,), (3,)))]
    operators = []
    for columns, rows in pairwise(widths):
        weights = generator.integers(-127, 128, (rows, columns), dtype=np.int8)
        bias = generator.integers(-1000, 1000, rows, dtype=np.int32)
        scales, index = Quantization((0.01,) * rows, (0,) * rows), len(tensors)
        tensors += [
            Tensor(f"layer{index}", (rows, columns), "int8", scales, True, weights),
            Tensor(f"bias{index}", (rows,), "int32", scales, True, bias),
            Tensor(f"out{index}", (1, rows), "int8", Quantization((0.1,), (-128,))),
        ]
        options = {"fusedActivationFunction": 1}
        operators.append(Operator("FULLY_CONNECTED", (index - 1, index, index + 1), (index + 2,), options))
    return Network(tuple(tensors), tuple(operators), {"observation": 0}, {"action": len(tensors) - 1})


def cortex_m0plus_cycles(word: int, taken: bool) -> int:
    """Cycles of an Armv6-M instruction, by its first half-word."""
    top = word >> 12
    if word >> 11 in (0b11110, 0b11101, 0b11111):
        return 3  # BL; barriers are not met
    if top in (0b0101, 0b0110, 0b0111, 0b1000, 0b1001) or word >> 11 == 0b01001:
        return 2
    if top == 0b1100 or word >> 9 in (0b1011010, 0b1011110):
        leaves = word >> 8 == 0b10111101
        return 1 + (word & 0xFF).bit_count() + (3 if leaves else (word >> 8 & 1) * (top == 0b1011))
    return 2 if taken else 1


def cortex_m0plus(target_name: str) -> tuple[float, float, float]:
    """Cycles per instruction without and with wait states, and instructions per byte of weights."""
    target = load_target(target_name)
    generator = np.random.default_rng(1)
    total = quick = slow = weights = 0
    for widths in POLICIES:
        network = policy(widths, generator)
        with tempfile.TemporaryDirectory() as folder:
            emulator = Emulator(
                network,
                build(generate(network, target, "probe"), target, "probe", Path(folder)),
                target,
                "probe",
            )
        core, trace, reads = emulator._core, [], [0]
        assert isinstance(core, UnicornCore)
        machine = core.machine
        machine.hook_add(
            unicorn.UC_HOOK_CODE, lambda _m, address, size, _d, into=trace: into.append((address, size))
        )

        def read(
            _machine: object, _access: int, address: int, *_rest: object, into: list[int] = reads
        ) -> None:
            into[0] += target.flash_origin <= address < target.flash_origin + target.flash_bytes

        machine.hook_add(unicorn.UC_HOOK_MEM_READ, read)
        core.call(emulator._entry, emulator._stack_top)
        for (address, size), (following, _) in zip(trace, [*trace[1:], (0, 0)]):
            word = int.from_bytes(machine.mem_read(address, 2), "little")
            taken = following != address + size
            cycles = cortex_m0plus_cycles(word, taken)
            quick += cycles
            slow += cycles + WAIT_STATES * taken
        slow += WAIT_STATES * (reads[0] + len(trace) // FETCHED_INSTRUCTIONS)
        total += len(trace)
        weights += sum(step.weights_bytes for step in lower(network).steps)
    return quick / total, slow / total, total / weights


def main() -> None:
    low, high = cortex_m85()
    print(f"Cortex-M85: {low:.2f} to {high:.2f} cycles per instruction")
    low, high = cortex_m7()
    latency = load_target("stm32l4r5zi").latency
    print(f"cycles_per_instruction_low = {low * latency.cycles_per_instruction_low:.2f}")
    print(f"cycles_per_instruction_high = {high * latency.cycles_per_instruction_high:.2f}")
    for name, family in latency.families.items():
        print(f"{name} = {{ low = {low * family.low:.2f}, high = {high * family.high:.2f} }}")
    quick, slow, per_byte = cortex_m0plus("stm32g0b1re")
    print(
        f"Cortex-M0+: {quick:.2f} to {slow:.2f} cycles per instruction; {per_byte:.1f} instructions per byte of weights"
    )
    missed = LINE_CYCLES / LINE_BYTES
    print(f"RP2040: {quick:.2f} to {quick + missed / per_byte:.2f}, every line of weights missed")


if __name__ == "__main__":
    main()
