"""What was asked for, loaded and checked: policy, task, board, graph, budget, and what identifies all of it."""

import platform
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from secateur import __version__
from secateur.errors import SecateurError, UsageError, refuse_options, require_known
from secateur.graph.comprehensive import matching_groups
from secateur.graph.groups import ComponentGraph
from secateur.pipeline import PruneRequest
from secateur.policy.load import load
from secateur.policy.parts import parts_of, require_one_rate
from secateur.policy.planning import PLAN
from secateur.policy.policy import Policy, Task
from secateur.prune.analyse import analyse
from secateur.prune.importance import IMPORTANCE
from secateur.prune.limits import total_limits
from secateur.prune.schedule import SCHEDULES
from secateur.prune.strategies import STRATEGIES
from secateur.prune.weighing import COEFFICIENTS
from secateur.records import ALONE, Budget, Limits, Part
from secateur.simulate.dry_run import acted_on, check_task
from secateur.target.computer import Computer
from secateur.target.planning import WEIGHT_BYTES
from secateur.target.target import Target, compiled_by, load_any, optimised

PACKAGES = (
    "torch",
    "litert-torch",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "tflite-micro",
    "mujoco",
    "gymnasium",
    "ziglang",
    "unicorn",
    "numpy",
)


@dataclass(frozen=True, eq=False)
class Job:
    """The request, loaded and checked; ``cuttable`` are the groups that its strategy may cut.

    ``parts`` are the entries that run on the target, in order; one where no other feeds the deployed entry.
    """

    request: PruneRequest
    policy: Policy
    task: Task
    target: Target | Computer
    graph: ComponentGraph
    budget: Budget
    identity: Mapping[str, Any]
    cuttable: tuple[str, ...]
    parts: tuple[Part, ...] = ALONE

    @property
    def board(self) -> Target:
        """The target, where it is a microcontroller.

        Raises:
            SecateurError: it is a computer.
        """
        if not isinstance(self.target, Target):
            raise SecateurError(
                "C is generated and emulated for microcontrollers",
                f"{self.target.name} runs .tflite files on {self.target.runtime}",
                "Take a microcontroller, or secateur prune without --pareto and --frontier.",
            )
        return self.target

    @property
    def dtype(self) -> str:
        """Of the result."""
        assert self.request.dtype is not None
        return self.request.dtype

    @property
    def computer(self) -> Computer:
        """The target, where it is a computer."""
        assert isinstance(self.target, Computer)
        return self.target

    @property
    def origin(self) -> dict[str, Any]:
        """What decides all that the original does: policy and task as they were named, their code, weights, entries."""
        policy = self.policy
        own = {key: self.identity[key] for key in ("weights_sha256", "code_sha256", "versions", "control_hz")}
        return own | {
            "policy": [self.request.policy, policy.name, policy.deployed, repr(policy.planning)],
            "entries": [
                [e.name, sorted(e.feeds.items()), policy.entry_weights.get(e.name)] for e in policy.entries
            ],
        }

    def seeds(self, purpose: str, count: int) -> list[int]:
        """Seeds of episodes for one purpose; different purposes share none but by chance of 2⁻³²."""
        tag = int.from_bytes(sha256(purpose.encode()).digest()[:4], "big")
        return [int(s) for s in np.random.SeedSequence([self.request.seed, tag]).generate_state(count)]


def _require_coefficients(request: PruneRequest) -> None:
    require_known("coefficients", request.coefficients, COEFFICIENTS)
    if request.coefficients != "none" and STRATEGIES[request.strategy].weighed is None:
        ranked = [name for name, strategy in STRATEGIES.items() if strategy.weighed is not None]
        raise UsageError(
            "coefficients weigh groups that are in one ranking",
            f"the {request.strategy} strategy has none: it measures what groups are worth, or treats all alike",
            f"Take --strategy {' or '.join(ranked)}, or leave --coefficients out.",
        )


def _require_entry(policy: Policy) -> None:
    if policy.plans:
        raise SecateurError(
            "what is pruned is an entry of the policy, or by --entry plan its planner on a computer",
            f"{policy.name} is deployed by planning",
            f"Set deployed to one of {', '.join(e.name for e in policy.entries)}, or add --entry {PLAN}.",
        )


def _computer(request: PruneRequest) -> Computer:
    """The target of a planner."""
    if request.entry != PLAN:
        raise UsageError(
            "the entry to prune for is the planner's, or left out for the deployed one",
            f"got {request.entry!r}",
            f"Write --entry {PLAN}.",
        )
    target = load_any(request.target)
    if not isinstance(target, Computer):
        raise SecateurError(
            "a planner runs on a computer",
            f"{target.name} is a microcontroller",
            "Take a computer, such as raspberry-pi-4b, or leave --entry out.",
        )
    return target


def _target(request: PruneRequest) -> Target | Computer:
    """The target of a deployed entry."""
    target = load_any(request.target)
    if isinstance(target, Computer):
        return target
    return compiled_by(optimised(target, request.optimise), request.toolchain)


