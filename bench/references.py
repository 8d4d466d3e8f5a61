"""A trained reference, prepared once for all comparisons: graph, scores, states, teacher, returns of the original."""

import json
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.choosing import PLANNER_TRIAL, TRIED_BY
from secateur.graph.comprehensive import magnitude_scores
from secateur.graph.groups import ComponentGraph, build_graph
from secateur.policy.load import load
from secateur.policy.parts import part_names
from secateur.policy.policy import Policy, Task, Tensors
from secateur.prune.allocate import Scores
from secateur.prune.importance import IMPORTANCE, Evidence
from secateur.prune.lessons import Lesson, Teacher
from secateur.prune.limits import Price
from secateur.prune.sensitivity import planned
from secateur.prune.states import visited_inputs
from secateur.prune.teachers import teacher_of
from secateur.prune.trials import TrialPlan, Trials
from secateur.records import Budget, ComponentCost, Cost, Limits, Range
from secateur.runfolder import to_json, write_atomically
from secateur.shared import code_sha256
from secateur.simulate.controller import torch_controller
from secateur.simulate.planner import policy_controller
from secateur.simulate.rollout import rollouts
from secateur.sweep.one import limited

SCORED_STATES, LESSON_STATES = 2048, 4096
TRIALS = {"act": TrialPlan(steps=200, episodes=8), "plan": PLANNER_TRIAL}
"""By mode."""


ENUMERATED_S = 120
"""Torch-pruning lists the groups of a GRU that is written out by ways through it, of which there is no end of."""


@dataclass(eq=False)
class Reference:
    """One reference in one mode: ``act`` (its deployed entry) or ``plan`` (its planner)."""

    name: str
    seed: int
    mode: str
    policy: Policy
    task: Task
    graph: ComponentGraph
    visited: Tensors
    teacher: Teacher
    lesson: Lesson
    trials: Trials
    folder: Path
    _scores: dict[str, Scores]

    def scores(self, importance: str) -> Scores:
        """Scores by a criterion; ``torch-pruning`` is that library's own magnitude importance, as it comes."""
        if importance not in self._scores:
            if importance == "torch-pruning":
                with limited(ENUMERATED_S, self.folder / ".torch-pruning"):
                    self._scores[importance] = magnitude_scores(self.policy, self.graph)
            else:
                self._scores[importance] = self.scored(importance, self.policy, self.graph)
        return self._scores[importance]

    def scored(self, importance: str, policy: Policy, graph: ComponentGraph) -> Scores:
        """Scores of a policy that is cut already, by the same evidence."""
        generator = torch.Generator().manual_seed(self.seed)
        some = {name: rows[:SCORED_STATES] for name, rows in self.visited.items()}
        return IMPORTANCE[importance](policy, graph, Evidence(some, generator, self.task))

    def counted(self, match: str) -> tuple[str, ...]:
        """Components whose parameters a budget counts: all (``total``) or those of the deployed policy's parts."""
        if match == "total" or self.mode == "plan":
            return self.graph.components
        parts = part_names(self.policy)
        used = {c.weight for c in self.graph.trace.contractions if c.entry in parts}
        return tuple(c for c in self.graph.components if c in {self.graph.component_of[w] for w in used})

    def parameters(self, widths: dict[str, int], match: str) -> int:
        """Parameters at some widths, counted as ``match`` says."""
        counts = self.graph.parameter_counts({**self.graph.full, **widths})
        return sum(counts[name] for name in self.counted(match))

    def price(self, match: str) -> Price:
        """A price whose flash is parameters: int8 weights take a byte each."""
        counted = self.counted(match)

        def price(widths: Any) -> Cost:
            counts = self.graph.parameter_counts({**self.graph.full, **widths})
            parts = {n: ComponentCost(counts[n], counts[n], counts[n], 0, 0, Range(0, 0)) for n in counted}
            total = sum(part.parameters for part in parts.values())
            return Cost(total, total, total, 0, 0, 0, 0, 0, Range(0, 0), parts)

        return price

    def budget(self, share: float, match: str) -> Budget:
        """``share`` of the parameters that ``match`` counts."""
        return Budget(Limits(flash_bytes=int(share * self.parameters({}, match))))

    def baseline(self, seeds: Sequence[int]) -> list[float]:
        """Returns of the original, kept on disk: a whole planner takes its time."""
        path = self.folder / f"{self.name}-{self.seed}-{self.mode}-returns.json"
        known = json.loads(path.read_bytes()) if path.is_file() else {}
        missing = [seed for seed in seeds if str(seed) not in known]
        if missing:
            episodes = rollouts(self.task, policy_controller(self.policy, self.task), missing)
            known |= {str(seed): episode.return_ for seed, episode in zip(missing, episodes)}
            write_atomically(path, to_json(known))
        return [known[str(seed)] for seed in seeds]

    def keep_trials(self) -> None:
        """Writes the trials so far."""
        write_atomically(self._trials_path, to_json(self.trials.records | {"made_by": _makers(self.mode)}))

    @property
    def _trials_path(self) -> Path:
        return self.folder / f"{self.name}-{self.seed}-{self.mode}-trials.json"


