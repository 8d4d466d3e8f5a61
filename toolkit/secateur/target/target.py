"""Boards, as TOML states them: validated, inherited from their core, frozen."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from secateur.errors import SecateurError, require_known
from secateur.operators.kernels import KERNELS
from secateur.operators.program import Choice, Optimise, Patches
from secateur.records import Range
from secateur.shipped import shipped_folder
from secateur.target.computer import Computer, DtypeLatency

_BASE_KEYS = ("inherit", "base")
_MAX_INHERITANCE = 8
MAX_FILE_BYTES = 1 << 20

Compiler = Literal["zig", "gcc"]
"""Who makes images of generated C: zig's clang, or GCC for Arm's bare metal."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Instructions = Annotated[Mapping[str, float], AfterValidator(MappingProxyType)]


class KernelCosts(_Record):
    """What a kernel costs on a core.

    Attributes:
        code_bytes: of the compiled kernel, an upper bound.
        stack_bytes: of its frame, an upper bound.
        instructions: term of its work → instructions for each; fitted by bench/fit_instructions.py.
    """

    code_bytes: int = Field(ge=0)
    stack_bytes: int = Field(ge=0)
    instructions: Instructions


class ProgramCosts(_Record):
    """What the step function costs apart from its kernels.

    Attributes:
        code_bytes, code_bytes_per_step: an upper bound, and for each kernel call.
        float_code_bytes: an upper bound of what the compiler's library adds to networks with float32.
        stack_bytes: of its frame, an upper bound.
        instructions: per call of the step function, those of the kernel calls left out.
    """

    code_bytes: int = Field(ge=0)
    code_bytes_per_step: int = Field(ge=0)
    float_code_bytes: int = Field(ge=0, default=0)
    stack_bytes: int = Field(ge=0)
    instructions: float = Field(ge=0)


class Fit(_Record):
    """How well the instruction coefficients predict networks that they were not fitted to."""

    probes: int = Field(ge=1)
    max_error: float = Field(ge=0)
    source: str


class Toolchain(_Record):
    """How the C is compiled: by zig's clang or by GCC, and what tells each of them the core.

    Attributes:
        compiler: who compiles.
        triple, cpu, flags: zig's target, CPU and flags.
        fpu: what is added to the CPU's name for networks of float32; empty for a core that computes it in software.
        gcc: GCC's flags; empty where none are known.
        gcc_fpu: what is added to them for networks of float32.
    """

    compiler: Compiler = "zig"
    triple: str
    cpu: str
    flags: tuple[str, ...] = Field(strict=False)
    fpu: str = ""
    gcc: tuple[str, ...] = Field(strict=False, default=())
    gcc_fpu: tuple[str, ...] = Field(strict=False, default=())


FAMILIES = {
    **{f"fully_connected{kind}": "fully_connected" for kind in ("", "_16", "_float", "_helium")},
    **{f"conv{kind}": "convolution" for kind in ("", "_wide", "_16", "_float", "_helium")},
    **{f"depthwise{kind}": "depthwise" for kind in ("", "_3x3", "_rows", "_16", "_float", "_helium")},
}
"""Kernel → the family that published latencies give cycles per instruction for; the others are of none.

Only int8 kernels were published; the other types are taken to be as those.
"""


class Family(_Record):
    """Cycles per instruction of a family of kernels, between which predictions of published latencies left out fell."""

    low: float = Field(gt=0)
    high: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Family":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def _known_families(families: Mapping[str, Family]) -> Mapping[str, Family]:
    unknown = sorted(set(families) - set(FAMILIES.values()))
    if unknown:
        valid = ", ".join(dict.fromkeys(FAMILIES.values()))
        raise ValueError(f"{unknown[0]!r} is none of {valid}")
    return MappingProxyType(dict(families))


class Latency(_Record):
    """Cycles per instruction: the range measured on silicon, where, and how far that reaches.

    Attributes:
        cycles_per_instruction_low, cycles_per_instruction_high: of kernels of no family.
        families: of the others, by family; those that are not named are as kernels of none.
        source, validity: in words.
    """

    cycles_per_instruction_low: float = Field(gt=0)
    cycles_per_instruction_high: float = Field(gt=0)
    families: Annotated[Mapping[str, Family], AfterValidator(_known_families)] = Field(
        default_factory=lambda: MappingProxyType({})
    )
    source: str
    validity: str

    @model_validator(mode="after")
    def _ordered(self) -> "Latency":
        if self.cycles_per_instruction_low > self.cycles_per_instruction_high:
            raise ValueError("cycles_per_instruction_low is above cycles_per_instruction_high")
        return self

    def cycles_per_instruction(self, kernel: str) -> tuple[float, float]:
        """Lowest and highest, of a kernel."""
        family = self.families.get(FAMILIES.get(kernel, ""))
        if family is None:
            return self.cycles_per_instruction_low, self.cycles_per_instruction_high
        return family.low, family.high


