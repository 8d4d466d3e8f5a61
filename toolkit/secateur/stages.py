"""The stages of a run: each reads the folders of earlier ones and writes its own, in plain formats."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from secateur.choosing import Original, choose_widths, score, scores_of
from secateur.device.devices import open_devices
from secateur.device.protocol import run_episodes
from secateur.errors import SecateurError
from secateur.export.litert import run_float
from secateur.job import Job, versions
from secateur.openers import on_emulator, original_of
from secateur.pipeline import Progress, Share
from secateur.policy.policy import Policy
from secateur.policy.weights import load_weights
from secateur.prune.limits import Price
from secateur.prune.recover import Recovery, RecoveryPlan, judged_seeds, mean_return
from secateur.prune.schedule import SCHEDULES
from secateur.prune.states import digest, lengths_of, met_inputs
from secateur.prune.surgery import rebuild
from secateur.records import ClosedLoop, Measurement, Parity, Part, PartTime, Range
from secateur.report.html import render_html
from secateur.report.kept import KEPT, load_figures
from secateur.report.summary import GroupWidth, RecoveryPoint, part_records, summary
from secateur.runfolder import RunFolder, read_document, to_json, widths_of, write_atomically
from secateur.runparts import PARTS, golden_file, parts_json, stems
from secateur.shared import SharedStages
from secateur.simulate.parallel import close_all, episodes
from secateur.simulate.rollout import Trajectory
from secateur.target.schedule import late_periods
from secateur.target.step import calls_per_step, measurement_of_parts, of_a_step
from secateur.verify.golden import load_golden
from secateur.verify.paired import Ended, baseline_episodes, evaluate_against
from secateur.verify.parity import compare, parity_of_parts
from secateur.verify.verdict import judge
from secateur.workers import Workers

STATES_EPISODES = 32
"""Episodes that states are taken from."""


@dataclass(frozen=True)
class Running:
    """The folder of a run, who is told of its stages, and where stages are that other runs share, if any do."""

    folder: RunFolder
    progress: Progress
    shared: SharedStages | None = None

    def stage(
        self,
        name: str,
        title: str,
        produce: Callable[[Path, Share], None],
        decided_by: Mapping[str, Any] | None = None,
    ) -> Path:
        """Runs a stage, or finds it done: its folder.

        Args:
            name: of the stage.
            title: as it is shown.
            produce: writes it, and says how far it is.
            decided_by: everything that it depends on, where other runs may share it.
        """
        self.progress.stage(title)

        def write(to: Path) -> None:
            try:
                produce(to, self.progress.share)
            finally:
                close_all()  # what it opened here for its episodes

        if self.shared is not None and decided_by is not None:
            return self.shared.stage(name, decided_by, write)
        return self.folder.stage(name, write)

    def scored(self, job: Job, original: Original) -> Path | None:
        """The stage that scores channels, where runs share it; None where the choice of widths scores them itself."""
        if self.shared is None:
            return None
        decided_by = job.origin | {
            "visited": digest(original.visited),
            "importance": job.request.importance,
            "seed": job.request.seed,
        }
        return self.stage("scores", "scoring channels", lambda to, _: score(job, original, to), decided_by)

    def pruned(
        self, job: Job, price: Price, original: Original, name: str = "", title: str = ""
    ) -> tuple[Path, Path]:
        """The stages that choose widths, and that cut to them and recover: their folders.

        Args:
            job: whose budget is to be met.
            price: widths → predicted cost.
            original: what is cut.
            name: behind the stages' own, where there are several budgets.
            title: before their own.
        """
        scored = self.scored(job, original)
        chosen = self.stage(
            f"widths{name}",
            f"{title}scoring channels, choosing widths",
            lambda to, share: choose_widths(job, price, original, scored, to, share),
        )
        recovered = self.stage(
            f"policy{name}",
            f"{title}cutting and recovering",
            lambda to, share: cut_and_recover(job, original, chosen, to, share),
        )
        return chosen, recovered


@dataclass(frozen=True)
class Made:
    """The folders of the finished stages."""

    original: Path
    widths: Path
    policy: Path
    export: Path
    device: Path
    loop: Path
    figures: Path


def of_rollouts(job: Job, episodes: int) -> dict[str, Any]:
    """What decides so many of the original's episodes."""
    return job.origin | {"seed": job.request.seed, "episodes": episodes}


def told_of_episodes(share: Share) -> Callable[[int, int], None]:
    """Tells how many episodes of a stage have ended."""
    return lambda done, total: share(done / total, f"{done} of {total} episodes")


def roll_original(job: Job, to: Path, share: Share, workers: Workers | None = None) -> None:
    """Writes ``visited.npz``: inputs wherever the original went; of whole episodes also ``lengths.json``."""
    rolled: list[Trajectory] = episodes(
        original_of(job, workers),
        job.seeds("states", STATES_EPISODES),
        workers=workers,
        progress=told_of_episodes(share),
    )
    arrays = {name: tensor.numpy() for name, tensor in met_inputs(job.task, rolled, job.policy).items()}
    np.savez(to / "visited.npz", **arrays)  # type: ignore[arg-type]
    lengths = lengths_of(rolled)
    if sum(lengths) == len(next(iter(arrays.values()))):  # of cameras some steps are left out
        write_atomically(to / "lengths.json", to_json(lengths))


