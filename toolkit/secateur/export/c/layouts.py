"""Generated C as the packages that build systems of robots take: each a function of the same sources."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from secateur.export.c.control import control_files
from secateur.export.c.example import Recorded, Replay, main_source, sketch_source
from secateur.export.c.rates import rates_files
from secateur.network import Network
from secateur.records import Part

VERSION = "1.0.0"
"""Of the package; build systems ask for one."""


@dataclass(frozen=True, eq=False)
class PackedPart:
    """A part of a policy in several: what it is, the prefix of its symbols, its network, and a call for the example."""

    part: Part
    prefix: str
    network: Network
    call: Recorded


@dataclass(frozen=True, eq=False)
class Package:
    """What is packed.

    Attributes:
        name: prefix of the C symbols.
        network: what the C was generated from.
        files: relative path → content, from ``generate``.
        call: for the example.
        control_hz: rate of the task; None where it is not known.
        parts: of a policy in several parts, all of them; ``network`` and ``call`` are then those of the last.
    """

    name: str
    network: Network
    files: Mapping[str, str]
    call: Recorded
    control_hz: float | None = None
    parts: tuple[PackedPart, ...] = ()

    @property
    def sources(self) -> list[str]:
        """The files to compile, below ``src``."""
        return sorted(f"src/{path}" for path in self.files if path.endswith(".c"))

    @property
    def summary(self) -> str:
        """One line for a package's description."""
        return f"The neural network {self.name} as plain C, for microcontrollers."

    def below_src(self) -> dict[str, str]:
        """The generated files, below ``src``."""
        return {f"src/{path}": content for path, content in self.files.items()}

    def control(self, folder: str) -> dict[str, str]:
        """The loop of fixed rate, in a folder of its own."""
        return {f"{folder}/{path}": content for path, content in self._control.items()}

    @property
    def control_names(self) -> list[str]:
        """Files of that folder, ``main.c`` first."""
        return ["main.c", *(path for path in self._control if path != "main.c")]

    @property
    def _control(self) -> dict[str, str]:
        if not self.parts:
            return control_files(self.network, self.name, self.control_hz)
        networks = {packed.part.name: packed.network for packed in self.parts}
        return rates_files(networks, [packed.part for packed in self.parts], self.name, self.control_hz)

    @property
    def replays(self) -> list[Replay]:
        """What the example replays."""
        if not self.parts:
            return [(self.network, self.name, self.call)]
        return [(packed.network, packed.prefix, packed.call) for packed in self.parts]

    def main(self) -> str:
        """The example's ``main.c``."""
        return main_source(self.replays, self.name)


def cmake(package: Package) -> dict[str, str]:
    """A static library, and the example as its test."""
    name = package.name
    sources = "\n    ".join(package.sources)
    control = " ".join(f"example/control/{path}" for path in package.control_names if path.endswith(".c"))
    lists = f"""\
cmake_minimum_required(VERSION 3.16)
project({name} C)

add_library({name} STATIC
    {sources})
target_include_directories({name} PUBLIC src)
target_compile_features({name} PUBLIC c_std_99)

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
    enable_testing()
    add_executable({name}_example example/main.c)
    target_link_libraries({name}_example PRIVATE {name})
    add_test(NAME {name}_replay COMMAND {name}_example)
    set({name.upper()}_BOARD "" CACHE FILEPATH "C of what example/control/board.h declares")
    if({name.upper()}_BOARD)
        add_executable({name}_control {control} ${{{name.upper()}_BOARD}})
        target_include_directories({name}_control PRIVATE example/control)
        target_link_libraries({name}_control PRIVATE {name})
    endif()
endif()
"""
    return {
        "CMakeLists.txt": lists,
        "example/main.c": package.main(),
        **package.control("example/control"),
        **package.below_src(),
    }


