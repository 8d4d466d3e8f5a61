"""The story of ``secateur bench``.

run or .tflite → price on the target → device → outputs against TFLM → what it took
"""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secateur.artifact import Artifact, open_models
from secateur.deploy import SILENT, predicted, require_fit
from secateur.device.devices import BUILT_FOR_BOARD, SERIAL, open_device
from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError, refuse_options
from secateur.export.toolchain import compiler_name
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.pipeline import Progress
from secateur.records import Cost, Measurement, Part, PartTime
from secateur.target.arena import plan
from secateur.target.patches import applied, within
from secateur.target.schedule import with_responses
from secateur.target.step import of_a_step
from secateur.target.target import Target, compiled_by, load_target, optimised

GENERATED_ON = ("emulator", "host", "qemu")
"""Devices that generated C is built for."""


@dataclass(frozen=True)
class BenchRequest:
    """What is asked of ``bench``.

    Attributes:
        source: run or .tflite.
        target: board, or the path of its TOML.
        device: key of ``DEVICES``, or a serial port.
        calls: how many.
        optimise, toolchain, ram_bytes: as for ``ExportRequest``.
    """

    source: str
    target: str
    device: str
    calls: int = 16
    optimise: str | None = None
    toolchain: str | None = None
    ram_bytes: int | None = None


def bench(request: BenchRequest, progress: Progress = SILENT) -> dict[str, Any]:
    """Runs a model on a device; gives what was predicted and what was measured, side by side.

    Of a run whose policy has several parts every part is run on its own, and the document has ``parts``: the document
    of each with its ``part``, and ``schedule``, how they get along on one core at their rates.

    Raises:
        SecateurError: the model cannot be read, built or run.
    """
    target = compiled_by(optimised(load_target(request.target), request.optimise), request.toolchain)
    if request.device not in BUILT_FOR_BOARD:
        refuse_options(
            {"--toolchain": request.toolchain}, f"--device {request.device} runs no image that is built here"
        )
    if request.device not in GENERATED_ON:
        instead = f", or take --device {', '.join(GENERATED_ON)}"
        refuse_options({"--ram": request.ram_bytes}, f"--device {request.device} is given none", instead)
    artifacts = open_models(request.source)
    if len(artifacts) == 1:
        return _bench(artifacts[0], target, request, progress)[0]
    if request.device.startswith(SERIAL):
        names = ", ".join(f"{request.source}/{artifact.deployed}" for artifact in artifacts)
        raise SecateurError(
            "a board on a line holds one network", f"{request.source} has several", f"Bench one of {names}."
        )
    found = [(artifact, *_bench(artifact, target, request, progress)) for artifact in artifacts]
    documents = [
        {"part": {key: getattr(artifact.part, key) for key in ("name", "period", "calls")}, **document}
        for artifact, document, _ in found
    ]
    rate = artifacts[-1].control_hz
    wrong = [document["parity"] for document in documents]
    return {
        "schema": 1,
        "control_hz": rate,
        "parts": documents,
        "schedule": schedule([(artifact.part, seen) for artifact, _, seen in found], rate),
        "parity": None
        if None in wrong
        else {"mismatched_bytes": sum(parity["mismatched_bytes"] or 0 for parity in wrong)},
    }


def schedule(measured: Sequence[tuple[Part, Measurement]], rate_hz: float | None) -> list[dict[str, Any]]:
    """How parts get along on one core at their rates; empty where a latency, or the rate, is not known.

    Args:
        measured: each part, and what was observed of one call, one row.
        rate_hz: of the task.
    """
    runs = [(part, of_a_step(seen, part.calls).latency_s) for part, seen in measured]
    times = [
        PartTime(part.name, part.period / rate_hz, latency, 0.0)
        for part, latency in runs
        if rate_hz and latency is not None
    ]
    return [
        {
            "part": time.name,
            "period_s": time.period_s,
            "latency_s": time.latency_s.high,
            "response_s": time.response_s,
            "utilisation": time.utilisation,
        }
        for time in with_responses(times if len(times) == len(runs) else ())
    ]


