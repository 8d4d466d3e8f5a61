"""``policy.json``: what a robot's program must know beside the .tflite files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from secateur.export.litert import signature_details
from secateur.export.tflite import image_inputs
from secateur.litert.export import Exported, channels_last_task
from secateur.litert.interface import describe_action, describe_inputs
from secateur.litert.source import Source
from secateur.policy.unroll import fed_back

SCHEMA = 1


def sidecar(
    source: Source, files: Sequence[Exported], outputs: Mapping[str, Sequence[int]] | None = None
) -> dict[str, Any]:
    """The document.

    Args:
        source: what was exported.
        files: of it; the first that is whole, or a planner, takes the observation, or all parts do and the last gives
            the action.
        outputs: name → shape of what the action is made of, where it is not the outputs of that file.

    ``observation`` and ``action`` are null where the task's maps are more than scaling, clipping, picking and
    reordering: a robot's program then has to fill the inputs itself.
    """
    parts = [file for file in files if file.kind == "part"]
    whole = parts[-1] if parts else next(file for file in files if file.kind in ("whole", "planner"))
    entry, task = source.policy.entry(), source.task
    _, given = signature_details(whole.model, entry.name)
    states = fed_back(source.policy, entry)
    observation = action = None
    if task is not None:
        env = task.make_env()
        observation = describe_inputs(channels_last_task(source).to_inputs, env.observation_space)
        env.close()
        own = {n: d["shape"] for n, d in given.items() if n not in states.values()}
        action = describe_action(task.to_action, own if outputs is None else outputs)
    return {
        "schema": SCHEMA,
        "policy": source.policy.name,
        "control_hz": task.control_hz if task else None,
        "entry": entry.name,
        "observation": observation,
        "action": action,
        "states": [
            {"input": name, "output": output, "initial": _first(entry.example_inputs[name])}
            for name, output in states.items()
        ],
        "files": [_file(source, file) for file in files],
        "note": source.note,
    }


def _first(example: Any) -> list[float]:
    return [0.0] * int(example[:1].numel())


def _file(source: Source, file: Exported) -> dict[str, Any]:
    rates = {component.name: component.rate_hz for component in source.policy.components}
    rate = rates.get(file.component or "")
    if source.task is not None and file.period > 1:
        rate = source.task.control_hz / file.period
    signatures = []
    for name in file.entries:
        taken, given = signature_details(file.model, name)
        entry = source.policy.entry(name)
        signatures.append(
            {
                "name": name,
                "inputs": taken,
                "outputs": given,
                "channels_last": sorted(image_inputs(entry)),
                "calls_per_step": entry.calls_per_step,
                "feeds": {key: list(sources) for key, sources in entry.feeds.items()},
                "accuracy": asdict(file.accuracy[name]),
            }
        )
    return {
        "file": file.file,
        "kind": file.kind,
        "component": file.component,
        "rate_hz": rate,
        **({"period": file.period, "late": file.late} if file.kind == "part" else {}),
        "dtype": file.dtype,
        "bytes": len(file.model),
        "sha256": sha256(file.model).hexdigest(),
        "signatures": signatures,
        "candidates": dict(file.candidates),
    }
