"""Fit a target's instruction coefficients on its emulator; state the error on networks left out of the fit.

    python bench/fit_instructions.py --target stm32f446re

Networks of fully connected layers of random widths are generated, built and counted step by step. The
kernels' work terms are fitted to one half of them by least squares of the relative error; the other half
tells how well that predicts whole networks. Prints the tables for the core's TOML. Deterministic; takes about
a minute.
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from secateur.device.emulator import Emulator
from secateur.export.c.generate import generate
from secateur.export.toolchain import build
from secateur.network import Network, Operator, Quantization, Tensor
from secateur.operators.kernels import KERNELS
from secateur.operators.lower import lower
from secateur.operators.program import Program
from secateur.records import Measurement
from secateur.target.cost import price
from secateur.target.target import load_target

WIDEST = 260
SMALLEST_INSTRUCTIONS = 500
"""Smaller networks say little: a call of one neuron is 69 instructions."""


def random_network(generator: np.random.Generator) -> Network:
    """One to six fully connected layers; some with a clamped activation, some followed by a table."""
    depth = int(generator.integers(1, 7))
    widths = [round(2 ** generator.uniform(0, np.log2(WIDEST))) for _ in range(depth + 1)]
    tensors = [Tensor("in", (1, widths[0]), "int8", Quantization((0.05,), (3,)))]
    operators: list[Operator] = []
    for layer, (columns, rows) in enumerate(pairwise(widths)):
        weights = generator.integers(-127, 128, (rows, columns), dtype=np.int8)
        bias = generator.integers(-1000, 1000, rows, dtype=np.int32)
        source, matrix = len(tensors) - 1, len(tensors)
        clamped = generator.random() < 0.3
        tensors += [
            Tensor(
                f"fc{layer}",
                (rows, columns),
                "int8",
                Quantization((0.01,) * rows, (0,) * rows),
                True,
                weights,
            ),
            Tensor(f"bias{layer}", (rows,), "int32", Quantization((0.0005,) * rows, (0,) * rows), True, bias),
            Tensor(f"out{layer}", (1, rows), "int8", Quantization((0.1,), (-100 if clamped else 5,))),
        ]
        options = {"fusedActivationFunction": int(clamped)}
        operators.append(Operator("FULLY_CONNECTED", (source, matrix, matrix + 1), (matrix + 2,), options))
        if generator.random() < 0.3:
            tensors.append(Tensor(f"tanh{layer}", (1, rows), "int8", Quantization((1 / 128,), (0,))))
            operators.append(Operator("TANH", (matrix + 2,), (matrix + 3,)))
    return Network(tuple(tensors), tuple(operators), {"observation": 0}, {"action": len(tensors) - 1})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="stm32f446re")
    parser.add_argument("--probes", type=int, default=60, help="networks, half of them for the fit")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    target = load_target(arguments.target)
    generator = np.random.default_rng(arguments.seed)
    probes: list[tuple[Program, Measurement]] = []
    for _ in range(arguments.probes):
        network = random_network(generator)
        with tempfile.TemporaryDirectory() as folder:
            image = build(generate(network, target, "probe"), target, "probe", Path(folder))
            probes.append((lower(network), Emulator(network, image, target, "probe").measure()))
    fitted, left_out = probes[: len(probes) // 2], probes[len(probes) // 2 :]

    coefficients = {}
    for name, kernel in KERNELS.items():
        work, counted = [], []
        for program, measurement in fitted:
            for step in program.steps:
                if step.kernel == name:
                    work.append(step.work)
                    counted.append(measurement.operator_instructions[step.label])
        relative = np.array(work, float) / np.array(counted, float)[:, None]
        solution = np.linalg.lstsq(relative, np.ones(len(counted)), rcond=None)[0]
        coefficients[name] = dict(zip(kernel.terms, np.round(solution, 2).tolist()))
    outside = [m.instructions - sum(m.operator_instructions.values()) for _, m in fitted if m.instructions]
    overhead = round(float(np.mean(outside)), 2)

    errors = []
    for program, measurement in left_out:
        predicted = overhead + sum(
            coefficients[step.kernel][term] * count
            for step in program.steps
            for term, count in zip(KERNELS[step.kernel].terms, step.work)
        )
        if (measurement.instructions or 0) >= SMALLEST_INSTRUCTIONS:
            errors.append(abs(predicted / (measurement.instructions or 1) - 1))
    print(f"[program]\ninstructions = {overhead}")
    for name, terms in coefficients.items():
        text = ", ".join(f"{term} = {value}" for term, value in terms.items())
        print(f"[kernels.{name}]\ninstructions = {{ {text} }}")
    print(f"[fit]\nprobes = {len(errors)}\nmax_error = {max(errors):.4f}  # mean {np.mean(errors):.4f}")

    print("\n# bytes beyond the bounds stated in the file must not be negative, nor above 512:")
    for what in ("code_bytes", "stack_bytes"):
        slack = [
            getattr(price(program, target), what) - getattr(measured, what) for program, measured in probes
        ]
        print(f"# {what}: predicted − measured from {min(slack)} to {max(slack)}")
    exact = ("weights_bytes", "tables_bytes", "static_ram_bytes")
    wrong = [
        what
        for program, measured in probes
        for what in exact
        if getattr(price(program, target), what) != getattr(measured, what)
    ]
    print(f"# exact figures that were not: {wrong}")


if __name__ == "__main__":
    main()
