"""--dtype auto: the quickest file that keeps the return, or errs little where there is no task."""

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from secateur.errors import SecateurError
from secateur.export.tflite import to_signatures
from secateur.litert.dtype_choice import EPISODES, choose, judge_of
from secateur.litert.export import WORST_ERROR
from secateur.policy.policy import Component, Entry, Policy, Task
from secateur.records import ClosedLoop
from secateur.simulate.controller import torch_controller
from secateur.target.target import load_any

PI = load_any("raspberry-pi-4b")
SECONDS = {"float32": 4e-3, "float16": 3e-3, "dynamic": 2e-3, "int8": 1e-3}
MODELS = {dtype: dtype.encode() for dtype in SECONDS}
ERRORS = {"float32": 0.0, "float16": 1e-4, "dynamic": 0.03, "int8": 0.3}


def loop(low):
    return ClosedLoop(EPISODES, 10.0, 10 * low, low + 0.01, (low, low + 0.02), None, None, 0.0, (), ())


def chosen(kept, max_error=WORST_ERROR, drop=0.05):
    judged, timed = [], []

    def judge(model):
        judged.append(model.decode())
        return loop(kept[model.decode()])

    def time(models):
        timed.extend(models)
        return {dtype: SECONDS[dtype] for dtype in models}

    dtype, tried = choose(MODELS, ERRORS, max_error, time, "it", kept and judge, drop)
    return dtype, tried, judged, timed


def test_the_quickest_that_keeps_the_return():
    """A larger error than another's is no objection, one beyond any sense is."""
    dtype, tried, judged, timed = chosen({"float32": 1.0, "float16": 1.0, "dynamic": 0.96})
    assert dtype == "dynamic"
    assert judged == ["dynamic"]  # slower ones need no trial
    assert set(timed) == {"float32", "float16", "dynamic"}
    assert tried["dynamic"]["closed_loop"] == {
        "episodes": EPISODES,
        "return_ratio": pytest.approx(0.97),
        "ci95": [0.96, pytest.approx(0.98)],
    }
    assert (tried["float32"]["closed_loop"], tried["int8"]["seconds"]) == (None, None)


def test_what_loses_the_return_is_shown_and_not_taken():
    dtype, tried, judged, _ = chosen({"float32": 1.0, "float16": 0.5, "dynamic": 0.94})
    assert dtype == "float32"
    assert judged == ["dynamic", "float16", "float32"]
    assert tried["float16"]["closed_loop"]["return_ratio"] == pytest.approx(0.51)
    assert chosen({"float32": 1.0, "float16": 0.5, "dynamic": 0.94}, drop=0.1)[0] == "dynamic"
    assert chosen({"float32": 1.0, "float16": 1.0}, max_error=0.02)[0] == "float16"  # both are asked for


def test_none_keeps_it():
    with pytest.raises(
        SecateurError, match=r"the best, float32, keeps 91.0%, at least 90.0%.*--max-return-drop"
    ):
        chosen({"float32": 0.9, "float16": 0.5, "dynamic": 0.2})


def test_without_a_task_the_error_decides():
    assert chosen(None, 0.05)[0] == "dynamic"
    assert chosen(None, 0.01)[0] == "float16"
    with pytest.raises(SecateurError, match="Raise --max-error"):
        chosen(None, -1.0)


class Follow(gymnasium.Env):
    """Says what the action was to be; paid for how near it is."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self._next(), {}

    def _next(self):
        self.count = 0 if not hasattr(self, "count") else self.count + 1
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.seen

    def step(self, action):
        reward = 1.0 - abs(float(action[0]) - float(self.seen.mean()))
        self._next()
        return self.seen, reward, False, self.count >= 20, {}


class Net(nn.Module):
    def __init__(self, sign):
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.layer.weight.data[:] = sign * 0.5
        self.layer.bias.data[:] = 0.0

    def act(self, observation):
        return self.layer(observation)


def follower(sign):
    part = (Component("layer", ("layer",)),)
    return Policy(
        "follower", Net(sign).eval(), part, (Entry("act", Net.act, {"observation": torch.zeros(1, 2)}),)
    )


def test_files_are_judged_in_closed_loop():
    task = Task(
        make_env=Follow,
        to_inputs=lambda seen: {"observation": seen[None]},
        to_action=lambda outputs: outputs["act"][0],
        control_hz=50,
    )
    policy = follower(1.0)
    judge = judge_of(PI, task, task, torch_controller(policy, task), (1, 2))
    same = judge(to_signatures(policy, ("act",)))
    assert same.return_ratio == pytest.approx(1.0, abs=1e-5)
    assert same.episodes == EPISODES
    assert judge(to_signatures(follower(-1.0), ("act",))).return_ratio < 0.5