class Target(_Record):
    """A microcontroller's board. Computers, which run LiteRT, are ``computer.Computer``.

    Attributes:
        name: of its file.
        description, source: what it is; where its figures are from.
        core: of the processor.
        clock_hz: of the core.
        flash_bytes, ram_bytes: of the board; of these the network may have ``network_share``.
        flash_origin, ram_origin: addresses.
        runtime: ``"c"`` is the generated C.
        dtype: of the network.
        emulator: who runs its code without hardware.
        optimise: what kernels are chosen for.
        helium: kernels for Armv8.1-M's vectors are taken where there are some.
        patches: what of a network is carried out by patches: of one network, so in no file (``target.patches``).
        program, kernels, fit: the cost model.
    """

    name: str
    description: str
    source: str
    core: str
    clock_hz: float = Field(gt=0)
    flash_bytes: int = Field(gt=0)
    ram_bytes: int = Field(gt=0)
    flash_origin: int = Field(ge=0)
    ram_origin: int = Field(ge=0)
    network_share: float = Field(gt=0, le=1)
    runtime: Literal["c", "tflm"]
    dtype: Literal["int8"]
    emulator: Literal["unicorn", "qemu"]
    optimise: Optimise = "speed"
    helium: bool = False
    patches: tuple[Patches, ...] = ()
    toolchain: Toolchain
    latency: Latency
    program: ProgramCosts
    kernels: Annotated[Mapping[str, KernelCosts], AfterValidator(MappingProxyType)]
    fit: Fit

    def latency_s(self, instructions: Mapping[str, float]) -> Range:
        """Instructions by kernel, those of none by any other name → seconds, at the least and most cycles of each."""
        low = high = 0.0
        for kernel, count in instructions.items():
            least, most = self.latency.cycles_per_instruction(kernel)
            low, high = low + least * count, high + most * count
        return Range(low / self.clock_hz, high / self.clock_hz)

    def latency_source(self, kind: str, instructions: float, latency_s: Range) -> str:
        """How a latency came about, in words: of ``kind`` (counted, predicted) instructions, in all so many."""
        low, high = (end * self.clock_hz / max(instructions, 1) for end in (latency_s.low, latency_s.high))
        return (
            f"{kind} instructions × {low:.2f}–{high:.2f} cycles at {self.clock_hz / 1e6:g} MHz"
            f" ({self.latency.source})"
        )

    @property
    def choice(self) -> Choice:
        """Among kernels."""
        return Choice(self.optimise, self.helium, self.patches)

    @property
    def network_flash_bytes(self) -> int:
        """Flash that the network may use."""
        return int(self.flash_bytes * self.network_share)

    @property
    def network_ram_bytes(self) -> int:
        """RAM that the network may use."""
        return int(self.ram_bytes * self.network_share)


def list_targets() -> tuple[str, ...]:
    """Names of the boards that come with secateur, sorted; not the cores that boards inherit from."""
    files = sorted(shipped_folder("targets").glob("*.toml"))
    return tuple(path.stem for path in files if not _parse(path).get("base", False))


def load_target(name_or_path: str | Path) -> Target:
    """A microcontroller's board by name, or by the path of its TOML.

    Raises:
        SecateurError: as ``load_any``; or it is a computer, for which no C is generated.
    """
    target = load_any(name_or_path)
    if isinstance(target, Computer):
        raise SecateurError(
            "C is generated and emulated for microcontrollers",
            f"{target.name} runs .tflite files on {target.runtime}",
            f"Take a microcontroller, or secateur export and secateur bench with --target {target.name}.",
        )
    return target


