"""The story of ``secateur export``.

policy, run or .tflite → model → recorded call in TFLM → files of a format → one new folder
"""

import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from secateur import __version__
from secateur.artifact import BOARD_DTYPES, Artifact, open_artifacts
from secateur.device.devices import open_device
from secateur.device.protocol import random_inputs, zero_states
from secateur.errors import SecateurError, refuse_options, require_known
from secateur.export.c.example import Recorded
from secateur.export.c.handover import part_sources, prefixes
from secateur.export.c.layouts import LAYOUTS, Package, PackedPart
from secateur.export.firmware.boards import board_of
from secateur.export.firmware.image import ENTRY, FIRMWARE, IMAGE, RESERVED, firmware_sources
from secateur.export.readme import c_readme, firmware_readme, tflite_readme, tflm_readme
from secateur.export.tflm import bundle
from secateur.export.toolchain import compile_command, library, link
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.pipeline import Progress
from secateur.records import Cost
from secateur.runfolder import MANIFEST, require_new, to_json, write_folder
from secateur.runparts import PARTS, parts_json, stems
from secateur.target.computer import Computer
from secateur.target.cost import price
from secateur.target.patches import applied, within
from secateur.target.target import Target, compiled_by, load_any, optimised

SILENT = Progress()
"""Tells nobody."""


@dataclass(frozen=True)
class ExportRequest:
    """What is asked of ``export``.

    Attributes:
        source: policy, run or .tflite.
        target: board, or the path of its TOML.
        format: key of ``FORMATS``.
        layout: key of ``LAYOUTS``; of generated C only.
        name: prefix of C symbols; None for one after the source.
        seed: of the episodes that a policy is calibrated on.
        dtype: one of ``artifact.BOARD_DTYPES`` for a board; for a computer see ``litert.story.ComputerExport``, as for
            max_error, max_return_drop, all_entries and device, which are of computers only.
        optimise: what generated C is chosen for, ``speed`` or ``size``; None for what the board's file says.
        toolchain: who makes a firmware's image, ``zig`` or ``gcc``; None for what the board's file says.
        ram_bytes: what generated C may take of RAM, stack included; where it would take more, it goes by patches.
        policy: that a run was made from, named again where it is not shipped; for a computer alone, since a board is
            given the run's own files.
    """

    source: str
    target: str
    format: str
    layout: str = "cmake"
    name: str | None = None
    seed: int = 0
    dtype: str | None = None
    max_error: float | None = None
    all_entries: bool = False
    device: str = "host"
    max_return_drop: float = 0.05
    optimise: str | None = None
    toolchain: str | None = None
    ram_bytes: int | None = None
    policy: str | None = None


def export(request: ExportRequest, output: Path, command: str, progress: Progress = SILENT) -> dict[str, Any]:
    """Writes the artifact into a new folder, whole or not at all; gives its manifest.

    Raises:
        SecateurError: a request that cannot be carried out, or a folder that holds something already.
    """
    require_new(output)
    target = load_any(request.target)
    patches = None
    if isinstance(target, Computer):
        data, note = _for_computer(request, target, progress)
    else:
        target = compiled_by(optimised(target, request.optimise), request.toolchain)
        data, note, patches = _for_microcontroller(request, target, progress)
    run = (
        board_of(target).run.format(image=output / IMAGE)
        if IMAGE in data and isinstance(target, Target)
        else ""
    )
    manifest = {
        "schema": 1,
        "command": {"line": command, **asdict(request)},
        "versions": {"secateur": __version__},
        "note": note,
        "run": run,
        "patches": patches,
        "files": {path: sha256(content).hexdigest() for path, content in sorted(data.items())},
    }
    write_folder(output, {**data, MANIFEST: to_json(manifest)})
    return manifest


