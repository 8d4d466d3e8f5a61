"""One step of a task under a policy, before any work rests on it: names, shapes, types, delay."""

import numpy as np

from secateur.errors import SecateurError
from secateur.policy.policy import Policy, Task
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
            (action,) = policy_controller(policy, task).act([observation], (0,))
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


def _check_inputs(policy: Policy, inputs: dict[str, np.ndarray]) -> None:
    examples = policy.entry().example_inputs
    if inputs.keys() != examples.keys():
        raise SecateurError(
            "to_inputs gives the deployed entry's inputs",
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