def load_any(name_or_path: str | Path) -> Target | Computer:
    """A board or a computer by name, or by the path of its TOML; ``runtime`` tells which it is.

    Raises:
        SecateurError: unknown name, unreadable file, unknown key (with the nearest valid one), a value out of
            range.
    """
    path = _find(name_or_path)
    content = _inherited(path, ())
    if content.pop("base", False):
        raise SecateurError(
            "a target is a board",
            f"{path.name} is a core that boards inherit from",
            f"Take one of: {', '.join(list_targets())}.",
        )
    if "patches" in content:
        raise SecateurError(
            "a target file is of a board", f"{path.name} has patches, which are of a network", "Use --ram."
        )
    content.setdefault("name", path.stem)
    kind = Computer if content.get("runtime") == "litert" else Target
    try:
        target = kind.model_validate(content)
    except ValidationError as error:
        raise _invalid(path, error, kind) from error
    if isinstance(target, Target):
        _check_kernels(path, target)
    return target


def optimised(target: Target, optimise: str | None) -> Target:
    """The board with kernels chosen for ``speed`` or ``size``; None leaves it as its file says."""
    if optimise is None:
        return target
    require_known("what kernels are chosen for", optimise, dict.fromkeys(get_args(Optimise)))
    return target.model_copy(update={"optimise": optimise})


def compiled_by(target: Target, compiler: str | None) -> Target:
    """The board with images made by ``zig`` or ``gcc``; None leaves it as its file says."""
    if compiler is None:
        return target
    require_known("a toolchain", compiler, dict.fromkeys(get_args(Compiler)))
    toolchain = target.toolchain.model_copy(update={"compiler": compiler})
    return target.model_copy(update={"toolchain": toolchain})


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text:
        return Path(name_or_path)
    path = shipped_folder("targets") / f"{text}.toml"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", text) or not path.is_file():
        names = list_targets()
        near = difflib.get_close_matches(text, names, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise SecateurError(
            "a target is a board that secateur ships or the path of a .toml",
            f"there is no {text!r}",
            f"{hint}Boards: {', '.join(names)}.",
        )
    return path


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise OSError(0, f"it has more than {MAX_FILE_BYTES:,} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SecateurError(
            "a target is a readable TOML file", f"{path}: {reason}", "Correct the file or its path."
        ) from error


def _inherited(path: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    """A file's content over that of the file it inherits from: beside it, or shipped."""
    content = _parse(path)
    parent = content.pop("inherit", None)
    if parent is None:
        return content
    beside = path.parent / f"{parent}.toml"
    source = beside if beside.is_file() else shipped_folder("targets") / f"{parent}.toml"
    if (
        not isinstance(parent, str)
        or not source.is_file()
        or source.stem in seen
        or len(seen) > _MAX_INHERITANCE
    ):
        raise SecateurError(
            "inherit names another target file, without going round in a circle",
            f"{path.name} inherits from {parent!r}",
            "Correct inherit.",
        )
    below = _inherited(source, (*seen, source.stem))
    below.pop("base", None)
    return _merged(below, content)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _check_kernels(path: Path, target: Target) -> None:
    """Kernels and their terms are those that exist, since a misspelt one would price as nothing."""
    for name, costs in target.kernels.items():
        valid = KERNELS[name].terms if name in KERNELS else tuple(KERNELS)
        wrong = sorted(set(costs.instructions) ^ set(valid)) if name in KERNELS else [name]
        if wrong:
            raise SecateurError(
                "a target has known kernels, each with all its terms",
                f"{path.name}: kernels.{name} is unknown or its terms are not those: {', '.join(wrong)}",
                f"Valid: {', '.join(valid)}.",
            )


def _fields(location: tuple[Any, ...], kind: type[BaseModel]) -> list[str]:
    """Valid keys of the table at a location."""
    model: Any = kind
    for part in location:
        nested = {"toolchain": Toolchain, "latency": Latency, "program": ProgramCosts, "fit": Fit}
        model = DtypeLatency if kind is Computer else nested.get(str(part), KernelCosts)
    return [*model.model_fields, *(_BASE_KEYS if model is kind else ())]


def _invalid(path: Path, error: ValidationError, kind: type[BaseModel]) -> SecateurError:
    """The first thing wrong; unknown keys before missing ones, since one may be the other misspelt."""
    problem = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        *table, unknown = problem["loc"]
        valid = _fields(tuple(table), kind)
        near = difflib.get_close_matches(str(unknown), valid, 1, 0.4)
        remedy = f"Did you mean {near[0]}?" if near else f"Valid keys: {', '.join(valid)}."
        return SecateurError("a target has known keys only", f"{path.name} has {key}", remedy)
    return SecateurError(
        "a target's values are of the stated type and range",
        f"{path.name}: {key}: {problem['msg']}",
        f"Correct {key}.",
    )