def cut_and_recover(job: Job, original: Original, chosen: Path, to: Path, share: Share) -> None:
    """Writes ``policy.safetensors``, ``kept.json`` (the channels of the original), and ``recovery.json``, the curve."""
    rounds = original.teacher.training.rounds
    plan = RecoveryPlan(
        rounds=rounds if job.request.recovery_steps else 0,
        steps=max(1, job.request.recovery_steps // rounds),
        episodes=original.teacher.training.episodes,
        fake_quantise=job.request.fake_quantise,
        minutes=job.request.recovery_minutes,
    )
    if (wanted := job.request.recovery_enough) is not None and plan.rounds:
        reached = mean_return(job.policy, job.task, judged_seeds(job.request.seed, plan))
        plan = replace(plan, enough=reached - (1 - wanted) * abs(reached))
    total = max(1, plan.rounds * plan.steps)
    recovery = Recovery(
        original.teacher,
        original.lesson,
        job.task,
        job.request.seed,
        plan,
        lambda point: share(
            min(1.0, point.steps / total), f"return {point.return_mean:.1f} after {point.steps} steps"
        ),
    )
    scores = load_file(chosen / "scores.safetensors")
    rescore = scores_of(job, original)
    made = SCHEDULES[job.request.schedule](recovery, scores, rescore, widths_of(chosen))
    weights = {name: tensor.contiguous() for name, tensor in made.policy.module.state_dict().items()}
    save_file(weights, to / "policy.safetensors")
    write_atomically(to / "kept.json", to_json({name: index.tolist() for name, index in made.keep.items()}))
    points = [
        {"step": p.steps, "loss": p.loss if isfinite(p.loss) else None, "return_mean": p.return_mean}
        for p in made.curve
        if isfinite(p.return_mean)
    ]
    write_atomically(to / "recovery.json", to_json(points))


def recovered_policy(job: Job, chosen: Path, recovered: Path) -> Policy:
    """Original architecture + widths + weights: how anyone rebuilds the pruned policy."""
    policy = rebuild(job.policy, job.graph, widths_of(chosen))
    load_weights(policy.module, recovered / "policy.safetensors")
    return policy


def run_device(job: Job, exported: Path, to: Path) -> None:
    """Builds the C, runs the golden vectors on the emulated core; writes ``parity.json`` and ``measurement.json``.

    Of several parts ``parts.json`` as well, the parity of each.
    """
    measurements: dict[str, Measurement] = {}
    parities: dict[str, Parity] = {}
    with open_devices(
        "emulator", int8_models(job.parts, exported), job.parts, job.board, to / "build"
    ) as devices:
        for name, stem in stems(job.parts).items():
            golden = load_golden(exported / golden_file(stem))
            answers = run_episodes(devices[name], golden.quantized_inputs, golden.starts)
            measurements[name] = of_a_step(devices[name].measure(), calls_per_step(job.policy, name))
            floats = run_float((exported / f"{stem}.float32.tflite").read_bytes(), golden.inputs)
            parities[name] = compare(golden, floats, answers, devices[name].network)
    measurement = measurement_of_parts(measurements, job.parts, job.task.control_hz)
    write_atomically(to / "measurement.json", to_json(asdict(measurement)))
    write_atomically(to / "parity.json", to_json(asdict(parity_of_parts(parities))))
    if len(job.parts) > 1:
        each = {name: asdict(parity) for name, parity in parities.items()}
        write_atomically(to / "parts.json", to_json(each))


def int8_models(parts: Sequence[Part], exported: Path) -> dict[str, bytes]:
    """Part → its int8 .tflite, as the stage that exports left it."""
    return {name: (exported / f"{stem}.int8.tflite").read_bytes() for name, stem in stems(parts).items()}


def measurement_of(measured: Path) -> Measurement:
    """What was observed, as its stage left it."""
    record = read_document(measured / "measurement.json")
    latency = record.pop("latency_s")
    parts = tuple(
        PartTime(**{**part, "latency_s": Range(**part["latency_s"]), "components": tuple(part["components"])})
        for part in record.pop("parts")
    )
    return Measurement(**record, latency_s=Range(**latency) if latency else None, parts=parts)


def worst_latency_s(seen: Measurement) -> float:
    """How late the firmware acts, s. Raises SecateurError where the device told no latency: that is not none."""
    if seen.latency_s is None:
        raise SecateurError(
            "the loop is closed at the speed of the board",
            f"{seen.device} told no latency",
            "Take a device that counts instructions or cycles.",
        )
    return seen.latency_s.high


def run_baseline(job: Job, to: Path, share: Share, workers: Workers | None = None) -> None:
    """Writes ``baseline.json``: the verdict's episodes of the original, in torch and without delay."""
    seeds = job.seeds("verdict", job.request.episodes)
    ended = baseline_episodes(original_of(job, workers), seeds, workers, told_of_episodes(share))
    write_atomically(to / "baseline.json", to_json([asdict(episode) for episode in ended]))


def close_loop(
    job: Job,
    baseline: Path,
    exported: Path,
    measured: Path,
    to: Path,
    share: Share,
    workers: Workers | None = None,
) -> None:
    """The firmware drives the robot, at its board's worst predicted latency; writes ``loop.json``."""
    before = [Ended(**episode) for episode in read_document(baseline / "baseline.json")]
    seen = measurement_of(measured)
    late = late_periods(seen.parts, job.parts, job.task.control_hz)
    models = {name: exported / f"{stem}.int8.tflite" for name, stem in stems(job.parts).items()}
    loop = evaluate_against(
        job.task,
        before,
        on_emulator(job, models, late),
        worst_latency_s(seen),
        np.random.default_rng([job.request.seed, 95]),
        workers,
        told_of_episodes(share),
    )
    write_atomically(to / "loop.json", to_json(asdict(loop)))


def closed_loop_of(looped: Path) -> ClosedLoop:
    """The paired episodes, as their stage left them."""
    record: dict[str, Any] = read_document(looped / "loop.json")
    for name in ("ci95", "baseline_returns", "artifact_returns"):
        record[name] = tuple(record[name])
    return ClosedLoop(**record)


def provenance_of(job: Job, command: str) -> dict[str, dict[str, Any]]:
    """Where a run's result comes from, in sections of name → value."""
    return {
        "command": {"line": command, "seed": job.request.seed},
        "inputs": {key: job.identity[key] for key in ("weights_sha256", "target_sha256")},
        "versions": versions(),
        "machine": {"system": platform.system(), "processor": platform.machine()},
    }


def pruned_of(job: Job, chosen: Path, recovered: Path) -> dict[str, Any]:
    """What a summary says of the request and of what was cut and recovered, as arguments of ``summary``."""
    widths, tried, weighed = widths_of(chosen), chosen / "search.json", chosen / "coefficients.json"
    points = read_document(recovered / "recovery.json")
    return {
        "policy": job.policy.name,
        "target": job.target.name,
        "strategy": job.request.strategy,
        "seed": job.request.seed,
        "budget": job.budget,
        "baseline_policy_parameters": sum(job.graph.parameter_counts(job.graph.full).values()),
        "policy_parameters": sum(job.graph.parameter_counts(widths).values()),
        "widths": [GroupWidth(g.name, g.components, g.width, widths[g.name]) for g in job.graph.groups],
        "recovery": [RecoveryPoint(**point) for point in points],
        "search": read_document(tried) if tried.is_file() else None,
        "coefficients": read_document(weighed) if weighed.is_file() else None,
    }


def reported(summarised: Mapping[str, Any], figures: Path) -> dict[str, Path]:
    """Writes ``report.html`` beside the stages: it, and the figures it was drawn from, as artifacts."""
    report = figures.parent / "report.html"
    write_atomically(report, render_html(summarised, load_figures(figures)).encode())
    return {"report.html": report, **{name: figures / name for name in KEPT if (figures / name).is_file()}}


def publish(
    job: Job, price: Price, folder: RunFolder, made: Made, command: str, wall_s: float
) -> Mapping[str, Any]:
    """Judges, writes the report, moves the artifacts up and finishes the run. Gives the summary."""
    widths = widths_of(made.widths)
    measurement = measurement_of(made.device)
    parity = Parity(**read_document(made.device / "parity.json"))
    loop = closed_loop_of(made.loop)
    provenance = provenance_of(job, command)
    each = made.device / "parts.json"
    parities = read_document(each) if each.is_file() else {}
    late = late_periods(measurement.parts, job.parts, job.task.control_hz)

    def summarise(artifacts: list[dict[str, Any]]) -> dict[str, Any]:
        return summary(
            **pruned_of(job, made.widths, made.policy),
            parts=part_records(job.parts, price(widths), measurement, parities, late),
            baseline=price({}),
            predicted=price(widths),
            measured=measurement,
            parity=parity,
            closed_loop=loop,
            verdict=judge(
                price(widths), measurement, job.budget, parity, loop, control_period_s=1 / job.task.control_hz
            ),
            artifacts=artifacts,
            wall_s=wall_s,
            provenance=provenance,
        )

    artifacts = {
        **reported(summarise([]), made.figures),
        "widths.json": made.widths / "widths.json",
        "kept.json": made.policy / "kept.json",
        "policy.safetensors": made.policy / "policy.safetensors",
    }
    for stem in stems(job.parts).values():
        for name in (f"{stem}.float32.tflite", f"{stem}.int8.tflite", golden_file(stem)):
            artifacts[name] = made.export / name
    if len(job.parts) > 1:
        written = made.loop.parent / PARTS
        write_atomically(written, parts_json(job.parts))
        artifacts[PARTS] = written
    artifacts |= {
        f"c/{p.relative_to(made.export / 'c')}": p
        for p in sorted((made.export / "c").rglob("*"))
        if p.is_file()
    }
    folder.publish(artifacts, provenance, summarise)
    return read_document(folder.path / "summary.json")
