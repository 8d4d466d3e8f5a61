"""World models of TD-MPC2 (Hansen, Su and Wang 2024, arXiv 2310.16828), as its published code saves them.

``_encoder``, ``_dynamics``, ``_reward``, ``_pi`` and the ensemble ``_Qs`` around one latent of simplices, which couples
them; hidden layers are Linear → LayerNorm → Mish. Names as in that code's ``common/world_model.py`` and
``common/layers.py``; the parameters of the ensemble are stacked along a first axis there, and are modules here. Target
and detached copies of the ensemble are left out.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from secateur.adapters.archive import State, read_checkpoint, read_file, refuse_rest, state_of, under
from secateur.adapters.layers import fill
from secateur.errors import SecateurError
from secateur.policy.planning import PlannerSettings, Planning
from secateur.policy.policy import Component, Entry, Policy

_NETWORKS = ("_encoder.", "_dynamics.", "_reward.", "_pi.", "_Qs.")
_OTHERS = ("_task_emb.", "_action_masks", "_target_Qs", "_detach_Qs", "log_std_", "_termination.")
_OLD_NAMES = ("weight", "bias", "ln.weight", "ln.bias")
"""What the ensemble's parameters 0, 1, 2, 3, 4, … are, in files that number them."""

PLANNER = PlannerSettings(
    horizon=3, samples=488, policy_samples=24, elites=64, iterations=6, start_std=2.0, discount=0.99
)
"""As published, for one robot."""


class SimNorm(nn.Module):
    """Softmax within simplices of a few channels: ``[batch, n]`` → the same shape."""

    def __init__(self, simplex: int) -> None:
        super().__init__()
        self.simplex = simplex

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A row of n / simplex distributions."""
        return torch.softmax(x.view(x.shape[0], -1, self.simplex), -1).view(x.shape[0], -1)


class NormedLinear(nn.Linear):
    """Linear → LayerNorm → activation."""

    def __init__(self, inputs: int, outputs: int, activation: nn.Module) -> None:
        super().__init__(inputs, outputs)
        self.ln, self.act = nn.LayerNorm(outputs), activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, inputs]`` → ``[batch, outputs]``."""
        return self.act(self.ln(super().forward(x)))


class TwoHot(nn.Module):
    """The number that logits over bins stand for: their mean, brought back from the symmetric logarithm."""

    def __init__(self, bins: int, low: float, high: float) -> None:
        super().__init__()
        self.bins = torch.linspace(low, high, bins)  # no buffer: bins are no channels that could go

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """``[batch, bins]`` → ``[batch, 1]``."""
        x = (torch.softmax(logits, -1) * self.bins).sum(-1, keepdim=True)
        return torch.exp(torch.relu(x)) - torch.exp(torch.relu(-x))


