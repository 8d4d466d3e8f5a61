"""Firmware in the loop and paired episodes, on an inverted pendulum held up by three weights."""

import gymnasium
import numpy as np
import pytest

from secateur.errors import SecateurError
from secateur.network import Network, Quantization, Tensor
from secateur.policy.policy import Task
from secateur.simulate import FunctionController, rollout, rollouts
from secateur.simulate.parallel import Given
from secateur.verify import FirmwareController, compare_episodes, evaluate_pair

GAINS = np.array([1.0, 15.0, 1.5, 3.0])
OBSERVATION = Quantization((1 / 64,), (0,))
ACTION = Quantization((3 / 127,), (0,))
TASK = Task(
    make_env=lambda: gymnasium.make("InvertedPendulum-v5", max_episode_steps=100),
    to_inputs=lambda observation: {"observation": observation[None].astype(np.float32)},
    to_action=lambda outputs: np.clip(outputs["action"][0], -3, 3),
    control_hz=25.0,
    success=lambda info: info["reward_survive"] == 1,
)


class Board:
    """A device that holds the pendulum up with int8 inputs and outputs."""

    network = Network(
        (Tensor("observation", (1, 4), "INT8", OBSERVATION), Tensor("action", (1, 1), "INT8", ACTION)),
        (),
        {"observation": 0},
        {"action": 1},
    )

    def run(self, inputs):
        stored = inputs["observation"]
        assert stored.dtype == np.int8
        push = stored.astype(np.float64) / 64 @ GAINS
        return {"action": np.clip(np.round(push * 127 / 3), -127, 127).astype(np.int8)[:, None]}


def expert(observation):
    return np.clip([observation @ GAINS], -3, 3)


def nothing(observation):
    return np.zeros(1)


def generator():
    return np.random.default_rng(0)


def test_firmware_does_the_task():
    episodes = rollouts(TASK, FirmwareController(Board(), TASK), range(10))
    assert [t.return_ for t in episodes] == [100.0] * 10
    steps = episodes[0].actions * 127 / 3
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)  # the actions are the int8 ones
    alone = rollout(TASK, FirmwareController(Board(), TASK), 3)
    assert np.array_equal(alone.observations, episodes[3].observations)


def test_a_pair_of_equals():
    told = []
    loop = evaluate_pair(
        TASK,
        Given(TASK, FunctionController(expert)),
        Given(TASK, FirmwareController(Board(), TASK)),
        range(12),
        0.0,
        generator(),
        progress=lambda *done: told.append(done),
    )
    assert loop.episodes == 12
    assert loop.return_ratio == 1
    assert loop.ci95 == (1, 1)
    assert loop.success_rate == loop.baseline_success_rate == 1
    assert told == [(n, 24) for n in range(1, 25)]


def test_delay_is_what_breaks_a_quick_controller():
    board = Given(TASK, FirmwareController(Board(), TASK))
    loop = evaluate_pair(TASK, Given(TASK, FunctionController(expert)), board, range(8), 0.08, generator())
    assert loop.delay_s == 0.08
    assert loop.ci95[1] < 0.9
    assert loop.baseline_return_mean == 100


def test_a_worse_policy_keeps_less():
    good, bad = (Given(TASK, FunctionController(function)) for function in (expert, nothing))
    loop = evaluate_pair(TASK, good, bad, range(8), 0, generator())
    assert loop.return_ratio < 0.6
    assert loop.ci95[0] <= loop.return_ratio <= loop.ci95[1]
    assert loop.success_rate == 0
    assert loop.artifact_return_mean == pytest.approx(np.mean(loop.artifact_returns))


def test_a_baseline_that_cannot_be_judged_stops_before_the_artifact_runs():
    def fail(observation):
        raise AssertionError("the artifact was run")

    class Zero(gymnasium.RewardWrapper):
        def reward(self, reward):
            return 0.0

    task = Task(lambda: Zero(TASK.make_env()), TASK.to_inputs, TASK.to_action, 25.0)
    both = (Given(task, FunctionController(function)) for function in (nothing, fail))
    with pytest.raises(SecateurError, match="must differ from zero"):
        evaluate_pair(task, *both, range(3), 0, generator())


def test_pairs_have_the_same_seed():
    one, two = (rollouts(TASK, FunctionController(nothing), seeds) for seeds in ((1, 2), (2, 1)))
    with pytest.raises(SecateurError, match="pairs of the same seed"):
        compare_episodes(one, two, 0.0, generator())