def _bench(
    artifact: Artifact, target: Target, request: BenchRequest, progress: Progress
) -> tuple[dict[str, Any], Measurement]:
    """Of one network; with what was measured."""
    network = artifact.network
    if request.ram_bytes is not None:
        progress.stage("fitting it into its RAM")
        target = within(target, network, request.ram_bytes)
    inputs = _calls(artifact, network, request.calls)
    cost = predicted(network, target)
    if cost is not None and request.device in BUILT_FOR_BOARD:
        require_fit(cost.flash_bytes, cost.ram_bytes, target)
    with tempfile.TemporaryDirectory() as folder:
        progress.stage(f"building for {request.device}")
        device = open_device(request.device, artifact.model, target, Path(folder))
        try:
            progress.stage("running it")
            outputs = device.run(inputs)
            measurement = device.measure()
        finally:
            device.close()
        progress.stage("holding it against TFLM")
        parity = None
        if request.device != "tflm":
            parity = _against_tflm(artifact, target, inputs, outputs, Path(folder) / "tflm")
    return {
        "schema": 1,
        "model": {
            "source": artifact.source,
            "name": artifact.name,
            "bytes": len(artifact.model),
            "sha256": artifact.hash,
        },
        "target": target.name,
        "device": measurement.device,
        "compiler": compiler_name(target) if request.device in BUILT_FOR_BOARD else None,
        "calls": request.calls,
        "board": {
            "core": target.core,
            "clock_hz": target.clock_hz,
            "flash_bytes": target.flash_bytes,
            "ram_bytes": target.ram_bytes,
        },
        "predicted": None if cost is None else _cost(cost, target),
        "patches": applied(network, target),
        "measured": _measured(measurement),
        "arena": _arena(network, target, request.device, measurement),
        "parity": parity,
    }, measurement


def _calls(artifact: Artifact, network: Network, calls: int) -> dict[str, np.ndarray]:
    """Golden vectors of a run, over again where they are too few; drawn ones for a model on its own."""
    if artifact.golden is None:
        return random_inputs(network, calls, np.random.default_rng(0))
    stored = artifact.golden.quantized_inputs
    return {name: np.resize(values, (calls, *values.shape[1:])) for name, values in stored.items()}


def _against_tflm(
    artifact: Artifact,
    target: Target,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    folder: Path,
) -> dict[str, Any]:
    """How many bytes TFLM answers otherwise; real outputs count where they differ by more than rounding."""
    try:
        reference = open_device("tflm", artifact.model, target, folder)
    except SecateurError as error:
        return {"vectors": 0, "mismatched_bytes": None, "reason": str(error)}
    try:
        wanted = reference.run(inputs)
    finally:
        reference.close()
    wrong = 0
    for name, values in outputs.items():
        if values.dtype.kind == "f":
            wrong += values.itemsize * int((~np.isclose(values, wanted[name], rtol=1e-5, atol=1e-6)).sum())
        else:
            wrong += int((values.view(np.uint8) != wanted[name].view(np.uint8)).sum())
    return {"vectors": len(next(iter(inputs.values()))), "mismatched_bytes": wrong, "reason": None}


def _arena(network: Network, target: Target, device: str, measurement: Measurement) -> dict[str, int | None]:
    size, bound = None, None
    with contextlib.suppress(SecateurError):  # TFLM runs operators that have no kernel here
        planned = plan(lower(network, target.choice).buffers)
        size, bound = planned.size_bytes, planned.lower_bound_bytes
    tflm = measurement.static_ram_bytes if device == "tflm" else None
    return {"bytes": size, "lower_bound_bytes": bound, "tflm_bytes": tflm}


def _cost(cost: Cost, target: Target) -> dict[str, Any]:
    record = asdict(cost)
    for name in ("components", "kernels", "parts"):
        del record[name]
    source = target.latency_source("predicted", cost.instructions or 0, cost.latency_s)
    fit = {"probes": target.fit.probes, "max_error": target.fit.max_error}
    return {
        **record,
        "flash_bytes": cost.flash_bytes,
        "ram_bytes": cost.ram_bytes,
        "latency_source": source,
        "instruction_fit": fit,
    }


def _measured(measurement: Measurement) -> dict[str, Any]:
    record = asdict(measurement)
    del record["parts"]
    return {**record, "flash_bytes": measurement.flash_bytes, "ram_bytes": measurement.ram_bytes}