class WorldModel(nn.Module):
    """The five networks, for one task."""

    def __init__(
        self, parts: Mapping[str, nn.Module], values: Sequence[nn.Module], number: nn.Module
    ) -> None:
        """Puts the networks together.

        Args:
            parts: ``encoder``, ``dynamics``, ``reward``, ``policy``.
            values: the ensemble.
            number: what turns outputs of reward and value into a number.
        """
        super().__init__()
        self.encoder, self.dynamics = parts["encoder"], parts["dynamics"]
        self.reward, self.policy = parts["reward"], parts["policy"]
        self.values = nn.ModuleList(values)
        self.number = number
        self.task: nn.Parameter | None = None
        self.mask: torch.Tensor | None = None

    def forward(self, observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same as ``act``."""
        return self.act(observation)

    def act(self, observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """What runs on the robot: observation ``[batch, n]`` → mean ``action`` in (−1, 1)."""
        return {"action": self.action_of(self.encode(observation))}

    def encode(self, observation: torch.Tensor) -> torch.Tensor:
        """Observation → latent ``[batch, latent]``."""
        return self.encoder(self._for_task(observation))

    def next(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Latent and action → the latent one control period later."""
        return self.dynamics(torch.cat([self._for_task(latent), action], -1))

    def reward_of(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Latent and action → the reward of that step ``[batch, 1]``."""
        return self.number(self.reward(torch.cat([self._for_task(latent), action], -1)))

    def value_of(self, latent: torch.Tensor, action: torch.Tensor) -> dict[str, torch.Tensor]:
        """Latent and action → every member's estimate of the return, ``q0``, ``q1``, …: ``[batch, 1]``."""
        both = torch.cat([self._for_task(latent), action], -1)
        return {f"q{n}": self.number(value(both)) for n, value in enumerate(self.values)}

    def action_of(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent → the policy's mean action."""
        mean = torch.tanh(self.policy(self._for_task(latent)))
        return mean if self.mask is None else mean * self.mask

    def _for_task(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.task is None else torch.cat([x, self.task.expand(x.shape[0], -1)], -1)


def load_world_model(
    path: str | Path,
    *,
    simplex: int = 8,
    bounds: tuple[float, float] = (-10.0, 10.0),
    task: int | None = None,
    planner: PlannerSettings = PLANNER,
    name: str = "tdmpc2",
) -> Policy:
    """A world model that reads state observations: encoder and policy are deployed, the rest foresees.

    Args:
        path: what ``agent.save`` wrote.
        simplex: channels of one simplex of the latent (``simnorm_dim``).
        bounds: of the bins of reward and value (``vmin``, ``vmax``).
        task: number of the task, of a model of several; its embedding becomes a component.
        planner: how much is planned, where the planner moves the robot.
        name: of the policy.

    Raises:
        SecateurError: not such a file, camera observations, or a task that it does not have.
    """
    path = Path(path)
    found = read_checkpoint(read_file(path), path)
    if isinstance(found, Mapping) and isinstance(found.get("model"), Mapping):
        found = found["model"]
    state = state_of(found, path)
    refuse_rest(state, (*_NETWORKS, *_OTHERS), path)
    if any(key.startswith("_encoder.rgb.") for key in state):
        raise SecateurError(
            "the world model reads a state observation", f"{path} reads a camera", "Use secateur init for it."
        )
    ensemble = _named(under(state, "_Qs.params."))
    if not ensemble:
        raise SecateurError(
            "a world model has an ensemble _Qs", f"{path} has none", "Save model.state_dict()."
        )
    members = {tuple(t.shape[:1]) for t in ensemble.values()}
    if len(members) != 1 or () in members:
        raise SecateurError(
            "parameters of the ensemble have one row a member",
            f"{path}: " + ", ".join(f"{key} is {list(t.shape)}" for key, t in ensemble.items()),
            "Save it whole.",
        )
    pi = under(state, "_pi.")
    parts = {
        "encoder": _network(under(state, "_encoder.state."), "the encoder", SimNorm(simplex)),
        "dynamics": _network(under(state, "_dynamics."), "the dynamics", SimNorm(simplex)),
        "reward": _network(under(state, "_reward."), "the reward", None),
        "policy": _network(_means(pi), "the policy", None),
    }
    values = [
        _network({key: t[n] for key, t in ensemble.items()}, f"_Qs, member {n}", None)
        for n in range(len(next(iter(ensemble.values()))))
    ]
    bins = len(list(parts["reward"].parameters())[-1])
    module = WorldModel(parts, values, TwoHot(bins, *bounds) if bins > 1 else nn.Identity())
    embedding = _set_task(module, state, task, path)
    observation = torch.zeros(1, _inputs(parts["encoder"]) - embedding)
    return _describe(name, module.eval(), observation, simplex, planner)


def _describe(
    name: str, module: WorldModel, observation: torch.Tensor, simplex: int, planner: PlannerSettings
) -> Policy:
    try:
        with torch.no_grad():
            latent = module.encode(observation)
            action = module.action_of(latent)
            module.next(latent, action), module.reward_of(latent, action), module.value_of(latent, action)
    except RuntimeError as error:
        raise SecateurError(
            "networks of a world model fit each other and the simplices",
            f"{name}, simplices of {simplex}: {' '.join(str(error).split())}",
            "Give simplex= and task= as it was trained.",
        ) from error
    both = {"latent": latent, "action": action}
    foreseen = {"latent": ("encode", "next"), "action": ("act",)}
    names = ("encoder", "dynamics", "reward", "policy", "values")
    components = [Component(part, (part,)) for part in names]
    if module.task is not None:
        components.append(Component("task", ("task",)))
    return Policy(
        name=name,
        module=module,
        components=tuple(components),
        entries=(
            Entry("act", WorldModel.act, {"observation": observation}),
            Entry("encode", WorldModel.encode, {"observation": observation}),
            Entry("next", WorldModel.next, both, feeds=foreseen),
            Entry("reward", WorldModel.reward_of, both, feeds=foreseen),
            Entry("value", WorldModel.value_of, both, feeds=foreseen),
            Entry("choose", WorldModel.action_of, {"latent": latent}, feeds={"latent": ("encode", "next")}),
        ),
        planning=Planning(settings=planner),
    )


def _set_task(module: WorldModel, state: State, task: int | None, path: Path) -> int:
    """Gives the module the embedding of one task; gives its width, 0 without one."""
    table = state.get("_task_emb.weight")
    if table is not None:
        masks = state.get("_action_masks", table)
        if not (table.dim() == masks.dim() == 2 and len(table) == len(masks)):
            raise SecateurError(
                "_task_emb.weight and _action_masks have a row a task",
                f"{path}: they are {list(table.shape)} and {list(masks.shape)}",
                "Save it whole.",
            )
    if (table is None) != (task is None) or (table is not None and not 0 <= int(task or 0) < len(table)):
        has = "no tasks" if table is None else f"tasks 0 to {len(table) - 1}"
        raise SecateurError("task= is one of the model's", f"{path} has {has}, got {task}", "Correct task=.")
    if table is None or task is None:
        return 0
    row = table[task : task + 1]
    module.task = nn.Parameter(row / row.norm().clamp(min=1.0))  # the table is looked up with max_norm=1
    if "_action_masks" in state:
        module.mask = state["_action_masks"][task : task + 1]
    return row.shape[1]


def _named(ensemble: State) -> State:
    """Stacked parameters as ``0.weight``, ``0.ln.bias``, …, also where a file numbers them."""
    if not all(re.fullmatch(r"[0-9]{1,4}", key) for key in ensemble):
        return ensemble
    return {f"{int(key) // 4}.{_OLD_NAMES[int(key) % 4]}": t for key, t in ensemble.items()}


def _means(pi: State) -> State:
    """The policy's layers without the rows that give the deviation, which is for exploring."""
    last = max((int(key.split(".")[0]) for key in pi if re.match(r"\d+\.", key)), default=0)
    halved = f"{last}.weight", f"{last}.bias"
    return {k: t[: t.shape[0] // 2] if k in halved and t.dim() else t for k, t in pi.items()}


def _network(state: State, what: str, last: nn.Module | None) -> nn.Sequential:
    """Normed layers, the last one with ``last`` for an activation, or plain where that is None."""
    layers: list[nn.Module] = []
    count = 1 + max((int(key.split(".")[0]) for key in state if re.match(r"\d{1,3}\.", key)), default=-1)
    for number in range(count):
        own = under(state, f"{number}.")
        if "weight" not in own or own["weight"].dim() != 2:
            raise SecateurError(
                f"{what} is made of linear layers", f"layer {number} is not", "Save it whole."
            )
        out, into = own["weight"].shape
        ends = number == count - 1
        if ends and last is None:
            layer: nn.Module = nn.Linear(into, out)
        else:
            layer = NormedLinear(into, out, last if ends and last is not None else nn.Mish())
        fill(layer, own, f"{what}, layer {number}")
        layers.append(layer)
    if not layers:
        raise SecateurError(f"the file holds {what}", "it has no layer of it", "Save model.state_dict().")
    return nn.Sequential(*layers)


def _inputs(network: nn.Module) -> int:
    return int(next(network.parameters()).shape[1])
