"""What moves the robot in an episode: observations in, actions out, for several episodes at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from secateur.errors import SecateurError
from secateur.policy.parts import parts_of
from secateur.policy.policy import Entry, Policy, Task
from secateur.policy.unroll import fed_back
from secateur.records import Part
from secateur.simulate.holding import Holding, Rows

LANES = 8
"""Episodes that advance side by side. Larger batches gain little on small networks and lose on convolutions
(one row of a 64×64 two-layer CNN: 0.08 ms at 8 rows, 0.16 ms at 32, on one core)."""


@runtime_checkable
class Controller(Protocol):
    """Maps observations to actions in several *lanes*; each lane is one episode under way.

    A controller with memory (a recurrent policy, a filter) keeps one state per lane. What happens in one lane
    never changes another: the action is a function of that lane's observations since its ``reset``, to the
    last bit, whichever other lanes are asked in the same call.
    """

    def reset(self, lanes: Sequence[int]) -> None:
        """Forgets the past of these lanes: a new episode starts in each."""
        ...

    def act(self, observations: Sequence[Any], lanes: Sequence[int]) -> Sequence[Any]:
        """One action for each observation; ``observations[i]`` was seen in ``lanes[i]``, no lane twice."""
        ...


ControllerFactory = Callable[[], Controller]
"""Makes a controller; what a worker process is given, because an emulator or a serial port is not copied."""


class FunctionController:
    """A controller without memory, from a function of one observation. Handy for experts and in tests.

    Args:
        function: observation → action.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def reset(self, lanes: Sequence[int]) -> None:
        """Nothing to forget."""

    def act(self, observations: Sequence[Any], lanes: Sequence[int]) -> list[Any]:
        """Applies the function to each observation."""
        return [self.function(observation) for observation in observations]


class TorchController:
    """The deployed entry of a policy in torch: without gradients, in evaluation mode, on one thread.

    Entries that feed it run at their own rates, and what they gave stands in between (``simulate.holding``).

    It holds the policy's module itself, not a copy, so it acts with the weights of the moment; the module's
    training mode and torch's number of threads are as before after every call.

    Args:
        policy: its deployed entry is called, with those that feed it.
        task: its ``to_inputs`` and ``to_action`` are used.
        batch: rows per call of an entry, at most.
    """

    def __init__(self, policy: Policy, task: Task, batch: int = LANES) -> None:
        self.module: nn.Module = policy.module
        self.entry = policy.entry()
        self.task = task
        self.states = fed_back(policy, self.entry)
        self._kept: dict[int, dict[str, np.ndarray]] = {}
        parts = parts_of(policy, task.control_hz)
        self._calls = {part.name: EntryCalls(policy.module, policy.entry(part.name), batch) for part in parts}
        self._holding = Holding(parts)

    @property
    def batch(self) -> int:
        """Rows per call of the deployed entry."""
        return self._calls[self.entry.name].batch

    def reset(self, lanes: Sequence[int]) -> None:
        """States of these lanes, if the entry has any, become zero; parts start anew."""
        self._holding.reset(lanes)
        for lane in lanes:
            self._kept[lane] = {
                name: np.zeros_like(self.entry.example_inputs[name][:1].numpy()) for name in self.states
            }

    def act(self, observations: Sequence[Any], lanes: Sequence[int]) -> list[Any]:
        """One action for each observation."""
        inputs = stack_inputs([self.task.to_inputs(observation) for observation in observations])
        outputs = self._holding.step({**inputs, **self.kept(lanes)}, lanes, self._run)
        if self.states:
            for row, lane in enumerate(lanes):
                self.keep(lane, outputs, row)
        return [
            self.task.to_action({name: rows[row : row + 1] for name, rows in outputs.items()})
            for row in range(len(observations))
        ]

    def _run(self, part: Part, inputs: Rows, lanes: Sequence[int]) -> dict[str, np.ndarray]:
        calls = self._calls[part.name]
        return calls(
            inputs if len(self._calls) == 1 else {name: inputs[name] for name in calls.entry.example_inputs}
        )

    def keep(self, lane: int, outputs: Mapping[str, np.ndarray], row: int = 0) -> None:
        """Takes a lane's states from a row of the entry's outputs."""
        for name, output in self.states.items():
            self._kept[lane][name] = outputs[output][row : row + 1]

    def kept(self, lanes: Sequence[int]) -> dict[str, np.ndarray]:
        """States of some lanes: input → ``[lanes, ...]``; empty where the entry has none."""
        return {name: np.concatenate([self._kept[lane][name] for lane in lanes]) for name in self.states}

    def infer(self, inputs: Rows, part: str | None = None) -> dict[str, np.ndarray]:
        """Calls the deployed entry, or another part.

        Args:
            inputs: name → array ``[n, ...]``.
            part: its name.

        Returns:
            Name → array ``[n, ...]``.
        """
        return self._calls[part or self.entry.name](inputs)


