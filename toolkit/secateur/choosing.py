"""The stage that scores channels and chooses widths, by trial where the strategy measures."""

import fcntl
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from secateur.graph.groups import ComponentGraph
from secateur.job import Job
from secateur.pipeline import Share
from secateur.policy.parts import sees_pictures
from secateur.policy.policy import Policy
from secateur.policy.unroll import fed_back
from secateur.prune.allocate import Scores
from secateur.prune.importance import IMPORTANCE, Evidence
from secateur.prune.lessons import Lesson, Teacher
from secateur.prune.limits import Price
from secateur.prune.search import search
from secateur.prune.states import digest, with_states
from secateur.prune.strategies import STRATEGIES
from secateur.prune.teachers import teacher_of
from secateur.prune.trials import Trial, TrialPlan, Trials
from secateur.prune.weighing import COEFFICIENTS, Ranking
from secateur.runfolder import cache_folder, read_document, to_json, write_atomically
from secateur.shared import code_sha256

SCORED_STATES = 2048
TRIAL = TrialPlan()
"""How candidates for widths are tried out."""
PLANNER_TRIAL = TrialPlan(steps=300, episodes=8, final_rounds=8)
"""The same for a planner: a step of recovery and a control step take ten times as long, and short trials say less."""
RECURRENT_TRIAL = TrialPlan(steps=100, episodes=8)
"""The same for a recurrent policy, whose steps of recovery walk through the calls of a window one after the other."""
PICTURE_TRIAL = TrialPlan(steps=100, episodes=8)
"""The same for a policy that sees by a camera: a step of recovery takes thirty times as long as one of a few layers."""
TRIED_BY = ("graph", "policy", "prune", "simulate")
"""Folders of the code that trials run through."""
TYPICAL_TRIALS = 40
"""Of a search; what its progress is shown by."""


