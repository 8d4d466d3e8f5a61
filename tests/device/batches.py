"""Many networks in one image and one host program: a compiler's start costs more than a network."""

import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile

from secateur.device.emulator import CORES, Emulator, linked_for
from secateur.export.c.generate import generate
from secateur.export.c.host_main import host_main
from secateur.export.read import read_tflite
from secateur.export.toolchain import WARNINGS, build, run_compiler, write_sources
from secateur.network import Network
from secateur.operators.program import Patches
from secateur.target.target import Target

ROOM = {"flash_bytes": 1 << 26, "ram_bytes": 1 << 22}
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclass(frozen=True)
class Sizes:
    """What one network of an image takes; code without the kernels' own."""

    weights_bytes: int
    tables_bytes: int
    static_ram_bytes: int


class Batch:
    """Networks net0, net1, … of models, built together."""

    def __init__(
        self,
        models: list[bytes],
        target: Target,
        folder: Path,
        sanitize: bool = True,
        patches: list[tuple[Patches, ...]] | None = None,
    ) -> None:
        self.networks: list[Network] = [read_tflite(model) for model in models]
        self.target = target.model_copy(update=ROOM)
        self.targets = [
            self.target.model_copy(update={"patches": each}) for each in patches or [()] * len(models)
        ]
        self._names = [f"net{index}" for index in range(len(models))]
        files: dict[str, str] = {}
        for name, network, own in zip(self._names, self.networks, self.targets):
            files |= generate(network, own, name)
        parts = [f"{name}{part}.c" for name in self._names for part in ("", "_weights")]
        files |= {f"{part}.inc": files.pop(part) for part in parts}
        includes = "".join(f'#include "{part}.inc"\n' for part in parts)
        steps = ", ".join(f"{name}_step" for name in self._names)
        step = (
            f"{includes}\nvoid all_step(void);\nvoid (*const volatile all_steps[])(void) = {{{steps}}};\n"
            "void all_step(void)\n{\n    all_steps[0]();\n}\n"
        )
        self._sources, self._folder, self._core = {**files, "all.c": step}, folder, None
        self._host_sources = (files, includes, self.networks, self._names, folder / "host", sanitize)

    @cached_property
    def host(self) -> Path:
        """For the machine that this runs on, built when it is first asked for."""
        return _host(*self._host_sources)

    @cached_property
    def image(self) -> Path:
        """For the target, linked when it is first asked for."""
        return build(self._sources, linked_for(self.target), "all", self._folder / "image")

    @cached_property
    def _symbols(self) -> dict[str, int]:
        return _symbol_sizes(self.image)

    def emulator(self, index: int) -> Emulator:
        """A device of one network; in QEMU, whose start takes long, all share one core."""
        if self.target.emulator == "qemu" and self._core is None:
            self._core = CORES["qemu"](self.image, linked_for(self.target))
        return Emulator(self.networks[index], self.image, self.targets[index], self._names[index], self._core)

    def close(self) -> None:
        """Let go of the shared core."""
        if self._core is not None:
            self._core.close()

    def run_host(self, index: int, inputs: np.ndarray, dtype: type = np.int8) -> np.ndarray:
        """[calls, …] of a network with one input and one output → [calls, values], by the portable kernels."""
        command = [self.host, self._names[index]]
        done = subprocess.run(command, input=inputs.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout, dtype).reshape(len(inputs), -1)

    def sizes(self, index: int) -> Sizes:
        """Of one network, by the symbols of the image."""
        name = self._names[index]

        def total(prefix: str) -> int:
            return sum(size for symbol, size in self._symbols.items() if symbol.startswith(prefix))

        return Sizes(total(f"{name}_weights_"), total(f"{name}_table_"), total(f"{name}_arena"))


def _symbol_sizes(image: Path) -> dict[str, int]:
    with image.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        return {symbol.name: int(symbol["st_size"]) for symbol in table.iter_symbols()}


def _host(
    files: dict[str, str],
    includes: str,
    networks: list[Network],
    names: list[str],
    folder: Path,
    sanitize: bool,
) -> Path:
    """One program for all: its first argument is the network's name."""
    mains = [
        host_main(network, name).replace("int main(void)", f"static int {name}_main(void)")
        for name, network in zip(names, networks)
    ]
    cases = "".join(
        f'    if (strcmp(argv[1], "{name}") == 0) {{\n        return {name}_main();\n    }}\n'
        for name in names
    )
    main = f"int main(int argc, char **argv)\n{{\n    (void)argc;\n{cases}    return 1;\n}}\n"
    sources = {**files, "main.c": f"#include <string.h>\n{includes}" + "\n".join([*mains, main])}
    write_sources(sources, folder)
    inputs = sorted(path for path in sources if path.endswith(".c"))
    flags = SANITIZERS if sanitize else ()
    run_compiler(["cc", *flags, "-O1", *WARNINGS, *inputs, "-o", "host"], folder)
    return folder / "host"