class EntryCalls:
    """Calls of one entry on any number of rows, each row's result the same to the last bit whatever the others are.

    A matrix product of eight rows differs in its last bits from eight products of one, and in a chaotic
    system that is another episode. Every call therefore has ``batch`` rows, filled up with copies of the
    last. Whether a row's result then depends on its place is up to the matrix library (it does for about one
    linear layer in eight), so it is tried out at the start: where it does, every call has one row.

    Args:
        module: of the policy.
        entry: that is called.
        batch: rows per call, at most.
    """

    def __init__(self, module: nn.Module, entry: Entry, batch: int) -> None:
        self.module, self.entry = module, entry
        self._parts = tuple(module.modules())
        self.batch = batch if self._places_agree(batch) else 1

    def __call__(self, inputs: Rows) -> dict[str, np.ndarray]:
        """Name → array ``[n, ...]``, of inputs likewise."""
        rows = len(next(iter(inputs.values())))
        pieces: list[dict[str, np.ndarray]] = []
        with acting(self.module, self._parts):
            for start in range(0, rows, self.batch):
                taken = inputs
                if rows != self.batch:
                    index = np.minimum(np.arange(start, start + self.batch), rows - 1)
                    taken = {name: array[index] for name, array in inputs.items()}
                outputs = self._call(taken)
                pieces.append({name: array[: rows - start] for name, array in outputs.items()})
        if len(pieces) == 1:
            return pieces[0]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _call(self, inputs: Rows) -> dict[str, np.ndarray]:
        # A clone, because torch aligns its memory and numpy does not: alignment too can change last bits.
        tensors = {name: torch.from_numpy(array).clone() for name, array in inputs.items()}
        return {name: tensor.numpy() for name, tensor in self.entry.run(self.module, tensors).items()}

    def _places_agree(self, batch: int) -> bool:
        """Whether equal rows in all places of a call give equal results, for some random rows."""
        generator = np.random.default_rng(0)
        with acting(self.module):
            for _ in range(4):
                inputs = {}
                for name, tensor in self.entry.example_inputs.items():
                    row = tensor[:1].numpy()
                    if tensor.is_floating_point():
                        row = generator.normal(size=row.shape).astype(row.dtype)
                    inputs[name] = np.repeat(row, batch, axis=0)
                try:
                    outputs = self._call(inputs)
                except RuntimeError:  # an entry written for one row; a real fault shows again with one
                    return False
                if any(len(rows) != batch or (rows != rows[:1]).any() for rows in outputs.values()):
                    return False
        return True


@contextmanager
def acting(module: nn.Module, parts: Sequence[nn.Module] | None = None) -> Iterator[None]:
    """Evaluation mode, no gradients, one thread; all as before afterwards.

    Args:
        module: that acts.
        parts: all its modules, where they are known.
    """
    training = [part for part in (module.modules() if parts is None else parts) if part.training]
    threads = torch.get_num_threads()
    try:
        if threads != 1:
            torch.set_num_threads(1)
        for part in training:
            part.training = False
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True
        if threads != 1:
            torch.set_num_threads(threads)


def torch_controller(policy: Policy, task: Task) -> TorchController:
    """The original (or pruned) policy as a controller, from its deployed entry."""
    return TorchController(policy, task)


def stack_inputs(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What ``Task.to_inputs`` gave for several observations, as one array ``[n, ...]`` per input.

    Raises:
        SecateurError: a leading axis other than 1.
    """
    for name, array in rows[0].items():
        if array.ndim == 0 or array.shape[0] != 1:
            raise SecateurError(
                "Task.to_inputs gives arrays [1, ...]",
                f"input {name!r} has the shape {list(array.shape)}",
                "Add the leading axis, for example with array[None].",
            )
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
