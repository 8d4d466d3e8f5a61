"""``secateur export`` to a computer: what is asked for, and the folder that comes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secateur.device.timing import Effort, Timed, time_models
from secateur.errors import SecateurError, UsageError, require_known
from secateur.export.litert import drawn_inputs, signatures
from secateur.export.quantize import RECIPES
from secateur.litert.bench import SIDECAR, open_link
from secateur.litert.export import AUTO, Exported, Wish, export_files
from secateur.litert.sidecar import sidecar
from secateur.litert.source import file_stem, open_source
from secateur.pipeline import Share
from secateur.runfolder import to_json
from secateur.target.computer import Computer
from secateur.units import format_bytes, format_seconds

ROBOT = Path(__file__).parent / "robot"
"""Sources of the program on the robot, copied as they are."""


@dataclass(frozen=True)
class ComputerExport:
    """What is asked of ``export`` for a computer.

    Attributes:
        source: policy or run.
        format: key of ``FORMATS``.
        dtype: key of ``RECIPES``, or ``auto``.
        max_error, max_return_drop: what ``auto`` may lose; see ``Wish``.
        policy: that a run was made from, named again where it is not shipped.
        all_entries: also one file with every entry as a signature.
        device: where ``auto`` measures.
        seed: of the episodes that states are taken from.
        name: of the files; None for one after the policy.
    """

    source: str
    format: str
    dtype: str = "float32"
    max_error: float | None = None
    all_entries: bool = False
    device: str = "host"
    seed: int = 0
    name: str | None = None
    max_return_drop: float = 0.05
    policy: str | None = None


def export_for_computer(
    request: ComputerExport, target: Computer, share: Share
) -> tuple[dict[str, bytes], str]:
    """Files of the folder, and a note for the manifest.

    Raises:
        SecateurError: a request that cannot be carried out.
    """
    require_known("format for a computer", request.format, FORMATS)
    if request.dtype not in (*RECIPES, AUTO):
        raise UsageError(
            "a dtype is one of those", f"got {request.dtype!r}", f"Choose {', '.join((*RECIPES, AUTO))}."
        )
    link = open_link(request.device)
    source = open_source(request.source, request.seed, share, request.policy)
    if request.name:
        source = replace(source, name=file_stem(request.name))

    def time(models: Mapping[str, bytes]) -> dict[str, float]:
        subjects = []
        for dtype, model in models.items():
            names = signatures(model)
            subjects += [Timed(dtype, model, name, drawn_inputs(model, name, 16)) for name in names]
        found = time_models(link, subjects, Effort(threads=target.threads, max_s=3.0), share)
        if found["throttled"]:
            raise SecateurError(
                "a dtype is chosen at the device's full speed",
                f"{link.name} was throttled",
                "Cool it, or name a dtype.",
            )
        seconds: dict[str, float] = dict.fromkeys(models, 0.0)
        for subject, measured in zip(subjects, found["models"]):
            seconds[subject.name] += measured["call"]["p50_s"]
        return seconds

    wish = Wish(request.dtype, request.max_error, request.all_entries, request.max_return_drop)
    files = export_files(source, target, wish, time, share)
    document = sidecar(source, files)
    return laid_out(files, document, target, request.format), source.note


def laid_out(
    files: Sequence[Exported], document: Mapping[str, Any], target: Computer, form: str
) -> dict[str, bytes]:
    """Everything that is in the folder: models, policy.json, what ``form`` adds, and what to do with it."""
    made = {file.file: file.model for file in files}
    made[SIDECAR] = to_json(document)
    program = FORMATS[form](document)
    made["README.md"] = (_readme(document, target) + _usage(document, program)).encode()
    return {**made, **program}


def _nothing_more(document: Mapping[str, Any]) -> dict[str, bytes]:
    return {}


def _python(document: Mapping[str, Any]) -> dict[str, bytes]:
    """The program that runs on the robot; its nodes where observation and action are described."""
    names = ["robot.py"] + (["planner.py"] if document.get("planner") else [])
    names += ["parts.py"] if any(file["kind"] in ("part", "component") for file in document["files"]) else []
    if document["observation"] is not None and document["action"] is not None:
        names += ["udp_node.py", "ros2_node.py"]
    return {name: (ROBOT / name).read_bytes() for name in names}


FORMATS: dict[str, Callable[[Mapping[str, Any]], dict[str, bytes]]] = {
    "tflite": _nothing_more,
    "python": _python,
}
"""Format → policy.json → files beside the models."""


def _usage(document: Mapping[str, Any], program: Mapping[str, bytes]) -> str:
    if "robot.py" not in program:
        return ""
    rate = document["control_hz"] or 50
    text = f"""