def visited_states(original: Path) -> dict[str, torch.Tensor]:
    """The states that the original visited, as its stage left them: name → ``[states, ...]``."""
    with np.load(original / "visited.npz", allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def lengths_of_original(original: Path) -> tuple[int, ...]:
    """Steps of each of the original's episodes, in the order of its states; none where they are in no order."""
    path = original / "lengths.json"
    return tuple(read_document(path)) if path.is_file() else ()


@dataclass(frozen=True, eq=False)
class Original:
    """What the original did and knows: each worked out once, however many stages and budgets ask.

    Attributes:
        job: whose policy it is.
        folder: of the stage that rolled it out.
    """

    job: Job
    folder: Path

    @cached_property
    def visited(self) -> dict[str, torch.Tensor]:
        """The states it came by, name → ``[states, ...]``."""
        return visited_states(self.folder)

    @cached_property
    def teacher(self) -> Teacher:
        """It, as a teacher."""
        return teacher_of(self.job.policy, self.job.graph, self.job.request.seed)

    @cached_property
    def lesson(self) -> Lesson:
        """Its answers at all of the states."""
        return self.teacher.lesson(self.visited, lengths_of_original(self.folder))


def score(job: Job, original: Original, to: Path) -> None:
    """Writes ``all.safetensors``: the importance of every channel of every group of the original."""
    scores = scores_of(job, original)(job.policy, job.graph)
    save_file({name: score.contiguous() for name, score in scores.items()}, to / "all.safetensors")


def choose_widths(
    job: Job, price: Price, original: Original, scored: Path | None, to: Path, share: Share
) -> None:
    """Writes ``widths.json`` and ``scores.safetensors``; ``scored`` is where ``score`` wrote, if it did.

    Where candidates were tried ``search.json`` as well, and where groups were weighed ``coefficients.json``.
    """
    scores = (
        scores_of(job, original)(job.policy, job.graph)
        if scored is None
        else load_file(scored / "all.safetensors")
    )
    ranked = {name: scores[name] for name in job.cuttable}
    strategy = STRATEGIES[job.request.strategy]
    if strategy.measures:
        trials = _trials(job, original, ranked, share)
        found = search(job.graph, ranked, price, job.budget, trials)
        widths = found.widths
        tried = [_tried(trial, price) for trial in trials.asked]
        write_atomically(to / "search.json", to_json(found.plain() | {"tried": tried}))
    elif (weighed := strategy.weighed) is not None:

        def at(coefficients: Mapping[str, float]) -> dict[str, int]:
            return weighed(job.graph, ranked, price, job.budget, coefficients)

        trials = _trials(job, original, ranked, share)
        ranking = Ranking(job.policy, job.graph, ranked, original.visited, at, trials)
        coefficients = COEFFICIENTS[job.request.coefficients](ranking)
        widths = at(coefficients)
        if coefficients:
            write_atomically(to / "coefficients.json", to_json(coefficients))
    else:
        widths = strategy.choose(job.graph, ranked, price, job.budget)
    write_atomically(to / "widths.json", to_json(widths))
    save_file({name: score.float().contiguous() for name, score in ranked.items()}, to / "scores.safetensors")


def _tried(trial: Trial, price: Price) -> dict[str, Any]:
    """A trial beside what its widths are predicted to cost."""
    cost = price(trial.widths)
    return {
        "error": trial.error,
        "kept": trial.kept,
        "rounds": trial.rounds,
        "parameters": cost.parameters,
        "flash_bytes": cost.flash_bytes,
        "ram_bytes": cost.ram_bytes,
        "latency_s": cost.latency_s.high,
    }


def _trials(job: Job, original: Original, scores: Scores, share: Share) -> Trials:
    """Trials of the policy, those of earlier runs among them; every new one is kept, and shown."""
    path = _trials_path(job, original.visited, scores)

    def tell(trial: Trial) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            trials.learn(_known(path) or {})  # another process may be trying widths of the same policy
            write_atomically(path, to_json(trials.records))
        kept = "" if trial.kept is None else f", {trial.kept:.0%} of the return"
        share(len(trials.asked) / TYPICAL_TRIALS, f"trial {len(trials.asked)}: error {trial.error:.3f}{kept}")

    seed = job.request.seed
    trials = Trials(original.teacher, original.lesson, scores, job.task, seed, _plan(job), _known(path), tell)
    return trials


def scores_of(job: Job, original: Original) -> Callable[[Policy, ComponentGraph], Scores]:
    """The criterion, on a sample of the visited states that is the same at every call.

    A policy that was cut is scored on the states that it has itself on the original's way.
    """

    def scores(policy: Policy, graph: ComponentGraph) -> Scores:
        visited = original.visited
        if policy is not job.policy:
            visited = with_states(policy, visited, lengths_of_original(original.folder))
        generator = torch.Generator().manual_seed(job.request.seed)
        rows = torch.randperm(len(next(iter(visited.values()))), generator=generator)[:SCORED_STATES]
        sample = {name: array[rows] for name, array in visited.items()}
        return IMPORTANCE[job.request.importance](policy, graph, Evidence(sample, generator, job.task))

    return scores


def _plan(job: Job) -> TrialPlan:
    if job.policy.plans:
        return PLANNER_TRIAL
    if sees_pictures(job.policy):
        return PICTURE_TRIAL
    return RECURRENT_TRIAL if fed_back(job.policy, job.policy.entry()) else TRIAL


def _trials_path(job: Job, visited: Mapping[str, torch.Tensor], scores: Scores) -> Path:
    """Where trials of this policy are kept from run to run: they depend on neither board nor budget.

    On what they do depend: policy and task as they were named, their code, weights and entries; the states that were
    visited and the scores, which tell of everything the task loads; the toolkit's own code; the seed.
    """
    record = job.origin | {
        "visited": digest(visited),
        "scores": digest(scores),
        "plan": asdict(_plan(job)),
        "seed": job.request.seed,
        "toolkit": code_sha256(*TRIED_BY),
    }
    return cache_folder() / "trials" / f"{sha256(to_json(record)).hexdigest()}.json"


def _known(path: Path) -> Mapping[str, Any] | None:
    """Earlier trials; none where there are none, or where the file is not what was written there."""
    try:
        known = read_document(path)
        [Trial(**record) for record in known["trials"]]
        return known
    except (OSError, ValueError, KeyError, TypeError):
        return None