def _for_computer(
    request: ExportRequest, target: Computer, progress: Progress
) -> tuple[dict[str, bytes], str]:
    from secateur.litert.story import ComputerExport, export_for_computer
    from secateur.planner.bundle import of_run

    options = {
        "--optimise": request.optimise,
        "--toolchain": request.toolchain,
        "--ram": request.ram_bytes,
    }
    refuse_options(options, f"{target.name} runs {target.runtime}")
    if (judged := of_run(Path(request.source), request.format, request.dtype)) is not None:
        refuse_options({"--policy": request.policy}, "the bundle of the run is taken, as it was judged")
        return dict(judged), "The bundle of the run, byte for byte as it was judged."
    progress.stage("converting and holding it against torch")
    wish = ComputerExport(
        request.source,
        request.format,
        request.dtype or "float32",
        request.max_error,
        request.all_entries,
        request.device,
        request.seed,
        request.name,
        request.max_return_drop,
        request.policy,
    )
    return export_for_computer(wish, target, progress.share)


def _for_microcontroller(
    request: ExportRequest, target: Target, progress: Progress
) -> tuple[dict[str, bytes], str, dict[str, Any] | None]:
    refuse_options(
        {"--policy": request.policy}, "for a board a run's own files are taken, and none of its code"
    )
    require_known("format", request.format, FORMATS)
    require_known("layout", request.layout, LAYOUTS)
    if request.format != "firmware":
        refuse_options({"--toolchain": request.toolchain}, f"--format {request.format} compiles nothing")
    if request.format not in GENERATED:
        instead = f", or take --format {' or '.join(GENERATED)}"
        refuse_options({"--ram": request.ram_bytes}, f"--format {request.format} is not generated", instead)
    if request.dtype not in (None, *BOARD_DTYPES) or request.all_entries:
        raise SecateurError(
            f"a microcontroller runs one network of {', '.join(BOARD_DTYPES)}",
            f"{target.name} was to be given {'several entries' if request.all_entries else request.dtype}",
            "Leave other types and --all-entries to computers, such as raspberry-pi-4b.",
        )
    progress.stage("reading or converting the model")
    artifacts = open_artifacts(request.source, target, request.seed, progress.share, request.dtype)
    if request.ram_bytes is not None:
        if len(artifacts) > 1:
            raise SecateurError(
                "a limit on RAM is split up by patches where a policy is one network",
                f"{request.source} has the parts {', '.join(a.part.name for a in artifacts)}",
                "Prune it with --ram, which counts all of them.",
            )
        progress.stage("fitting it into its RAM")
        target = within(target, artifacts[0].network, request.ram_bytes)
    progress.stage(f"writing {request.format}")
    files = FORMATS[request.format](artifacts, target, request)
    data = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    patches = applied(artifacts[0].network, target) if len(artifacts) == 1 else None
    return data, artifacts[0].note, patches


Files = Mapping[str, str | bytes]
"""Relative path → content."""


def _export_tflite(artifacts: Sequence[Artifact], target: Target, request: ExportRequest) -> Files:
    models = {name: model for artifact in artifacts for name, model in artifact.models.items()}
    deployed = [artifact.deployed for artifact in artifacts if artifact.deployed is not None]
    first = artifacts[0]
    stated = {PARTS: parts_json([a.part for a in artifacts])} if len(artifacts) > 1 else {}
    return {
        **models,
        **stated,
        "README.md": tflite_readme(first.name, tuple(models), deployed, first.note),
    }


def _export_c(artifacts: Sequence[Artifact], target: Target, request: ExportRequest) -> Files:
    name, parts = request.name or artifacts[0].name, [artifact.part for artifact in artifacts]
    named = prefixes(name, parts)
    packed = tuple(
        PackedPart(a.part, named[a.part.name], a.network, _recorded(a, a.network, target)) for a in artifacts
    )
    networks = {one.part.name: one.network for one in packed}
    files, last = part_sources(networks, parts, target, name), packed[-1]
    several = packed if len(packed) > 1 else ()
    package = Package(name, last.network, files, last.call, artifacts[-1].control_hz, several)
    costs = [predicted(one.network, target) for one in packed]
    known = [cost for cost in costs if cost is not None]
    if len(known) == len(costs):
        require_fit(sum(c.flash_bytes for c in known), sum(c.ram_bytes for c in known), target)
    cost = costs[0] if not several else None
    return {**LAYOUTS[request.layout](package), "README.md": c_readme(package, request.layout, target, cost)}


