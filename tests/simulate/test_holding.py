"""Parts at their own rates, in lanes at steps of their own."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import parts_policy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.errors import SecateurError
from secateur.policy.unroll import run_entries
from secateur.prune.states import inputs_of_parts, met_inputs, visited_inputs
from secateur.records import Part
from secateur.simulate.controller import torch_controller
from secateur.simulate.dry_run import check_task
from secateur.simulate.holding import Holding
from secateur.simulate.rollout import rollouts


def counting(part, inputs, lanes):
    """Gives what a part has seen: its own input, and what its feeds gave."""
    return {"out": np.concatenate([inputs["seen"], *(inputs[name] for name in part.fed)], 1)}


@given(st.integers(1, 5), st.integers(0, 5), st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_a_slow_part_stands_between_its_runs_and_arrives_late(period, late, asked):
    late = min(late, period)
    parts = (Part("see", period), Part("act", 1, {"x": ("see", "out")}))
    holding, steps = Holding(parts, {"see": late}), [0, 0]
    holding.reset((0, 1))
    for turn, (first, restart) in enumerate(asked):
        lanes = (0, 1) if turn % 3 == 0 else (0,) if first else (1,)
        if restart:
            holding.reset((lanes[-1],))
            steps[lanes[-1]] = 0
        seen = np.array([[10.0 * lane + 100.0 * steps[lane]] for lane in lanes])
        given_ = holding.step({"seen": seen}, lanes, counting)["out"]
        for row, lane in enumerate(lanes):
            runs = [k for k in range(0, steps[lane] + 1, period) if k + (late if k else 0) <= steps[lane]]
            np.testing.assert_array_equal(given_[row], [seen[row, 0], 10.0 * lane + 100.0 * runs[-1]])
            steps[lane] += 1


def test_what_was_met_is_what_the_parts_took():
    policy, task = parts_policy.policy(20.0), parts_policy.task()  # the world shows a frame at 25 Hz
    rolled = rollouts(task, torch_controller(policy, task), range(3))
    met = met_inputs(task, rolled, policy)
    taken = inputs_of_parts(policy, met)
    with torch.no_grad():
        actions = policy.entry("act").run(policy.module, taken["act"])["action"].numpy()
    np.testing.assert_allclose(actions, np.concatenate([t.actions for t in rolled]), atol=1e-6)
    every = visited_inputs(task, rolled)
    assert not torch.equal(every["image"], met["image"])
    for step in (0, 5, 10, 26, 31):
        assert torch.equal(every["image"][step], met["image"][step])
    assert torch.equal(every["joints"], met["joints"])
    last = run_entries(policy, policy.module, met, passes=1, wanted="act")[-1]
    assert torch.equal(last.inputs["features"], taken["act"]["features"])


def test_lanes_do_not_disturb_each_other():
    policy, task = parts_policy.seeing()
    controller = torch_controller(policy, task)
    together = rollouts(task, controller, range(11))
    for alone in (0, 10):
        (one,) = rollouts(task, controller, (alone,))
        np.testing.assert_array_equal(one.actions, together[alone].actions)


def test_a_task_gives_the_inputs_of_every_part():
    policy, task = parts_policy.seeing()
    check_task(policy, task)
    less = replace(task, to_inputs=lambda seen: {"joints": task.to_inputs(seen)["joints"]})
    with pytest.raises(SecateurError, match="gives joints, see, act takes image, joints"):
        check_task(policy, less)


def test_lengths_of_episodes_stand_beside_all_of_their_steps_alone(tmp_path, monkeypatch):
    from secateur import choosing, stages

    policy, task = parts_policy.seeing()
    job = SimpleNamespace(policy=policy, task=task, seeds=lambda *_: [0, 1])
    for name, most, lengths in (("all", 1 << 20, (26, 26)), ("some", 10 * 4 * (144 + 3) + 1, ())):
        monkeypatch.setattr("secateur.prune.states.MOST_BYTES", most)
        (folder := tmp_path / name).mkdir()
        stages.roll_original(job, folder, lambda *_: None)
        assert choosing.lengths_of_original(folder) == lengths
        assert len(choosing.visited_states(folder)["image"]) == (sum(lengths) or 10)


def test_images_are_as_many_as_fit(monkeypatch):
    policy, task = parts_policy.seeing()
    rolled = rollouts(task, torch_controller(policy, task), range(2))
    every = visited_inputs(task, rolled, policy)
    assert len(every["image"]) == 52
    monkeypatch.setattr("secateur.prune.states.MOST_BYTES", 10 * 4 * (144 + 3) + 1)
    some = visited_inputs(task, rolled, policy)
    index = np.linspace(0, 51, 10).round().astype(int)
    for name, rows in some.items():
        np.testing.assert_array_equal(rows, every[name][index])
    assert len(visited_inputs(task, rolled)["image"]) == 52
