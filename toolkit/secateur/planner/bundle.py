"""The folder that plans on a robot: one .tflite with a signature for each call, policy.json, and the program.

The same folder is what the verdict is made of (``planner.controller``) and what ``secateur export`` gives of a run.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secateur.errors import UsageError, following_schema, require_known
from secateur.export.litert import run_signature
from secateur.export.planner import Calls, batched, planner_answers, planning_of, signature_name
from secateur.litert.export import Exported, compare
from secateur.litert.sidecar import sidecar
from secateur.litert.source import Source, file_stem
from secateur.litert.story import FORMATS, laid_out
from secateur.policy.policy import Policy, Task
from secateur.target.computer import Computer

FOLDER = "robot"
"""Of a run: where its bundle is."""


def describe_planner(policy: Policy) -> dict[str, Any]:
    """What ``robot/planner.py`` must know: settings, names, and which signature takes which call."""
    planning = planning_of(policy)
    output = next(iter(policy.entry(planning.choose).run(policy.module, _example(policy))))
    return {
        "settings": asdict(planning.settings),
        "names": {
            key: getattr(planning, key)
            for key in ("encode", "next", "reward", "value", "choose", "latent", "action")
        },
        "output": output,
        "calls": [
            {**asdict(call), "signature": signature_name(call.entry, call.rows)} for call in planning.calls()
        ],
    }


def _example(policy: Policy) -> Any:
    return policy.entry(planning_of(policy).choose).example_inputs


def exported(policy: Policy, dtype: str, model: bytes, calls: Calls) -> Exported:
    """The planner's file, held against torch on recorded calls."""
    accuracy = {
        signature: compare(answers, run_signature(model, calls[signature], signature))
        for signature, answers in planner_answers(policy, calls).items()
    }
    file = f"{file_stem(policy.name)}.planner.{dtype}.tflite"
    return Exported(file, "planner", None, tuple(accuracy), dtype, model, accuracy)


def bundle(policy: Policy, task: Task, file: Exported, computer: Computer) -> dict[str, bytes]:
    """Relative path → content.

    Args:
        policy: that plans, at the settings that the file was made for.
        task: whose observations and actions policy.json describes.
        file: from ``exported``.
        computer: that it is for.
    """
    described = describe_planner(policy)
    source = Source(policy.name, policy.name, batched(policy), task, {}, ())
    action = policy.entry(planning_of(policy).choose).run(policy.module, _example(policy))
    shapes = {described["output"]: [1, *action[described["output"]].shape[1:]]}
    document = {**sidecar(source, [file], shapes), "entry": policy.deployed, "planner": described}
    return laid_out([file], document, computer, "python")


def of_run(run: Path, form: str, dtype: str | None) -> Mapping[str, bytes] | None:
    """The bundle of a finished run that was pruned for a computer, byte for byte as it was judged; None for others.

    Raises:
        SecateurError: another dtype than that which was judged, or files that were changed since.
    """
    from secateur.runfolder import read_document, read_finished

    if not (run / FOLDER / "policy.json").is_file():
        return None
    read_finished(run)
    require_known("format for a computer", form, FORMATS)
    with following_schema("a bundle's policy.json", run):
        judged = read_document(run / FOLDER / "policy.json")["files"][0]["dtype"]
    if dtype not in (None, judged):
        raise UsageError(
            "a run's bundle is exported as it was judged",
            f"the run is of {judged}, {dtype} was asked for",
            f"Leave --dtype out, or prune again with --dtype {dtype}.",
        )
    files = {p.name: p.read_bytes() for p in sorted((run / FOLDER).iterdir()) if p.is_file()}
    return {name: data for name, data in files.items() if form == "python" or not name.endswith(".py")}


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files into a new folder."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
