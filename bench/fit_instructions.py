"""Fit a target's instruction coefficients on its emulator; state the error on networks left out of the fit.

    python bench/fit_instructions.py --target stm32f446re
    python bench/fit_instructions.py --target mps3-an547 --write targets/cortex-m55.toml
    python bench/fit_instructions.py --target stm32f446re --type int16

Random networks of every kind in ``probe_networks.py`` are generated, built into one image and counted step by
step. The kernels' work terms are fitted to one half of them by least squares of the relative error, none
negative; the other half tells how well that predicts whole networks. Prints the tables for the core's TOML,
with the sizes of the kernels as compiled, and ``--write``s them into it. Deterministic; takes a few minutes. A kernel
that came later is fitted alone by ``--only``, which leaves the others and the stated error as they are. ``--type``
does so for the kernels of another type than int8, over ``probe_types.py``.
"""

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile
from probe_networks import BY_PATCHES, BY_SIZE, PROBES, patches_of
from probe_types import TYPED
from scipy.optimize import nnls

from secateur.device.emulator import CORES, Emulator, linked_for
from secateur.device.qemu_core import qemu_name
from secateur.device.unicorn_core import UnicornCore
from secateur.export.c.generate import generate
from secateur.export.toolchain import _IMAGE_FLAGS, build, image_sizes, run_compiler, write_sources
from secateur.network import Network
from secateur.operators.kernel import Kernel
from secateur.operators.kernels import KERNELS as ALL_KERNELS
from secateur.operators.lower import lower
from secateur.operators.program import Program
from secateur.records import Measurement
from secateur.target.target import Target, load_target

SMALLEST_INSTRUCTIONS = 500
"""Smaller networks say little: a call of one neuron is 69 instructions."""

WHOLE = ("dense", "cnn", "cnn_by_size")
"""Kinds of probes that are whole networks: the stated error is over these."""

FLAT = ("clamp", "fill", "lookup")
"""Kernels without a frame of their own."""

TOGETHER = {
    "compare": ("select",),
    "select": ("compare",),
    "compare_float": ("select_wide",),
    "rsqrt_16": ("rescale_values",),
    "patch_read": ("max_pool", "patch_write"),
    "patch_write": ("max_pool", "patch_read"),
    "series_float": ("curve_float",),
}
"""Kernel → those that are in every network that it is in; a bound for the one is a bound for the other."""

PROBED_BY = {
    "depthwise_helium": ("depthwise", "depthwise_3x3"),
    "average_pool_helium": ("average_pool", "average_pool_large"),
    "max_pool_helium": ("max_pool",),
    "add_helium": ("add",),
    "multiply_helium": ("multiply",),
}
"""Kernel → the kinds of probes that it is in, where these do not have its name."""

STEP_BYTES = 28
"""Of the call of a kernel, as the cores' files state it."""

ENDINGS = {"int16": ("_16", "rescale_values", "select_wide"), "float32": ("_float",)}
"""Type → how the names of its kernels end."""

ROOM = {"flash_bytes": 1 << 26, "ram_bytes": 1 << 24}
"""All probes are in one image, larger than any board."""


def kernels_of(dtype: str, helium: bool = True) -> dict[str, Kernel]:
    """The kernels that are fitted for a type; those for Helium in place of others too, where these do not serve."""
    others = tuple(ending for endings in ENDINGS.values() for ending in endings)
    if dtype in ENDINGS:
        return {name: kernel for name, kernel in ALL_KERNELS.items() if name.endswith(ENDINGS[dtype])}
    return {
        name: kernel
        for name, kernel in ALL_KERNELS.items()
        if not name.endswith(others) and (helium or "helium" not in name)
    }


def optimised_for(target: Target, network: Network, number: int, kinds: Sequence[str]) -> Target:
    """The target for a probe of that number: of every kind in turn, some of them by size, some by patches."""
    kind = kinds[number % len(kinds)]
    patches = patches_of(network, np.random.default_rng(number)) if kind in BY_PATCHES else ()
    return target.model_copy(update={"optimise": "size" if kind in BY_SIZE else "speed", "patches": patches})


