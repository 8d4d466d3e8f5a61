"""The story of ``secateur bench`` on computers.

files → what is timed → every device at once: copy, run, come back → outputs against LiteRT here
      → predicted beside measured → rate that could be held
"""

import base64
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from secateur.device.runner import Network as Runnable
from secateur.device.runner import load_runtime
from secateur.device.ssh import parse_ssh
from secateur.device.timing import Effort, Here, Link, Timed, time_models
from secateur.errors import SecateurError, UsageError
from secateur.export.litert import drawn_inputs, signatures
from secateur.export.read import read_tflite
from secateur.pipeline import Share
from secateur.runfolder import read_document, read_finished
from secateur.target.computer import Computer
from secateur.target.work import dtype_of, work_of

SIDECAR = "policy.json"
_CALLS = 16


@dataclass(frozen=True, eq=False)
class Subject:
    """One signature of one file.

    Attributes:
        timed: what is sent.
        kind: ``whole``, ``component``, ``part`` or ``entries``.
        rate_hz: of a component or part; None for the task's rate.
        calls_per_step: of the entry, in one control step.
    """

    timed: Timed
    kind: str
    rate_hz: float | None = None
    calls_per_step: int = 1


def open_link(device: str) -> Link:
    """``host`` or ``ssh://…``."""
    if device == "host":
        return Here()
    if device.startswith("ssh://"):
        return parse_ssh(device)
    raise UsageError(
        "a computer is host or ssh://[user@]host[:port]",
        f"got {device!r}",
        "Write for example ssh://pi@raspberrypi.",
    )


def subjects_of(source: str) -> tuple[tuple[Subject, ...], float | None]:
    """What there is to time in a .tflite, an exported folder or a finished run; and the task's rate if it is known."""
    path = Path(source)
    if path.suffix == ".tflite" or path.is_file():
        try:
            model = path.read_bytes()
        except OSError as error:
            raise SecateurError(
                "a model is a readable .tflite", f"{path}: {error.strerror}", "Correct it."
            ) from error
        return tuple(_subject(path.name, model, name, "whole") for name in signatures(model)), None
    if (path / SIDECAR).is_file():
        return _of_folder(path)
    if path.is_dir() and not (path / "policy.py").is_file():
        read_finished(path)
        return tuple(
            _subject(f.name, f.read_bytes(), signatures(f.read_bytes())[0], "whole")
            for f in sorted(path.glob("*.tflite"))
        ), None
    raise SecateurError(
        "bench takes a .tflite, an exported folder or a finished run",
        f"got {source!r}",
        f"Convert a policy first: secateur export {source} --format tflite.",
    )


def _subject(file: str, model: bytes, signature: str | None, kind: str, **more: Any) -> Subject:
    single = len(signatures(model)) == 1
    name = file if single else f"{file}:{signature}"
    return Subject(Timed(name, model, signature, drawn_inputs(model, signature, _CALLS)), kind, **more)


