"""What is proven: a finished run, or a policy as it is converted for a board."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from secateur.artifact import is_run, open_artifacts
from secateur.errors import SecateurError, UsageError, following_schema, refuse_options
from secateur.job import target_hash, weights_hash
from secateur.network import Network
from secateur.openers import Bundled, OnDevice, Original, bundled, named
from secateur.pipeline import Share
from secateur.planner.bundle import FOLDER
from secateur.policy.load import absolute, load
from secateur.policy.parts import part_names, parts_of, require_one_rate
from secateur.policy.policy import Policy, Task
from secateur.runfolder import read_finished, request_of
from secateur.runparts import stems
from secateur.shipped import absolute_target
from secateur.simulate.dry_run import check_task
from secateur.target.computer import Computer
from secateur.target.target import Target, compiled_by, list_targets, load_any, optimised
from secateur.trusted import policy_of_run, target_of_run

BOARD_DEVICES = ("emulator", "host", "qemu", "tflm")
MODEL = "model.int8.tflite"


@dataclass(frozen=True, eq=False)
class Subject:
    """The original, the artifact, and where they come from.

    Attributes:
        source: as it was asked for.
        policy, task: the original.
        original, artifact: openers.
        target: name of the board or computer.
        device: that runs the artifact.
        network: of the artifact; None of a run.
        run: folder of a finished run; None for a policy.
        summary: of the run.
    """

    source: str
    policy: Policy
    task: Task
    original: Original
    artifact: OnDevice | Bundled
    target: str
    device: str
    network: Network | None
    run: Path | None
    summary: Mapping[str, Any] | None


def open_subject(
    source: str,
    device: str,
    target: str | None,
    seed: int,
    work: Path,
    share: Share,
    policy: str | None = None,
) -> Subject:
    """A run's folder or a policy, told apart by what is there.

    Args:
        source: folder of a finished run, or a policy as ``policy.load`` takes it.
        device: ``emulator``, ``host``, ``qemu``, ``tflm``, ``serial:PORT`` for a board, ``host`` or ``ssh://…`` for a
            computer.
        target: board of a policy; a run has its own, which is named again where it is not shipped.
        seed: of the episodes that a policy is calibrated on.
        work: a folder that stays there as long as the subject is used.
        share: told of progress.
        policy: that a run was made from, named again where it is not shipped; see ``trusted``.

    Raises:
        SecateurError: neither; code that only a run's folder names; an original that is not what the run was made from;
            a device that does not run it.
    """
    path = Path(source)
    if is_run(path):
        return _of_run(path, device, target, policy)
    refuse_options({"--policy": policy}, f"{source} is no run, but the policy itself")
    if target is None:
        raise UsageError(
            "a policy is proven as it is converted for a board",
            f"no --target was given for {source}",
            "Add --target, for example --target stm32f446re; or name the folder of a finished run.",
        )
    return _of_policy(source, device, target, seed, work, share)


def _loaded(reference: str, entry: str | None = None) -> tuple[Original, Policy, Task]:
    """The original, described as it is now, and loaded."""
    loaded = load(absolute(reference))
    original = Original(loaded.reference, entry, None, weights_hash(loaded.policy), loaded.code_sha256)
    return original, *original.of(loaded)


def _of_run(path: Path, device: str, target: str | None, named_policy: str | None) -> Subject:
    summary, request = read_finished(path), request_of(path)
    if "policy" not in request or "verdict" not in summary:
        raise SecateurError("a run holds one policy", f"{path} holds a front", "Prune to one of its points.")
    reference = policy_of_run(path, request, named_policy)
    board = absolute_target(target_of_run(path, request, target))
    _require_target(board, request, path)
    original, policy, task = _loaded(reference, request.get("entry"))
    if weights_hash(policy) != request.get("weights_sha256"):
        raise SecateurError(
            "a run is held against the original that it was made from",
            f"{request['policy']} had other weights than {original.reference} has",
            "Prune it again, bring the earlier weights back, or name where they are: --policy POLICY.",
        )
    with following_schema("a run's summary", path):
        name = str(summary["target"])
        late = tuple((str(p["name"]), int(p["late_periods"])) for p in summary.get("parts") or ())
    artifact: OnDevice | Bundled
    if (path / FOLDER / "policy.json").is_file():
        _require_device(device, ("host", "ssh://"), f"{name} is a computer")
        artifact = bundled(original, path / FOLDER, board)
        return Subject(str(path), policy, task, original, artifact, name, device, None, path, summary)
    _require_device(device, (*BOARD_DEVICES, "serial:"), f"{name} is a microcontroller")
    parts = parts_of(policy, task.control_hz)
    files = {name: path / f"{stem}.int8.tflite" for name, stem in stems(parts).items()}
    artifact = OnDevice(
        original,
        named(files),
        device,
        board,
        request.get("optimise"),
        request.get("toolchain"),
        late,
    )
    artifact = replace(artifact, target_sha256=target_hash(artifact.board()))
    return Subject(str(path), policy, task, original, artifact, name, device, None, path, summary)


def _require_target(board: str, request: Mapping[str, Any], path: Path) -> None:
    """Raises SecateurError where a target that is a file of somebody's own is not what the run was made for."""
    with following_schema("a run's request", path):
        asked, optimise, toolchain = str(request["target"]), request.get("optimise"), request.get("toolchain")
        found = load_any(board)
        if isinstance(found, Target):
            found = compiled_by(optimised(found, optimise), toolchain)
    if asked not in list_targets() and target_hash(found) != request.get("target_sha256"):
        raise SecateurError(
            "a run is proven on the target that it was made for",
            f"{board} is not what {asked} was",
            "Name that file as it was then, or prune again.",
        )


def _of_policy(source: str, device: str, target: str, seed: int, work: Path, share: Share) -> Subject:
    original, policy, task = _loaded(source)
    if isinstance(load_any(target), Computer) or policy.plans:
        raise SecateurError(
            "a policy is converted for a microcontroller here",
            f"{source} for {target}",
            "Prune it for that computer first, and name the run.",
        )
    _require_device(device, (*BOARD_DEVICES, "serial:"), f"{target} is a microcontroller")
    require_one_rate(policy, task.control_hz)
    if len(part_names(policy)) > 1:
        _refuse_parts(source)
    check_task(policy, task)
    opener = OnDevice(original, (), device, absolute_target(target))
    (artifact,) = open_artifacts(source, opener.board(), seed, share, "int8")
    path = work / MODEL
    path.write_bytes(artifact.model)
    models = named({policy.entry().name: path})
    return Subject(
        source,
        policy,
        task,
        original,
        replace(opener, models=models, target_sha256=target_hash(opener.board())),
        opener.board().name,
        device,
        artifact.network,
        None,
        None,
    )


def _refuse_parts(source: str) -> NoReturn:
    raise SecateurError(
        "a policy in several parts is proven as a run, which says how late each part is",
        f"{source} has several, at rates of their own",
        "Prune it first, and name the run.",
    )


def _require_device(device: str, known: tuple[str, ...], why: str) -> None:
    if not any(device == one or (one[-1] in ":/" and device.startswith(one)) for one in known):
        names = ", ".join(f"{one}…" if one[-1] in ":/" else one for one in known)
        raise UsageError(f"the device is one of {names}", f"got {device!r}, and {why}", "Take one of them.")