def measured(
    networks: list[Network], target: Target, kinds: Sequence[str], folder: Path
) -> list[tuple[Program, Measurement]]:
    """Each network, counted; all of them from one image."""
    files: dict[str, str] = {}
    targets = [optimised_for(target, network, index, kinds) for index, network in enumerate(networks)]
    for index, network in enumerate(networks):
        files |= generate(network, targets[index], f"probe{index}")
    names = [f"probe{index}" for index in range(len(networks))]
    parts = [f"{name}{part}.c" for name in names for part in ("", "_weights")]
    included = {f"{part}.inc": files.pop(part) for part in parts}  # one compiler run, not hundreds
    includes = "".join(f'#include "{part}"\n' for part in included)
    steps = ", ".join(f"{name}_step" for name in names)
    files["all.c"] = (
        f"{includes}\nvoid all_step(void);\nvoid (*const volatile all_steps[])(void) = {{{steps}}};\n"
        "void all_step(void)\n{\n    all_steps[0]();\n}\n"
    )
    image = build({**files, **included}, linked_for(target), "all", folder)
    shared = CORES["qemu"](image, linked_for(target)) if target.emulator == "qemu" else None
    counted = [
        (lower(network, own.choice), Emulator(network, image, own, name, shared).measure())
        for name, network, own in zip(names, networks, targets)
    ]
    if shared:
        shared.close()
    return counted


