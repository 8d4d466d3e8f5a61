"""C → an image linked at a board's addresses, by zig's clang or by GCC; and what lies where in that image."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from secateur.errors import SecateurError
from secateur.export.c.host_main import host_main
from secateur.network import Network
from secateur.target.target import Compiler, Target

WARNINGS = (
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wno-sign-conversion",
    "-Werror",
)
_IMAGE_FLAGS = (
    "-ffreestanding",
    "-fomit-frame-pointer",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-fno-stack-protector",
    "-fno-sanitize=all",
    "-g",  # zig drops the symbols without it; the linker script discards the rest
    "-nostdlib",
)
_NO_CALLS = "-fno-tree-loop-distribute-patterns"  # secateur_memory.c would call itself
_MEMORY = """\
/* What the compiler calls to copy and to set arrays, where no C library is linked. */
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    unsigned char *target = to;
    for (const unsigned char *source = from; bytes > 0; bytes--) {
        *target++ = *source++;
    }
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    for (unsigned char *target = to; bytes > 0; bytes--) {
        *target++ = (unsigned char)value;
    }
    return to;
}
"""
_SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_TIMEOUT_S = 300

_SCRIPT = """\
MEMORY
{{
    FLASH (rx) : ORIGIN = {flash_origin:#x}, LENGTH = {flash_bytes}
    RAM (rwx) : ORIGIN = {ram_origin:#x}, LENGTH = {ram_bytes}
}}
ENTRY({name}_step)
EXTERN({name}_init)
SECTIONS
{{
    .weights : {{ {weights} }} > FLASH
    .tables : {{ {tables} }} > FLASH
    .text : {{ *(.text .text.*) *(.rodata .rodata.*) . = ALIGN(4); }} > FLASH
    .data : {{ *(.data .data.*) }} > RAM AT > FLASH
    .bss (NOLOAD) : {{ *(.bss .bss.*) *(COMMON) . = ALIGN(4); }} > RAM
    /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab* .comment .note* .debug*) }}
}}
"""


@dataclass(frozen=True)
class ImageSizes:
    """What a linked network takes, in bytes, from the image's sections; padding included."""

    code_bytes: int
    weights_bytes: int
    tables_bytes: int
    static_ram_bytes: int


def write_sources(files: Mapping[str, str], folder: Path) -> None:
    """Write generated files below a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8", newline="\n")


def build(
    files: Mapping[str, str], target: Target, name: str, folder: Path, prefixes: Sequence[str] = ()
) -> Path:
    """Compile and link generated C for a board.

    Args:
        files: from ``generate``.
        target: whose compiler flags and addresses are used.
        name: the network's prefix; its step function is the entry.
        folder: sources and image are written here.
        prefixes: of the networks in it, where there are several.

    Returns:
        The ELF image: ``<folder>/<name>.elf``.

    Raises:
        SecateurError: with the compiler's message.
    """
    script = _SCRIPT.format(
        name=name,
        weights=" ".join(f"*(.rodata.{prefix}_weights_*)" for prefix in prefixes or (name,)),
        tables=" ".join(f"*(.rodata.{prefix}_table_*)" for prefix in prefixes or (name,)),
        flash_origin=target.flash_origin,
        flash_bytes=target.flash_bytes,
        ram_origin=target.ram_origin,
        ram_bytes=target.ram_bytes,
    )
    return link({**files, f"{name}.ld": script}, target, name, f"{name}_step", folder)


def link(files: Mapping[str, str], target: Target, name: str, entry: str, folder: Path) -> Path:
    """Compile C and link it by the linker script among the files, ``<name>.ld``.

    Args:
        files: relative path → content.
        target: whose compiler flags are used.
        name: of script and image.
        entry: the symbol that the image begins with.
        folder: sources and image are written here.

    Returns:
        The ELF image: ``<folder>/<name>.elf``.

    Raises:
        SecateurError: with the compiler's message.
    """
    files = {**files, **library(target)}
    write_sources(files, folder)
    sources = sorted(path for path in files if path.endswith(".c"))
    command = compile_command(target, sources, name, entry)
    program = [sys.executable] if command[0] == "python" else [_found(command[0])]
    run_compiler([*program, *command[1:]], folder)
    return folder / f"{name}.elf"


def library(target: Target) -> dict[str, str]:
    """Sources of what a target's compiler calls by itself and does not bring: relative path → content."""
    return {"secateur_memory.c": _MEMORY} if target.toolchain.compiler == "gcc" else {}


def compile_command(target: Target, sources: list[str], name: str, entry: str) -> list[str]:
    """The command that makes ``<name>.elf`` of sources and ``<name>.ld`` in the current folder.

    Raises:
        SecateurError: the target states nothing for its compiler.
    """
    real = any(path.endswith("_float.c") for path in sources)
    before, after = _COMPILERS[target.toolchain.compiler](target, real)
    return [
        *(*before, *sources, *after),
        *("-Wl,--gc-sections", "-Wl,--build-id=none", f"-Wl,-T,{name}.ld", f"-Wl,-e,{entry}"),
        *("-o", f"{name}.elf"),
    ]