def _each(
    export: Callable[[Artifact, Target, ExportRequest], Files],
) -> Callable[[Sequence[Artifact], Target, ExportRequest], Files]:
    """Of several parts, each in a folder of its own."""

    def files(artifacts: Sequence[Artifact], target: Target, request: ExportRequest) -> Files:
        if len(artifacts) == 1:
            return export(artifacts[0], target, request)
        named = prefixes(request.name or artifacts[0].name, [artifact.part for artifact in artifacts])
        return {
            f"{stem}/{path}": content
            for artifact, stem in zip(artifacts, stems([a.part for a in artifacts]).values())
            for path, content in export(
                replace(artifact, name=named[artifact.part.name]), target, replace(request, name=None)
            ).items()
        }

    return files


def _export_tflm(artifact: Artifact, target: Target, request: ExportRequest) -> Files:
    name, network = request.name or artifact.name, artifact.network
    call = _recorded(artifact, network, target)
    with tempfile.TemporaryDirectory() as folder:
        device = open_device("tflm", artifact.model, target, Path(folder))
        arena = device.measure().static_ram_bytes
        device.close()
    assert arena is not None
    require_fit(len(artifact.model), arena, target)
    files = bundle(network, artifact.model, name, arena, call)
    return {**files, "README.md": tflm_readme(name, arena, len(artifact.model))}


def _export_firmware(artifact: Artifact, target: Target, request: ExportRequest) -> Files:
    default = f"{artifact.name}_network" if artifact.name in RESERVED else artifact.name
    name, board = request.name or default, board_of(target)
    sources = {**firmware_sources(artifact.network, artifact.model, target, board, name), **library(target)}
    with tempfile.TemporaryDirectory() as folder:
        image = link(sources, target, FIRMWARE, ENTRY, Path(folder)).read_bytes()
    compiled = sorted(path for path in sources if path.endswith(".c"))
    build = shlex.join(compile_command(target, compiled, FIRMWARE, ENTRY))
    return {**sources, IMAGE: image, "README.md": firmware_readme(name, target, board, build)}


FORMATS: dict[str, Callable[[Sequence[Artifact], Target, ExportRequest], Files]] = {
    "tflite": _export_tflite,
    "c": _export_c,
    "tflm": _each(_export_tflm),
    "firmware": _each(_export_firmware),
}
"""Format → relative path → content."""

GENERATED = ("c", "firmware")
"""Formats of generated C."""


def _recorded(artifact: Artifact, network: Network, target: Target) -> Recorded:
    """One call as TFLM answers it: a golden vector of a run, or a drawn one."""
    generator = np.random.default_rng(0)
    inputs = {name: values[2:3] for name, values in random_inputs(network, 3, generator).items()}
    if artifact.golden is not None:
        inputs = {name: values[:1] for name, values in artifact.golden.quantized_inputs.items()}
    states = zero_states(network)
    with tempfile.TemporaryDirectory() as folder:
        reference = open_device("tflm", artifact.model, target, Path(folder))
        try:
            return Recorded({**inputs, **states}, reference.run(inputs))
        finally:
            reference.close()


def require_fit(flash_bytes: int, ram_bytes: int, target: Target) -> None:
    """Raises SecateurError where the network alone is more than the whole board has."""
    for what, needed, there in (
        ("flash", flash_bytes, target.flash_bytes),
        ("RAM", ram_bytes, target.ram_bytes),
    ):
        if needed > there:
            raise SecateurError(
                f"a network fits its board's {what}",
                f"it takes {needed:,} B, {target.name} has {there:,} B",
                "Take a larger board, or prune the policy to this one: secateur prune."
                + (" With --ram, generated C may take less." if what == "RAM" else ""),
            )


def predicted(network: Network, target: Target) -> Cost | None:
    """The price; None where the target states no coefficients for a kernel, or there is no kernel."""
    try:
        return price(lower(network, target.choice), target)
    except SecateurError:
        return None
