"""One step of a task under a policy, before any work rests on it: names, shapes, types, delay."""

from collections import UserDict
from dataclasses import replace
from typing import Any

import numpy as np

from secateur.errors import SecateurError
from secateur.policy.policy import Policy, Task
from secateur.policy.unroll import fed_back
from secateur.simulate.delay import delayed
from secateur.simulate.planner import policy_controller


def check_task(policy: Policy, task: Task) -> None:
    """Resets the environment, asks the policy for one action and takes it, under a small delay.

    Raises:
        SecateurError: the environment cannot be made, the maps do not give what the deployed entry takes or the
            environment accepts, or its actions cannot be delayed.
    """
    try:
        env = task.make_env()
    except Exception as error:  # whatever an environment may raise
        raise _refused("the task's environment can be made", error, "Correct make_env.") from error
    try:
        env = delayed(env, 0.1 / task.control_hz, task.control_hz)
        observation, _ = env.reset(seed=0)
        _check_inputs(policy, task.to_inputs(observation))
        try:
            (action,) = _first_action(policy, task, observation)
        except SecateurError:
            raise
        except Exception as error:
            raise _refused(
                "to_action maps the deployed entry's outputs to an action", error, "Correct to_action."
            ) from error
        try:
            env.step(action)
        except SecateurError:
            raise
        except Exception as error:
            raise _refused(
                "the environment takes the action that to_action gives", error, "Correct to_action."
            ) from error
    finally:
        env.close()


def acted_on(policy: Policy, task: Task) -> frozenset[str]:
    """Outputs that the deployed entry feeds back to itself and ``to_action`` reads as well, at the task's first step.

    An action that is remembered is one; a hidden state is none.
    """
    states = frozenset(fed_back(policy, policy.entry()).values())
    if not states:
        return states
    seen: set[str] = set()
    env = task.make_env()
    try:
        observation, _ = env.reset(seed=0)
        watching = replace(task, to_action=lambda outputs: task.to_action(_Watched(outputs, seen)))  # type: ignore[arg-type]
        _first_action(policy, watching, observation)
    finally:
        env.close()
    return states & seen


def _first_action(policy: Policy, task: Task, observation: Any) -> Any:
    controller = policy_controller(policy, task)
    controller.reset((0,))
    return controller.act([observation], (0,))


class _Watched(UserDict[str, Any]):
    """Outputs that note which of them are read."""

    def __init__(self, outputs: dict[str, Any], seen: set[str]) -> None:
        super().__init__(outputs)
        self._seen = seen

    def __getitem__(self, name: str) -> Any:
        self._seen.add(name)
        return super().__getitem__(name)


def _check_inputs(policy: Policy, inputs: dict[str, np.ndarray]) -> None:
    entry = policy.entry()
    states = fed_back(policy, entry)
    examples = {name: example for name, example in entry.example_inputs.items() if name not in states}
    if inputs.keys() != examples.keys():
        raise SecateurError(
            "to_inputs gives the deployed entry's inputs, but not the states that it feeds back to itself",
            f"it gives {', '.join(sorted(inputs))}, the entry takes {', '.join(sorted(examples))}",
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


def _refused(rule: str, error: Exception, remedy: str) -> SecateurError:
    return SecateurError(rule, f"{type(error).__name__}: {error}", remedy)