## On the robot

Needs Python 3.9, numpy and ai-edge-litert (or tflite-runtime with numpy<2).

```python
from robot import ControlLoop, Policy

policy = Policy(".")
action = policy.act(observation)
print(ControlLoop(policy, {rate:g}, read, write, safe_action=...).run(seconds=60))
```

The loop keeps its rate by the monotonic clock, writes the safe action where the policy fails, gives something not
finite or sees nothing for too long, and counts all of it.
"""
    if any(file["kind"] == "part" and file["period"] > 1 for file in document["files"]):
        text += """
Parts at rates of their own run in line, in the control step in which they are due. Where they take longer than is left
of it, `Policy(".", background=True)` runs them in a thread of their own; what is used when is the same.
"""
    if "udp_node.py" in program:
        return f"""{text}
`python3 udp_node.py --port 5005 --rate {rate:g}` answers observations over UDP; `ros2_node.py` is laid out for ROS 2
and was not run.
"""
    return f"""{text}
What the task does to observations or actions is more than scaling, clipping, picking and reordering, so
`policy.json` does not describe it: `act` takes the network's inputs, or gives its outputs, by name; the rest is yours.
"""


def signatures_of(file: Mapping[str, Any]) -> str:
    """Names of a file's signatures."""
    return ", ".join(signature["name"] for signature in file["signatures"])


def _every(file: Mapping[str, Any]) -> str:
    """How often a part runs."""
    period, late = file.get("period", 1), file.get("late", 0)
    often = "at every control step" if period == 1 else f"once in {period} control steps"
    return often + (f", used {late} later" if late else "")


def _kept(loop: Mapping[str, Any] | None) -> str:
    if loop is None:
        return ""
    low, high = (100 * end for end in loop["ci95"])
    return (
        f", {100 * loop['return_ratio']:.1f} % of the return kept (95 % interval {low:.1f} to {high:.1f} %, "
        f"{loop['episodes']} episodes)"
    )


def _readme(document: Mapping[str, Any], target: Computer) -> str:
    lines = [
        f"# {document['policy']}, for LiteRT on {target.description}",
        "",
        "| file | what | dtype | size | largest error | error of range |",
        "|---|---|---|---|---|---|",
    ]
    for file in document["files"]:
        accuracy = [signature["accuracy"] for signature in file["signatures"]]
        what = {
            "whole": "the deployed entry",
            "component": f"component {file['component']}",
            "entries": "every entry",
            "planner": "what the planner calls",
            "part": f"part {signatures_of(file)}, {_every(file)}",
        }
        lines.append(
            f"| `{file['file']}` | {what[file['kind']]} | {file['dtype']} | {format_bytes(file['bytes'])} |"
            f" {max(a['max_abs_error'] for a in accuracy):.3g} | {max(a['error_share'] for a in accuracy):.3%} |"
        )
    lines += [
        "",
        "Errors are against torch, on LiteRT, over states that were not calibrated on; the share is the root mean",
        "square over the output's range. `policy.json` has names, shapes, scales, what is done to observations and",
        "actions, and states that are fed back. Images are taken with channels last.",
    ]
    for file in document["files"]:
        if file["candidates"]:
            lines += ["", f"`{file['file']}` was chosen as the quickest that is accurate enough:", ""]
            for dtype, tried in file["candidates"].items():
                time = "not measured" if tried["seconds"] is None else format_seconds(tried["seconds"])
                lines.append(
                    f"- {dtype}: error {tried['error_share']:.3%}, {time}, {format_bytes(tried['bytes'])}"
                    + _kept(tried["closed_loop"])
                )
    if document["note"]:
        lines += ["", document["note"]]
    return "\n".join(lines) + "\n"