def _dtype(request: PruneRequest, target: Target | Computer) -> str:
    """The dtype of the result; refuses options that would change nothing there."""
    if isinstance(target, Target):
        if request.dtype not in (None, "int8"):
            raise UsageError(
                "prune makes int8 for a board",
                f"got --dtype {request.dtype}",
                "Leave --dtype out; secateur export gives a policy as int16x8 or float32.",
            )
        return "int8"
    dtype = request.dtype or "float32"
    known = target.latency if request.entry is None else WEIGHT_BYTES
    require_known("dtype" if request.entry is None else "dtype of a planner", dtype, known)
    options = {"--optimise": request.optimise, "--toolchain": request.toolchain}
    refuse_options(options, f"{target.name} runs {target.runtime}")
    if request.fake_quantise and dtype != "int8":
        raise UsageError(
            "recovery has int8 in the loop where the result is int8",
            f"--fake-quantise with --dtype {dtype}",
            "Add --dtype int8, or leave --fake-quantise out.",
        )
    return dtype


def planning(policy: Policy) -> Policy:
    """The policy with its planner in charge."""
    if policy.planning is None:
        raise SecateurError(
            "a policy that is pruned for its planner declares one",
            f"{policy.name} has no planning",
            "Give Policy(planning=Planning(...)) in policy.py, or leave --entry out.",
        )
    return replace(policy, deployed=PLAN)


def _total(limits: Limits, target: Target | Computer) -> Limits:
    """The limits asked for and the target's own; a computer's disk is none."""
    if isinstance(target, Target):
        return total_limits(limits, target.network_flash_bytes, target.network_ram_bytes)
    ram = limits.ram_bytes if limits.ram_bytes is not None else target.network_ram_bytes
    return replace(limits, ram_bytes=ram)


def versions() -> dict[str, str]:
    """Of everything that decides a result."""
    own = {"secateur": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in PACKAGES}


def weights_hash(policy: Policy) -> str:
    """sha256 over the names and values of all weights and buffers, in hexadecimal."""
    weights = sha256()
    for name, tensor in sorted(policy.module.state_dict().items()):
        weights.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return weights.hexdigest()


def target_hash(target: Target | Computer) -> str:
    """sha256 over all that is known of a target, in hexadecimal."""
    return sha256(repr(target).encode()).hexdigest()


_GRAPHS: dict[Hashable, ComponentGraph] = {}
"""Graphs of policies that this process has analysed: they depend on no board, and nothing changes one."""


def _graph_of(policy: Policy, task: Task, key: tuple[str, ...]) -> ComponentGraph:
    if key not in _GRAPHS:
        check_task(policy, task)
        _GRAPHS[key] = analyse(policy, acted_on(policy, task))
    return _GRAPHS[key]


def prepare(request: PruneRequest) -> Job:
    """Loads policy, task and target, traces the graph, and fills the budget up with the board's own limits."""
    torch.set_num_threads(1)  # sums in another order would give other weights on another machine
    require_known("strategy", request.strategy, STRATEGIES)
    require_known("importance", request.importance, IMPORTANCE)
    _require_coefficients(request)
    require_known("schedule", request.schedule, SCHEDULES)
    target = _target(request) if request.entry is None else _computer(request)
    request = replace(request, dtype=_dtype(request, target))
    loaded = load(request.policy)
    if loaded.task is None:
        raise SecateurError(
            "prune needs a task", f"{request.policy} has no task()", "Add task() to its policy.py."
        )
    policy = loaded.policy if request.entry is None else planning(loaded.policy)
    for name in request.budget.components:
        if name not in {c.name for c in policy.components}:
            raise SecateurError(
                "a component's budget names a component",
                f"got {name!r}",
                f"{policy.name} has {', '.join(c.name for c in policy.components)}.",
            )
    total = _total(request.budget.total, target)
    identity = {
        **asdict(request),
        "weights_sha256": weights_hash(policy),
        "code_sha256": loaded.code_sha256,
        "control_hz": loaded.task.control_hz,
        "target_sha256": target_hash(target),
        "versions": versions(),
    }
    if request.entry is None:
        _require_entry(policy)
    require_one_rate(policy, loaded.task.control_hz)
    parts = parts_of(policy, loaded.task.control_hz)
    graph = _graph_of(
        policy,
        loaded.task,
        (loaded.code_sha256, identity["weights_sha256"], request.policy, policy.deployed),
    )
    comprehensive = STRATEGIES[request.strategy].comprehensive
    cuttable = matching_groups(policy, graph) if comprehensive else tuple(graph.full)
    if not cuttable:
        raise SecateurError(
            "there is a group to cut",
            f"{policy.name} has {len(graph.groups)} groups, of which the {request.strategy} strategy finds none",
            "See secateur inspect for what is left whole, and why.",
        )
    if len(parts) > 1:  # what is busy for longer than there is time keeps no rate
        asked = total.utilisation
        total = replace(total, utilisation=1.0 if asked is None else min(1.0, asked))
    budget = replace(request.budget, total=total)
    return Job(request, policy, loaded.task, target, graph, budget, identity, cuttable, parts)
