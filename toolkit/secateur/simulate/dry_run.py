"""A few steps of a task under a policy, before any work rests on it: names, shapes, types, delay, what is read."""

from collections import UserDict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from secateur.errors import SecateurError
from secateur.policy.parts import outside_inputs, part_names
from secateur.policy.policy import Policy, Task
from secateur.policy.unroll import fed_back
from secateur.simulate.delay import delayed
from secateur.simulate.planner import policy_controller

WATCHED = 32
"""Steps in which it is looked at what ``to_action`` reads."""


def check_task(policy: Policy, task: Task) -> None:
    """Resets the environment, asks the policy for two actions and takes them, under a small delay.

    Two, because an environment that is delayed by whole periods takes the first of them at the second step.

    Raises:
        SecateurError: the environment cannot be made, the maps do not give what the deployed entry takes or the
            environment accepts, or its actions cannot be delayed.
    """
    task = _plain(task)
    env = task.make_env()
    try:
        env = delayed(env, 0.1 / task.control_hz, task.control_hz)
        _walk(policy, task, env, 2)
    finally:
        env.close()


def acted_on(policy: Policy, task: Task) -> frozenset[str]:
    """Outputs that the deployed entry feeds back to itself and ``to_action`` reads as well, in ``WATCHED`` steps.

    An action that is remembered is one; a hidden state is none.

    Raises:
        SecateurError: as in ``check_task``, but nothing is delayed.
    """
    states = frozenset(fed_back(policy, policy.entry()).values())
    if not states:
        return states
    seen: set[str] = set()
    task = _plain(task)
    watching = replace(task, to_action=lambda outputs: task.to_action(_Watched(outputs, seen)))  # type: ignore[arg-type]
    with closing(task.make_env()) as env:
        _walk(policy, watching, env, WATCHED)
    return states & seen


def _plain(task: Task) -> Task:
    """The same task, whose environment and maps raise nothing but SecateurErrors."""

    def make_env() -> gymnasium.Env:
        with _refused("the task's environment can be made", "Correct make_env."):
            return task.make_env()

    def to_inputs(observation: Any) -> dict[str, np.ndarray]:
        with _refused("to_inputs maps an observation to the deployed entry's inputs", "Correct to_inputs."):
            return task.to_inputs(observation)

    def to_action(outputs: dict[str, np.ndarray]) -> Any:
        with _refused("to_action maps the deployed entry's outputs to an action", "Correct to_action."):
            return task.to_action(outputs)

    return replace(task, make_env=make_env, to_inputs=to_inputs, to_action=to_action)


def _walk(policy: Policy, task: Task, env: gymnasium.Env, steps: int) -> None:
    """So many steps under the policy, in as many episodes as it takes."""
    observation, over = _reset(env, 0), False
    _check_inputs(policy, task.to_inputs(observation))
    with _refused("the deployed entry takes what to_inputs gives", "Correct to_inputs or the entry."):
        controller = policy_controller(policy, task)
    controller.reset((0,))
    for step in range(steps):
        if over:
            observation = _reset(env, step)
            controller.reset((0,))
        with _refused("the deployed entry takes what to_inputs gives", "Correct to_inputs or the entry."):
            (action,) = controller.act([observation], (0,))
        with _refused("the environment takes the action that to_action gives", "Correct to_action."):
            observation, _, terminated, truncated, _ = env.step(action)
        over = terminated or truncated


def _reset(env: gymnasium.Env, seed: int) -> Any:
    """The first observation of an episode."""
    with _refused("the task's environment starts an episode by reset(seed=...)", "Correct make_env."):
        observation, _ = env.reset(seed=seed)
    return observation


class _Watched(UserDict[str, Any]):
    """Outputs that note which of them are read."""

    def __init__(self, outputs: dict[str, Any], seen: set[str]) -> None:
        super().__init__(outputs)
        self._seen = seen

    def __getitem__(self, name: str) -> Any:
        self._seen.add(name)
        return super().__getitem__(name)


def _check_inputs(policy: Policy, inputs: dict[str, np.ndarray]) -> None:
    examples = outside_inputs(policy)
    if inputs.keys() != examples.keys():
        raise SecateurError(
            "to_inputs gives the inputs of the deployed entry and of those that feed it, but not what an entry feeds, "
            "nor the states that it feeds back to itself",
            f"it gives {', '.join(sorted(inputs))}, {', '.join(part_names(policy))} takes "
            f"{', '.join(sorted(examples))}",
            "Correct to_inputs or the entry.",
        )
    for name, example in examples.items():
        wanted = example.detach().numpy()
        given = np.asarray(inputs[name])
        if given.dtype != wanted.dtype or given.shape != (1, *wanted.shape[1:]):
            raise SecateurError(
                f"to_inputs gives {name!r} as {wanted.dtype} {[1, *wanted.shape[1:]]}",
                f"it gives {given.dtype} {list(given.shape)}",
                "Correct to_inputs, for example with .astype('float32')[None].",
            )


@contextmanager
def _refused(rule: str, remedy: str) -> Iterator[None]:
    """Whatever is raised inside, as a SecateurError."""
    try:
        yield
    except SecateurError:
        raise
    except Exception as error:  # whatever a task may raise
        raise SecateurError(rule, f"{type(error).__name__}: {error}", remedy) from error