def arduino(package: Package) -> dict[str, str]:
    """A library for the Arduino IDE and arduino-cli."""
    properties = f"""\
name={package.name}
version={VERSION}
author=secateur
maintainer=secateur
sentence={package.summary}
paragraph=Generated from a .tflite; see README.md.
category=Data Processing
url=README.md
architectures=*
includes={package.name}.h
"""
    sketch = sketch_source(package.replays, package.name)
    control = package.control("examples/control")
    main = control["examples/control/main.c"].replace("int main(void)", "int control_main(void)")
    start = (
        'extern "C" int control_main(void);\n\nvoid setup()\n{\n}\n\nvoid loop()\n{\n    control_main();\n}\n'
    )
    return {
        "library.properties": properties,
        "examples/replay/replay.ino": sketch,
        **control,
        "examples/control/main.c": main,
        "examples/control/control.ino": f"/* Runs main.c; board.c is yours: see board.h. Generated. */\n{start}",
        **package.below_src(),
    }


def platformio(package: Package) -> dict[str, str]:
    """A library for PlatformIO."""
    manifest = {
        "name": package.name,
        "version": VERSION,
        "description": package.summary,
        "frameworks": "*",
        "platforms": "*",
        "headers": f"{package.name}.h",
        "build": {"flags": ["-O2"], "srcDir": "src", "includeDir": "src"},
        "examples": [
            {"name": "replay", "base": "examples/replay", "files": ["main.c"]},
            {
                "name": "control",
                "base": "examples/control",
                "files": package.control_names,
            },
        ],
    }
    return {
        "library.json": json.dumps(manifest, indent=2) + "\n",
        "examples/replay/main.c": package.main(),
        **package.control("examples/control"),
        **package.below_src(),
    }


def zephyr(package: Package) -> dict[str, str]:
    """A Zephyr module, switched on by a Kconfig symbol, with a sample."""
    name, symbol = package.name, package.name.upper()
    sources = "\n        ".join(package.sources)
    return {
        "zephyr/module.yml": f"name: {name}\nbuild:\n  cmake: .\n  kconfig: Kconfig\n",
        "Kconfig": f'config {symbol}\n\tbool "{package.summary}"\n',
        "CMakeLists.txt": (
            f"if(CONFIG_{symbol})\n    zephyr_library_named({name})\n    zephyr_library_sources(\n"
            f"        {sources})\n    zephyr_include_directories(src)\nendif()\n"
        ),
        "samples/replay/CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.20)\n"
            "list(APPEND ZEPHYR_EXTRA_MODULES ${CMAKE_CURRENT_SOURCE_DIR}/../..)\n"
            "find_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})\n"
            f"project({name}_replay C)\ntarget_sources(app PRIVATE src/main.c)\n"
        ),
        "samples/replay/prj.conf": f"CONFIG_{symbol}=y\n",
        "samples/replay/src/main.c": package.main(),
        **package.control("samples/control"),
        **package.below_src(),
    }


def esp_idf(package: Package) -> dict[str, str]:
    """An ESP-IDF component; its portable kernels run on Xtensa and RISC-V."""
    sources = " ".join(f'"{path}"' for path in package.sources)
    example = package.main().replace("int main(void)\n{\n", "void app_main(void)\n{\n")
    return {
        "CMakeLists.txt": f'idf_component_register(SRCS {sources}\n    INCLUDE_DIRS "src")\n',
        "idf_component.yml": f'version: "{VERSION}"\ndescription: {package.summary}\n',
        "examples/replay/CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.16)\n"
            'set(EXTRA_COMPONENT_DIRS "${CMAKE_CURRENT_SOURCE_DIR}/../..")\n'
            "include($ENV{IDF_PATH}/tools/cmake/project.cmake)\n"
            f"project({package.name}_replay)\n"
        ),
        "examples/replay/main/CMakeLists.txt": 'idf_component_register(SRCS "main.c")\n',
        "examples/replay/main/main.c": example.replace("    return different != 0;\n", ""),
        **package.control("examples/control"),
        **package.below_src(),
    }


LAYOUTS: dict[str, Callable[[Package], dict[str, str]]] = {
    "cmake": cmake,
    "arduino": arduino,
    "platformio": platformio,
    "zephyr": zephyr,
    "esp-idf": esp_idf,
}
"""Layout → relative path → content."""

BUILT = ("cmake",)
"""Layouts that secateur's tests build, with the host's compiler; the others are laid out by their documentation."""