def _of_folder(path: Path) -> tuple[tuple[Subject, ...], float | None]:
    try:
        document = read_document(path / SIDECAR)
        found = []
        for file in document["files"]:
            if Path(file["file"]).name != file["file"]:
                raise ValueError(f"{file['file']} is not a file of it")
            model = (path / file["file"]).read_bytes()
            if sha256(model).hexdigest() != file["sha256"]:
                raise SecateurError(
                    "the files of an export are as they were written",
                    f"{path / file['file']} was changed",
                    "Export it again.",
                )
            found += [
                _subject(
                    file["file"],
                    model,
                    signature["name"],
                    file["kind"],
                    rate_hz=file["rate_hz"],
                    calls_per_step=signature["calls_per_step"],
                )
                for signature in file["signatures"]
            ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SecateurError("an exported folder is whole", f"{path}: {error}", "Export it again.") from error
    return tuple(found), document["control_hz"]


def bench_computers(
    source: str,
    target: Computer | None,
    devices: Sequence[str],
    effort: Effort,
    utilisation: float,
    force: bool,
    share: Share,
) -> dict[str, Any]:
    """Times a source on several computers at once.

    Args:
        source: .tflite, exported folder or finished run.
        target: what to predict for, and to hold the devices' architecture against; None for neither.
        devices: as ``open_link`` takes them.
        effort: how long is measured.
        utilisation: share of a control period that the policy may take.
        force: report a device that was throttled, marked as such.
        share: told of progress.

    Returns:
        A document; under ``devices`` one record for each, with ``error`` where it failed.

    Raises:
        SecateurError: every device failed; the first one's reason.
    """
    subjects, control_hz = subjects_of(source)
    links = [open_link(device) for device in devices]
    wanted = [_reference(subject.timed) for subject in subjects]

    def one(link: Link) -> dict[str, Any] | SecateurError:
        try:
            found = time_models(link, [subject.timed for subject in subjects], effort, share)
            if target is not None and not isinstance(link, Here):
                require_architecture(link.name, found["machine"], target)
            _require_cool(link.name, found, force)
        except SecateurError as error:
            return error
        return _record(link.name, found, subjects, wanted, target, utilisation, control_hz)

    with ThreadPoolExecutor(len(links)) as pool:
        outcomes = list(pool.map(one, links))
    failures = [outcome for outcome in outcomes if isinstance(outcome, SecateurError)]
    if len(failures) == len(outcomes):
        raise failures[0]
    return {
        "schema": 1,
        "source": source,
        "target": target.name if target else None,
        "utilisation": utilisation,
        "control_hz": control_hz,
        "effort": dict(vars(effort)),
        "devices": [
            {"device": link.name, "error": str(outcome)} if isinstance(outcome, SecateurError) else outcome
            for link, outcome in zip(links, outcomes)
        ],
    }


def _reference(timed: Timed) -> list[dict[str, np.ndarray]]:
    """The outputs of the same calls, on LiteRT here."""
    interpreter_class, *_ = load_runtime()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(timed.model)
        network = Runnable(interpreter_class, str(path), timed.signature, 1)
        return [network.call({name: a[i] for name, a in timed.inputs.items()})[0] for i in range(_CALLS)]


def require_architecture(
    name: str,
    machine: Mapping[str, Any],
    target: Computer,
    remedy: str = "Take the target that it is, or leave --target out.",
) -> None:
    """Raises SecateurError where a machine, as its runner described it, is not of a target's architecture."""
    seen = (
        machine["architecture"]
        if machine["bits"] == 64
        else f"{machine['architecture']} with 32-bit programs"
    )
    if seen != target.architecture:
        raise SecateurError(
            "a device is of its target's architecture",
            f"{name} is {seen}, {target.name} is {target.architecture}",
            remedy,
        )


def _require_cool(name: str, found: Mapping[str, Any], force: bool) -> None:
    if found["throttled"] and not force:
        seen = " and ".join(
            f"{found[when]['temperature_c']} °C, flags {found[when]['flags']:#x}"
            if found[when]["flags"] is not None
            else f"{found[when]['temperature_c']} °C"
            for when in ("before", "after")
        )
        raise SecateurError(
            "a device is measured at its full speed",
            f"{name} was throttled: {seen}",
            "Cool it, and see to its power supply; --force reports it all the same, marked.",
        )


def _record(
    name: str,
    found: Mapping[str, Any],
    subjects: Sequence[Subject],
    wanted: Sequence[Sequence[Mapping[str, np.ndarray]]],
    target: Computer | None,
    utilisation: float,
    control_hz: float | None,
) -> dict[str, Any]:
    models = []
    for subject, measured, reference in zip(subjects, found["models"], wanted):
        outputs, timed = measured.pop("outputs"), subject.timed
        models.append(
            {
                **measured,
                "kind": subject.kind,
                "rate_hz": subject.rate_hz,
                "calls_per_step": subject.calls_per_step,
                "bytes": len(timed.model),
                "sha256": sha256(timed.model).hexdigest(),
                "against_host": _against(reference, outputs),
                "predicted": _predicted(timed, target, found["threads"]),
                "held_hz": utilisation / measured["call"]["p99_s"] / subject.calls_per_step,
            }
        )
    components = [m for m in models if m["kind"] in ("component", "part")]
    rates = [m["rate_hz"] or control_hz for m in components]
    busy = (
        sum(m["call"]["p99_s"] * m["calls_per_step"] * (rate or 0.0) for m, rate in zip(components, rates))
        if components and all(rates)
        else None
    )
    return {"device": name, **found, "models": models, "components_utilisation": busy}


def _against(
    reference: Sequence[Mapping[str, np.ndarray]], got: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """How the device's outputs differ from LiteRT's here: bytes, and the largest difference in stored units."""
    wrong, largest = 0, 0.0
    for wanted, answer in zip(reference, got):
        for name, array in wanted.items():
            other = np.frombuffer(base64.b64decode(answer[name]), array.dtype).reshape(array.shape)
            wrong += int((np.ascontiguousarray(array).view(np.uint8) != other.view(np.uint8)).sum())
            largest = max(
                largest, float(np.abs(array.astype(np.float64) - other.astype(np.float64)).max(initial=0))
            )
    return {"calls": len(got), "mismatched_bytes": wrong, "max_abs_difference": largest}


def _predicted(timed: Timed, target: Computer | None, threads: int) -> dict[str, Any] | None:
    """Of a file with one signature: the reader knows the first subgraph only."""
    if target is None or len(signatures(timed.model)) > 1:
        return None
    network = read_tflite(timed.model)
    dtype, work = dtype_of(network), work_of(network)
    if dtype not in target.latency:
        return None
    span = target.latency_s(work, dtype, threads)
    return {
        "low_s": span.low,
        "middle_s": target.middle_s(work, dtype, threads),
        "high_s": span.high,
        "dtype": dtype,
    }