def prepare(name: str, seed: int, mode: str, folder: Path) -> Reference:
    """Loads the reference of a training seed and rolls it out.

    Args:
        name: of a shipped policy; where it has more references than 0, ``policy(seed)`` gives them.
        seed: of training.
        mode: ``act`` or ``plan``.
        folder: for what is kept between runs.
    """
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    loaded = load(name)
    task = loaded.task
    assert task is not None
    policy: Policy = loaded.policy if seed == 0 else sys.modules[task.to_inputs.__module__].policy(seed)
    graph = build_graph(policy)
    seeds = [int(s) for s in np.random.SeedSequence([seed, 1]).generate_state(32)]
    # States along the way of `act` first: the planner's weights are measured there.
    visited = visited_inputs(task, rollouts(task, torch_controller(policy, task), seeds), policy)
    if mode == "plan":
        policy = planned(policy, visited, seed)
        episodes = rollouts(task, policy_controller(policy, task), seeds[:8])
        visited = _shuffled(visited_inputs(task, episodes), visited, seed)
    else:
        visited = _shuffled(visited, visited, seed)
    teacher = teacher_of(policy, graph, seed)
    lesson = teacher.lesson({name: rows[:LESSON_STATES] for name, rows in visited.items()})
    reference = Reference(
        name=name,
        seed=seed,
        mode=mode,
        policy=policy,
        task=task,
        graph=graph,
        visited=visited,
        teacher=teacher,
        lesson=lesson,
        trials=None,  # type: ignore[arg-type]
        folder=folder,
        _scores={},
    )
    known = json.loads(reference._trials_path.read_bytes()) if reference._trials_path.is_file() else {}
    known = known if known.get("made_by") == _makers(mode) else {}  # of other code, or another plan
    reference.trials = Trials(teacher, lesson, reference.scores("taylor"), task, seed, TRIALS[mode], known)
    return reference


def _makers(mode: str) -> dict[str, Any]:
    """What trials of a reference hang on beside the reference."""
    return {"code_sha256": code_sha256(*TRIED_BY), "plan": asdict(TRIALS[mode])}


def _shuffled(first: Tensors, second: Tensors, seed: int) -> dict[str, torch.Tensor]:
    """Half of the rows of each, in one random order."""
    generator = torch.Generator().manual_seed(seed)
    picked = {}
    for index, part in enumerate((first, second)):
        count = len(next(iter(part.values())))
        order = torch.randperm(count, generator=generator)[:LESSON_STATES]
        picked[index] = {name: rows[order] for name, rows in part.items()}
    joined = {name: torch.cat([picked[0][name], picked[1][name]]) for name in first}
    order = torch.randperm(len(next(iter(joined.values()))), generator=generator)
    return {name: rows[order] for name, rows in joined.items()}


def random_like(reference: Reference) -> Scores:
    """Scores by chance."""
    generator = torch.Generator().manual_seed(1000 + reference.seed)
    return {g.name: torch.rand(g.width, generator=generator) for g in reference.graph.groups}


def untrained(policy: Policy, seed: int) -> Policy:
    """The same architecture with fresh weights."""
    torch.manual_seed(seed)
    module = deepcopy(policy.module)
    module.apply(lambda part: getattr(part, "reset_parameters", lambda: None)())
    return replace(policy, module=module)
