"""The story of ``secateur verify``.

run or policy → original and artifact → by how much the artifact is late → how many pairs it takes
      → pairs of episodes until they say enough → stress → where it differs → verdict → one document
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from secateur.artifact import is_run
from secateur.deploy import SILENT
from secateur.device.devices import SERIAL
from secateur.errors import SecateurError, UsageError
from secateur.openers import Bundled
from secateur.pipeline import Progress
from secateur.proof.attribution import attribute
from secateur.proof.latency import Lateness, lateness_of
from secateur.proof.subject import Subject, open_subject
from secateur.proof.verdict import verdict_of
from secateur.runfolder import to_json, write_atomically
from secateur.simulate.displaced import coordinates
from secateur.simulate.disturb import KINDS
from secateur.simulate.parallel import (
    CALM,
    Conditions,
    Opener,
    close_all,
    episodes,
    largest_peak_bytes,
    opened,
    own_peak_bytes,
    paired,
)
from secateur.simulate.rollout import Trajectory
from secateur.verify import sequential
from secateur.verify.deviation import compare, replayed
from secateur.verify.profile import row, spread_of, standard_set
from secateur.verify.region import SEEDS, STARTS, explore, reach_of, recovered, summarise
from secateur.verify.scores import Score, bounds_of, improvement, retained, returns_of, score, share_of, side
from secateur.verify.statistics import require_judgeable
from secateur.workers import Workers, at_work, processes_here

SCHEMA = 1
FILE = "verify.json"
STANDARD = "standard"


@dataclass(frozen=True)
class VerifyRequest:
    """What is asked of ``verify``.

    Attributes:
        source: folder of a finished run, or a policy.
        device: that runs the artifact.
        target: board of a policy; a run has its own, which is named again where it is not shipped.
        episodes: pairs at most; None for as many as the power needs, up to ``sequential.MOST``.
        delay: ``measured``, ``predicted``, ``none`` or a time.
        max_return_drop: largest acceptable loss of return, a share.
        stress: ``standard``, kinds of ``simulate.disturb.KINDS`` with commas, or None for none.
        stress_pairs: pairs of episodes of each disturbance.
        attribution: whether to find out which component costs the return.
        deviation: whether to find out where actions differ.
        region: whether to map the region of attraction.
        processes: None for as many as this machine has cores for; for one where the device is in one hand at a time.
        cluster: address of a Ray cluster in their place.
        seed: of everything random.
        policy: that a run was made from, named again where it is not shipped; None for a shipped one.
    """

    source: str
    device: str
    target: str | None = None
    episodes: int | None = None
    delay: str = "predicted"
    max_return_drop: float = 0.05
    stress: str | None = None
    stress_pairs: int = 24
    attribution: bool = False
    deviation: bool = True
    region: bool = False
    processes: int | None = None
    cluster: str | None = None
    seed: int = 0
    policy: str | None = None


def verify(
    request: VerifyRequest, output: Path | None, command: str, progress: Progress = SILENT
) -> dict[str, Any]:
    """Proves, or does not, and gives the document; writes it to ``output`` or, of a run, beside it.

    Raises:
        SecateurError: a request that cannot be carried out, or a file that is there already.
    """
    kinds = _kinds(request.stress)
    run = Path(request.source) if is_run(Path(request.source)) else None
    where = output or (run / FILE if run else None)
    if where is not None and (where.exists() or where.is_symlink()):
        raise SecateurError(
            "nothing is written over an earlier result", f"{where} is there already", "Choose another -o."
        )
    started = time.perf_counter()
    near = None if request.cluster is None else _near(where)  # what is made on the way is seen by every node
    seen = [] if run is None else [(run / "summary.json").absolute()]
    usual = 1 if request.device.startswith(SERIAL) else processes_here()
    processes = request.processes or (None if request.cluster else usual)
    with (
        at_work(processes, request.cluster, near or Path(), *seen) as workers,
        tempfile.TemporaryDirectory(prefix=".secateur-" if near else "secateur-", dir=near) as folder,
    ):
        progress.stage("reading the run" if run else "converting the policy")
        try:
            subject = open_subject(
                request.source,
                request.device,
                request.target,
                request.seed,
                Path(folder),
                progress.share,
                request.policy,
            )
            proof = Proof(request, subject, lateness_of(subject, request.delay), progress, workers)
            parts = _parts(proof, kinds, Path(folder))
        finally:
            close_all()
    document = {
        "schema": SCHEMA,
        "command": command,
        "request": asdict(request),
        "policy": subject.policy.name,
        "target": subject.target,
        "device": subject.device,
        "ran_on": proof.ran_on,
        "control_hz": subject.task.control_hz,
        "verdict": verdict_of(proof, parts),
        "verification": parts,
        "processes": proof.processes,
        "peak_memory_bytes": {"main": own_peak_bytes(), "largest_process": largest_peak_bytes()},
        "wall_s": time.perf_counter() - started,
    }
    document = json.loads(to_json(document))
    if where is not None:
        where.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(where, to_json(document))
    return document


def _near(where: Path | None) -> Path:
    """The folder of the result, or this one."""
    near = Path.cwd() if where is None else where.absolute().parent
    near.mkdir(parents=True, exist_ok=True)
    return near


def _parts(proof: "Proof", kinds: Sequence[str], work: Path) -> dict[str, Any]:
    """Section → its data; None where it was not asked for."""
    request = proof.request
    return {
        "test": proof.test(),
        "stress": proof.stress(kinds) if kinds else None,
        "deviation": proof.deviation() if request.deviation else None,
        "attribution": proof.attribution(work) if request.attribution else None,
        "region": proof.region() if request.region else None,
    }


def _kinds(stress: str | None) -> tuple[str, ...]:
    if stress in (None, "", "none"):
        return ()
    if stress == STANDARD:
        return tuple(KINDS)
    names = tuple(name.strip() for name in str(stress).split(","))
    for name in names:
        if name not in KINDS:
            raise UsageError(
                "stress is the standard set or some of its kinds",
                f"got {name!r}",
                f"Choose {STANDARD}, or {', '.join(KINDS)}.",
            )
    return names


class Proof:
    """What is proven, under what, and who runs the episodes."""

    def __init__(
        self,
        request: VerifyRequest,
        subject: Subject,
        lateness: Lateness,
        progress: Progress,
        workers: Workers | None = None,
    ) -> None:
        self.request, self.subject, self.lateness, self.progress = request, subject, lateness, progress
        self.workers = workers
        self.processes = 1 if workers is None else workers.count
        if workers is not None and not subject.artifact.travels:
            progress.tell(f"{subject.device} is in one hand at a time: its episodes are run in this process")
        self.late = Conditions(lateness.delay)
        self.ran_on = (
            "LiteRT in Python on this machine"
            if isinstance(subject.artifact, Bundled)
            else f"{subject.device}, each call"
        )

    def seeds(self, purpose: str, count: int) -> list[int]:
        """Of episodes for one purpose."""
        tag = int.from_bytes(sha256(f"verify {purpose}".encode()).digest()[:4], "big")
        return [int(s) for s in np.random.SeedSequence([self.request.seed, tag]).generate_state(count)]

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers for one purpose."""
        tag = int.from_bytes(sha256(purpose.encode()).digest()[:4], "big")
        return np.random.default_rng([self.request.seed, tag])

    def told(self, before: int, total: int, what: str = "episodes") -> Callable[[int, int], None]:
        """Progress of a part of something."""
        return lambda done, _: self.progress.share(
            min(1.0, (before + done) / total), f"{before + done} of {total} {what}"
        )

    @cached_property
    def calm(self) -> tuple[Trajectory, ...]:
        """Some whole episodes of the original, undisturbed."""
        return tuple(episodes(self.subject.original, self.seeds("calm", 16), CALM, self.workers))

    def pairs(
        self, seeds: Sequence[int], under: Sequence[Conditions], progress: Callable[[int, int], None]
    ) -> list[tuple[list[Score], list[Score]]]:
        """For each condition original and artifact on the same seeds; the artifact is late."""
        sides: list[tuple[Opener, Conditions]] = []
        for conditions in under:
            late = replace(conditions, delay=self.lateness.delay)
            sides += [(self.subject.original, conditions), (self.subject.artifact, late)]
        found = list(zip(*paired(sides, seeds, self.workers, score, progress), strict=True))
        return [(list(one), list(two)) for one, two in zip(found[::2], found[1::2])]

    def test(self) -> dict[str, Any]:
        """Pairs until they say enough."""
        request, subject = self.request, self.subject
        self.progress.stage("working out how many pairs it takes")
        most = request.episodes or sequential.MOST
        seeds = self.seeds("test", most)
        first = min(sequential.PILOT, most)
        baseline = episodes(subject.original, seeds[:first], CALM, self.workers, score)
        require_judgeable(returns_of(baseline), np.random.default_rng(0))
        plan = sequential.plan(
            returns_of(baseline),
            request.max_return_drop,
            self.generator("plan"),
            most,
            *bounds_of(baseline, subject.task.return_range),
        )
        self.progress.stage(
            f"pairs of episodes: {plan.pairs} should do"
            if plan.pairs
            else f"pairs of episodes: {most} may not be enough"
        )
        artifact = episodes(
            subject.artifact, seeds[:first], self.late, self.workers, score, self.told(0, first)
        )
        looks: list[dict[str, Any]] = []
        while True:
            before, after = returns_of(baseline), returns_of(artifact)
            bounds = bounds_of([*baseline, *artifact], subject.task.return_range)
            evidence = sequential.weigh(before, after, request.max_return_drop, *bounds)
            looks.append(
                {
                    "pairs": len(baseline),
                    "outcome": evidence.outcome,
                    "retained_at_least": evidence.retained_at_least,
                    "retained_at_most": evidence.retained_at_most,
                }
            )
            if evidence.outcome != sequential.UNDECIDED or len(baseline) == most:
                break
            ahead = seeds[len(baseline) : len(baseline) + sequential.BATCH]
            ((one, two),) = self.pairs(ahead, [CALM], lambda *_: None)
            baseline, artifact = baseline + one, artifact + two
            self.told(0, plan.pairs or most, "pairs")(len(baseline), most)
        first_side, second_side = side(baseline), side(artifact)
        return {
            "outcome": evidence.outcome,
            "pairs": len(baseline),
            "max_return_drop": request.max_return_drop,
            "alpha": sequential.ALPHA,
            "power": sequential.POWER,
            "plan": asdict(plan),
            "looks": looks,
            "seeds": seeds[: len(baseline)],
            "baseline": first_side,
            "artifact": second_side,
            "retained": retained(before, after, self.generator("bootstrap")),
            "retained_iqm": share_of(first_side["return_iqm"], second_side["return_iqm"]),
            "retained_at_least": evidence.retained_at_least,
            "retained_at_most": evidence.retained_at_most,
            "improvement": improvement(before, after, self.generator("improvement")),
            "lowest_return": evidence.lowest_return,
            "lowest_is_known": evidence.lowest_is_known,
            "highest_return": evidence.highest_return,
            "highest_is_known": evidence.highest_is_known,
            "delay": self.lateness.to_data(subject.task),
        }

    def stress(self, kinds: Sequence[str]) -> dict[str, Any]:
        """The robustness profile."""
        self.progress.stage("disturbing both")
        with closing(self.subject.task.make_env()) as env:
            scale = spread_of(env, self.calm)
            chosen, left_out = standard_set(env, kinds, scale)
        calm = float(np.mean([t.return_ for t in self.calm]))
        seeds, generator = (
            self.seeds("stress", self.request.stress_pairs),
            self.generator("stress bootstrap"),
        )
        total = 2 * len(seeds) * len(chosen)
        each = self.pairs(seeds, [Conditions(0.0, (d,)) for d in chosen], self.told(0, total))
        rows = [
            row(disturbance, before, after, calm, self.request.max_return_drop, generator)
            for disturbance, (before, after) in zip(chosen, each)
        ]
        return {
            "pairs": len(seeds),
            "calm_return_mean": calm,
            "max_return_drop": self.request.max_return_drop,
            "scale": list(scale),
            "rows": rows,
            "left_out": left_out,
        }

    def deviation(self) -> dict[str, Any] | None:
        """Where actions differ; None where actions are no numbers."""
        self.progress.stage("comparing actions")
        subject = self.subject
        with closing(subject.task.make_env()) as env:
            space = env.action_space
        if not np.issubdtype(np.asarray(self.calm[0].actions).dtype, np.number):
            return None
        artifact: Any = episodes(subject.artifact, [t.seed for t in self.calm], self.late, self.workers)
        controller = opened(subject.artifact).controller
        answers = []
        for done, trajectory in enumerate(self.calm):
            self.progress.share(done / len(self.calm), f"{done} of {len(self.calm)} episodes")
            answers.append(replayed(controller, trajectory))
        return compare(self.calm, artifact, answers, space, subject.task.control_hz)

    def attribution(self, work: Path) -> dict[str, Any]:
        """Which component costs the return."""
        self.progress.stage("swapping components")
        return attribute(self, work)

    def region(self) -> dict[str, Any]:
        """From which starts either recovers: of the last joint that is no limb of its own, position and velocity."""
        self.progress.stage("starting elsewhere")
        subject = self.subject
        with closing(subject.task.make_env()) as env:
            joints = coordinates(env)
        if not joints:
            return {"left_out": "the environment is no MujocoEnv with a hinge or a slide"}
        joint = joints[min(2, len(joints) - 1)]
        (far, fast), seeds, total = reach_of(joint), self.seeds("region", SEEDS), 2 * STARTS * SEEDS
        calm = float(np.mean([t.return_ for t in self.calm]))
        done = 0

        def tried(places: Sequence[tuple[float, float]]) -> list[tuple[list[bool], list[bool]]]:
            nonlocal done
            starts = [
                Conditions(qpos=((joint.qpos, far * p),), qvel=((joint.qvel, fast * v),)) for p, v in places
            ]
            found = self.pairs(seeds, starts, self.told(done, total))
            done += 2 * len(places) * len(seeds)
            return [
                ([recovered(s, calm) for s in one], [recovered(s, calm) for s in two]) for one, two in found
            ]

        return {**summarise(explore(tried), joint), "left_out": None}