def compiler_name(target: Target) -> str:
    """Who makes a target's images, and its version.

    Raises:
        SecateurError: it is not installed.
    """
    if target.toolchain.compiler == "zig":
        return f"zig {version('ziglang')}"
    program = f"{_prefix()}gcc"
    done = subprocess.run(
        [_found(program), "-dumpfullversion"], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
    )
    return f"{Path(program).name} {done.stdout.strip()}"


def _zig(target: Target, real: bool) -> tuple[list[str], list[str]]:
    """The command before and after the sources; ``real`` for a network of float32."""
    toolchain = target.toolchain
    cpu = toolchain.cpu + toolchain.fpu if real else toolchain.cpu
    library = ["-rtlib=compiler-rt"] if real and not toolchain.fpu else []
    return [
        *("python", "-m", "ziglang", "cc", "-target", toolchain.triple, f"-mcpu={cpu}"),
        *(*WARNINGS, *_IMAGE_FLAGS, *toolchain.flags, *library),  # -rtlib counts after -nostdlib only
    ], []


def _gcc(target: Target, real: bool) -> tuple[list[str], list[str]]:
    """See ``_zig``."""
    toolchain = target.toolchain
    if not toolchain.gcc:
        raise SecateurError(
            "a target states the flags of its compiler",
            f"{target.name} has no gcc in [toolchain]",
            'State it, for example gcc = ["-mcpu=cortex-m4", "-Os"], or take --toolchain zig.',
        )
    machine = [*toolchain.gcc, *(toolchain.gcc_fpu if real else ())]
    return [f"{_prefix()}gcc", "-mthumb", *machine, *WARNINGS, *_IMAGE_FLAGS, _NO_CALLS], ["-lgcc"]


_COMPILERS: dict[Compiler, Callable[[Target, bool], tuple[list[str], list[str]]]] = {"zig": _zig, "gcc": _gcc}


def _prefix() -> str:
    """What names of GCC's programs begin with, by the custom of make files."""
    return os.environ.get("CROSS_COMPILE") or "arm-none-eabi-"


def _found(program: str) -> str:
    """Where GCC is."""
    path = shutil.which(program)
    if path is None:
        raise SecateurError(
            "--toolchain gcc compiles with GCC for Arm's bare metal",
            f"there is no {program}",
            "Install it (Debian: apt install gcc-arm-none-eabi), set CROSS_COMPILE to what its programs' names begin "
            "with, or take --toolchain zig.",
        )
    return path


def build_host(
    files: Mapping[str, str], network: Network, name: str, folder: Path, sanitize: bool = False
) -> Path:
    """Compile generated C for the machine that this runs on, with a main that pipes calls through it.

    The kernels are then the portable ones. With ``sanitize`` the program stops at the first read or write out
    of bounds and at any undefined behaviour; this takes a system compiler, since zig brings no address
    sanitizer.

    Returns:
        The program, see ``host_main``: ``<folder>/<name>-host``.

    Raises:
        SecateurError: with the compiler's message.
    """
    sources = {**files, f"{name}_main.c": host_main(network, name)}
    write_sources(sources, folder)
    compiler = ["cc", *_SANITIZERS] if sanitize else [sys.executable, "-m", "ziglang", "cc"]
    inputs = sorted(path for path in sources if path.endswith(".c"))
    run_compiler([*compiler, "-O1", *WARNINGS, *inputs, "-o", f"{name}-host"], folder)
    return folder / f"{name}-host"


def run_compiler(command: list[str], folder: Path) -> None:
    """Run a compiler in a folder; zig's cache is kept with the user's other caches.

    Raises:
        SecateurError: it failed, or took longer than five minutes.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "secateur" / "zig"
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SecateurError("generated C compiles", str(error), "Check that ziglang is installed.") from error
    if done.returncode != 0:
        raise SecateurError(
            "generated C compiles",
            done.stderr.strip() or f"exit code {done.returncode}",
            f"The sources are in {folder}.",
        )


def image_sizes(image: Path) -> ImageSizes:
    """Sizes of a linked network.

    Raises:
        SecateurError: not an image that ``build`` made.
    """
    try:
        with BytesIO(image.read_bytes()) as stream:
            sizes = {section.name: int(section["sh_size"]) for section in ELFFile(stream).iter_sections()}
    except (OSError, ELFError) as error:
        raise SecateurError("an image is an ELF file", f"{image}: {error}", "Build it again.") from error
    return ImageSizes(
        code_bytes=sizes.get(".text", 0),
        weights_bytes=sizes.get(".weights", 0),
        tables_bytes=sizes.get(".tables", 0),
        static_ram_bytes=sizes.get(".bss", 0) + sizes.get(".data", 0),
    )