def code_bytes(kernels: Mapping[str, Kernel], target: Target, folder: Path) -> dict[str, int]:
    """Kernel → bytes of its functions, each rounded up to a word."""
    files = {
        "secateur_kernels.h": generate(PROBES["dense"](np.random.default_rng(0)), target, "n")[
            "secateur_kernels.h"
        ]
    }
    for name, kernel in kernels.items():
        files[f"secateur_{name}.c"] = kernel.source()
        files |= {f"secateur_{header}.h": text for header, text in kernel.headers().items()}
    write_sources(files, folder)
    sizes = {}
    for name in kernels:
        cpu = target.toolchain.cpu + (target.toolchain.fpu if name.endswith("_float") else "")
        machine = ["-target", target.toolchain.triple, f"-mcpu={cpu}", *target.toolchain.flags]
        command = [sys.executable, "-m", "ziglang", "cc", *machine, "-std=c99", *_IMAGE_FLAGS]
        run_compiler([*command, "-c", f"secateur_{name}.c", "-o", f"{name}.o"], folder)
        with (folder / f"{name}.o").open("rb") as stream:
            sections = [s for s in ELFFile(stream).iter_sections() if s.name.startswith((".text", ".rodata"))]
            sizes[name] = sum(-(-int(section["sh_size"]) // 4) * 4 for section in sections)
    return sizes


def library_bytes(
    networks: list[Network], sizes: dict[str, int], target: Target, kinds: Sequence[str], folder: Path
) -> int:
    """What a core that cannot divide or multiply to 64 bits links besides the kernels, at most."""
    excess = []
    for index, network in enumerate(networks):
        own = optimised_for(target, network, index, kinds)
        image = build(generate(network, own, "one"), linked_for(own), "one", folder / str(index))
        steps = lower(network, own.choice).steps
        used = {step.kernel for step in steps}
        known = {name: costs.code_bytes for name, costs in target.kernels.items()} | sizes
        bound = 32 + STEP_BYTES * len(steps) + sum(known[kernel] for kernel in used)
        excess.append(image_sizes(image).code_bytes - bound)
    return max(0, -(-max(excess) // 8) * 8)


def fit(
    kernels: Mapping[str, Kernel], probes: list[tuple[Program, Measurement]]
) -> dict[str, dict[str, float]]:
    """Kernel → term → instructions."""
    work, counted = defaultdict(list), defaultdict(list)
    for program, measurement in probes:
        for step in program.steps:
            work[step.kernel].append(step.work)
            counted[step.kernel].append(measurement.operator_instructions[step.label])
    coefficients = {}
    for name, kernel in kernels.items():
        if name not in work:
            continue
        relative = np.array(work[name], float) / np.array(counted[name], float)[:, None]
        solution = nnls(relative, np.ones(len(counted[name])))[0]
        coefficients[name] = dict(zip(kernel.terms, np.round(solution, 2).tolist()))
        errors = np.abs(relative @ solution - 1)
        print(f"# {name}: {len(errors)} steps, error at most {errors.max():.4f}, mean {errors.mean():.4f}")
    return coefficients


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="stm32f446re")
    parser.add_argument(
        "--probes", type=int, default=24, help="networks of each kind, half of them for the fit"
    )
    parser.add_argument("--type", default="int8", choices=("int8", *TYPED))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="kernels, each with kinds of probes")
    parser.add_argument("--write", type=Path, help="a core's TOML, to put the tables into")
    arguments = parser.parse_args()
    target = load_target(arguments.target).model_copy(update=ROOM)
    table, kernels = TYPED.get(arguments.type, PROBES), kernels_of(arguments.type, target.helium)
    wanted = {kind for name in arguments.only or () for kind in PROBED_BY.get(name, (name,))}
    kinds = [kind for kind in table if kind in wanted or not arguments.only]
    networks = [
        build_network(np.random.default_rng((arguments.seed, number)))
        for number in range(arguments.probes)
        for build_network in (table[kind] for kind in kinds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        sizes = code_bytes(kernels, target, Path(folder) / "sizes")
        each = networks[: len(kinds)]
        library = 0 if arguments.only else library_bytes(each, sizes, target, kinds, Path(folder) / "library")
        probes = measured(networks, target, kinds, Path(folder))
        plain = target.model_copy(update={"helium": False})
        others = (
            measured(networks[: len(networks) // 2], plain, kinds, Path(folder) / "plain")
            if target.helium
            else []
        )
    half = len(probes) // 2
    coefficients = fit(kernels, [*probes[:half], *others])
    outside = [m.instructions - sum(m.operator_instructions.values()) for _, m in probes if m.instructions]
    overhead = round(float(np.mean(outside)), 2)

    errors = defaultdict(list)
    for number, (program, measurement) in enumerate(probes[half:]):
        known = {name: costs.instructions for name, costs in target.kernels.items()} | coefficients
        predicted = overhead + sum(
            known[step.kernel][term] * count
            for step in program.steps
            for term, count in zip(ALL_KERNELS[step.kernel].terms, step.work)
        )
        if (measurement.instructions or 0) >= SMALLEST_INSTRUCTIONS:
            kind = kinds[(half + number) % len(kinds)]
            errors[kind].append(abs(predicted / (measurement.instructions or 1) - 1))
    if arguments.only:
        coefficients = {name: coefficients[name] for name in arguments.only}
    lines = [f"[program]\ninstructions = {overhead}"]
    for name, terms in coefficients.items():
        text = ", ".join(f"{term} = {value}" for term, value in terms.items())
        lines.append(
            f"[kernels.{name}]\ncode_bytes = {sizes[name] + 8}\nstack_bytes = {stack_bytes([*probes, *others], name)}\n"
            f"instructions = {{ {text} }}"
        )
    if arguments.type in ENDINGS:
        found = [error for each in errors.values() for error in each]
        note = (
            f"# Of {arguments.type}: error at most {max(found):.3f}, mean {np.mean(found):.4f} of single layers of "
            f"{SMALLEST_INSTRUCTIONS} instructions and more, not used in the fit."
        )
        print("\n\n".join([note, *lines[1:]]))
        print(f"# bytes of the compiler's own library in a network: {library}")
        if arguments.write:
            add(arguments.write, [note, *lines[1:]], arguments.type, library)
        return
    if arguments.only:
        print("\n\n".join(lines[1:]))
        if arguments.write:
            write_only(arguments.write, dict(zip(coefficients, lines[1:])))
        return
    whole = [error for kind in WHOLE for error in errors[kind]]
    lines.append(f"[fit]\nprobes = {len(whole)}\nmax_error = {np.ceil(max(whole) * 1000) / 1000}")
    print("\n\n".join(lines))
    for kind, kind_errors in errors.items():
        print(f"# {kind}: at most {max(kind_errors):.4f}, mean {np.mean(kind_errors):.4f}")
    print(f"# bytes of the compiler's own library in a whole network: {library}")
    if arguments.write:
        write(arguments.write, lines, whole, library)


def stack_bytes(probes: list[tuple[Program, Measurement]], kernel: str) -> int:
    """The deepest stack of networks with this kernel and none but the flattest besides, in steps of eight."""
    depths = [
        measurement.stack_bytes or 0
        for program, measurement in probes
        if kernel in (names := {step.kernel for step in program.steps})
        and names <= {kernel, *FLAT, *TOGETHER.get(kernel, ())}
    ]
    return max(16, -(-max(depths, default=0) // 8) * 8)


def write(path: Path, lines: list[str], whole: list[float], library: int) -> None:
    """Put the tables into a core's file, where its own were."""
    text = path.read_text(encoding="utf-8")
    emulator = qemu_name() if 'emulator = "qemu"' in text else UnicornCore.name
    head = text[: text.index("[kernels.")]
    head = re.sub(r"(?m)^instructions = .*$", lines[0].splitlines()[1], head)
    head = re.sub(r"(?m)^code_bytes = .*$", f"code_bytes = {32 + library}", head)
    source = (
        f"whole networks of {SMALLEST_INSTRUCTIONS} instructions and more that were not used in the fit: 1 to 6 "
        f"fully connected layers, or CNNs of 5 to 8 layers; mean error {np.mean(whole):.4f}; single layers of other "
        f"kinds: bench/fit_instructions.py; {emulator}"
    )
    parts = [head.rstrip("\n"), *lines[1:-1], *_others(text, ENDINGS), lines[-1] + f'\nsource = "{source}"\n']
    path.write_text("\n\n".join(parts), encoding="utf-8")


def add(path: Path, lines: list[str], dtype: str, library: int) -> None:
    """Put the tables of another type into a core's file, before its ``[fit]``."""
    text = path.read_text(encoding="utf-8")
    for block in _others(text, (dtype,)):
        text = text.replace(block + "\n\n", "")
    if dtype == "float32":
        text = re.sub(r"(?m)^float_code_bytes = .*\n", "", text)
        text = re.sub(r"(?m)^(code_bytes_per_step = .*)$", rf"\1\nfloat_code_bytes = {library}", text)
    elif (found := re.search(r"(?m)^code_bytes = (\d+)$", text)) and int(found[1]) < 32 + library:
        text = text.replace(found[0], f"code_bytes = {32 + library}", 1)
    place = text.index("[fit]")
    path.write_text(text[:place] + "\n\n".join(lines) + "\n\n" + text[place:], encoding="utf-8")


def _others(text: str, types: Iterable[str]) -> list[str]:
    """Blocks of a core's file that are of these types: tables of their kernels, and the notes above them."""
    names = {name for dtype in types for name in kernels_of(dtype)}
    headings = {f"[kernels.{name}]" for name in names} | {f"# Of {dtype}:" for dtype in types}
    return [block for block in text.split("\n\n") if block.startswith(tuple(headings))]


def write_only(path: Path, tables: Mapping[str, str]) -> None:
    """Put tables of kernels into a core's file: where their own were, or before the stated error."""
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        own = re.compile(rf"\[kernels\.{name}\]\n.*?\n\n", re.DOTALL)
        text = own.sub("", text).replace("[fit]", f"{table}\n\n[fit]")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
