"""Recurrent policies: lessons in windows, states that are carried, and widths that run through what is fed back."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import recurrent_policy
import torch
from hypothesis import given
from hypothesis import strategies as st
from recurrent_policy import Net, gru
from torch import nn

from secateur.errors import SecateurError
from secateur.policy.policy import Component, Entry, Policy
from secateur.policy.unroll import fed_back, run_entries
from secateur.prune.analyse import analyse
from secateur.prune.fake_quantise import fake_quantised
from secateur.prune.lessons import error_of, unit_of
from secateur.prune.recover import Recovery, RecoveryPlan, recover
from secateur.prune.remembering import COUNTED, WARM, WINDOW, RememberingTeacher, _windows
from secateur.prune.states import (
    in_episodes,
    in_rows,
    lengths_of,
    met_inputs,
    visited_inputs,
    weight_of,
    with_states,
)
from secateur.prune.surgery import cut
from secateur.prune.teachers import teacher_of
from secateur.simulate.controller import torch_controller
from secateur.simulate.dry_run import acted_on, check_task
from secateur.simulate.rollout import rollouts

HIDDEN = "cell.weight_ih"
KEEP = {"encoder": torch.arange(0, 16, 2), HIDDEN: torch.tensor([1, 2, 5, 7, 11])}


@pytest.fixture(scope="module")
def setting():
    policy, task = gru()
    rolled = rollouts(task, torch_controller(policy, task), range(5))
    return policy, task, analyse(policy, acted_on(policy, task)), rolled


# --- what is visited ---


def test_states_at_every_step_are_those_of_the_controller(setting):
    policy, task, _, rolled = setting
    met, start = met_inputs(task, rolled, policy), 0
    for trajectory in rolled:
        controller = torch_controller(policy, task)
        controller.reset((0,))
        for step in range(trajectory.length):
            np.testing.assert_allclose(
                met["hidden"][start + step], controller.kept((0,))["hidden"][0], atol=1e-6
            )
            controller.act([trajectory.observations[step]], (0,))
        start += trajectory.length
    assert start == len(met["hidden"]) == len(met["observation"])


def test_another_policy_has_its_own_states_on_the_same_way(setting):
    policy, task, graph, rolled = setting
    small = cut(policy, graph, KEEP)
    found = with_states(small, met_inputs(task, rolled, policy), lengths_of(rolled))
    expected = met_inputs(task, rolled, small)
    assert found.keys() == expected.keys() == {"observation", "hidden"}
    assert all(torch.equal(rows, expected[name]) for name, rows in found.items())
    assert found["hidden"].shape[1] == 5


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_rows_come_back_from_episodes(lengths):
    rows = {"x": torch.arange(2.0 * sum(lengths)).reshape(-1, 2)}
    episodes = in_episodes(rows, lengths)
    assert episodes["x"].shape == (len(lengths), max(lengths), 2)
    assert torch.equal(in_rows(episodes, lengths)["x"], rows["x"])


@given(st.lists(st.integers(1, 3 * WINDOW + WARM + 2), min_size=1, max_size=5))
def test_windows_count_every_step_once(lengths):
    which, steps, counted = _windows(lengths)
    assert steps.shape == counted.shape == (len(which), WARM + WINDOW)
    for number, length in enumerate(lengths):
        own = which == number
        assert sorted(steps[own][counted[own] > 0].tolist()) == list(range(length))
        assert int(steps[own].max()) == length - 1
    assert bool(((steps[:, 1:] - steps[:, :-1]) >= 0).all())


# --- lessons ---


def test_a_lesson_holds_what_the_original_did_and_the_state_of_who_was_there(setting):
    policy, task, graph, rolled = setting
    seen, lengths = visited_inputs(task, rolled), lengths_of(rolled)
    teacher = teacher_of(policy, graph, 0)
    assert isinstance(teacher, RememberingTeacher)
    own, student = teacher.lesson(seen, lengths), cut(policy, graph, KEEP)
    others = teacher.lesson(seen, lengths, (student, KEEP))
    which, steps, _ = _windows(lengths)
    outputs, states = (met_inputs(task, rolled, one)["hidden"] for one in (policy, student))
    ends = np.cumsum(lengths)
    rows = torch.from_numpy(ends)[which] - torch.tensor(lengths)[which] + steps[:, 0]
    torch.testing.assert_close(own.states["hidden"], outputs[rows])
    torch.testing.assert_close(others.states["hidden"][:, KEEP[HIDDEN]], states[rows])
    assert float(others.states["hidden"].abs().sum()) == pytest.approx(
        float(states[rows].abs().sum()), rel=1e-5
    )
    for key, answers in own.answers.items():
        assert torch.equal(answers, others.answers[key])
    assert own.count == len(which)
    assert teacher.error(policy, {}, own) == pytest.approx(0.0, abs=1e-9)
    assert teacher.error(student, KEEP, own) > 0.01


def test_steps_before_those_that_count_only_bring_the_state(setting):
    policy, task, graph, rolled = setting
    teacher = teacher_of(policy, graph, 0)
    lesson = teacher.lesson(visited_inputs(task, rolled), lengths_of(rolled))
    spoilt = {
        key: answers
        if key == COUNTED
        else torch.where(lesson.answers[COUNTED].unsqueeze(-1) > 0, answers, torch.full_like(answers, 1e3))
        for key, answers in lesson.answers.items()
    }
    assert teacher.error(policy, {}, replace(lesson, answers=spoilt)) == pytest.approx(0.0, abs=1e-9)


def test_recovery_brings_a_cut_policy_nearer(setting):
    policy, task, graph, rolled = setting
    teacher = teacher_of(policy, graph, 0)
    lesson = teacher.lesson(visited_inputs(task, rolled), lengths_of(rolled))
    plan = RecoveryPlan(rounds=2, steps=25, episodes=2, judged_episodes=0)
    pruned = cut(policy, graph, KEEP)
    student, _ = recover(Recovery(teacher, lesson, task, 0, plan), pruned, KEEP)
    assert teacher.error(student, KEEP, lesson) < 0.7 * teacher.error(pruned, KEEP, lesson)


class Critic(Net):
    """Another entry reads the state."""

    def __init__(self):
        super().__init__(nn.GRUCell)
        self.critic = nn.Linear(12, 1)

    def value(self, hidden):
        return self.critic(hidden)


def with_critic():
    torch.manual_seed(0)
    examples = {"observation": torch.zeros(1, 3), "hidden": torch.zeros(1, 12)}
    act = Entry("act", Critic.act, examples, feeds={"hidden": ("act.hidden",)})
    value = Entry("value", Critic.value, {"hidden": torch.zeros(1, 12)}, feeds={"hidden": ("act.hidden",)})
    components = (Component("all", ("encoder", "cell", "head")), Component("critic", ("critic",)))
    return Policy("critic", Critic(), components, (act, value))


def test_other_entries_learn_too():
    policy = with_critic()
    graph = analyse(policy)
    teacher = teacher_of(policy, graph, 0)
    lesson = teacher.lesson({"observation": torch.randn(40, 3)})
    student = cut(policy, graph, KEEP)
    loss = teacher.loss(student, KEEP)(lesson, 0)
    loss.backward()
    assert student.module.critic.weight.grad.abs().sum() > 0
    assert float(teacher.loss(policy, {})(lesson, 0).detach()) == pytest.approx(0.0, abs=1e-9)


SHORT = (10, 12, 9, 11)
"""Lengths of episodes that end before a window does."""


@pytest.mark.parametrize("lengths", [SHORT, (1,), (WARM + WINDOW - 1, WARM + WINDOW, 2, WARM + WINDOW + 1)])
def test_the_original_errs_nowhere_in_short_episodes(lengths):
    policy = with_critic()
    teacher = teacher_of(policy, analyse(policy), 0)
    lesson = teacher.lesson({"observation": torch.randn(sum(lengths), 3)}, lengths)
    assert float(teacher.loss(policy, {})(lesson, 0).detach()) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("length", [1, 2, WARM + WINDOW])
def test_one_window_is_enough_to_learn_from(length):
    policy = with_critic()
    graph = analyse(policy)
    teacher, student = teacher_of(policy, graph, 0), cut(policy, graph, KEEP)
    lesson = teacher.lesson({"observation": torch.randn(length, 3)})
    assert lesson.count == 1
    loss = teacher.loss(student, KEEP)(lesson, 0)
    loss.backward()
    assert 0.01 < float(loss.detach()) < 100
    assert all(bool(p.grad.isfinite().all()) for p in student.module.parameters())
    assert 0.01 < teacher.error(student, KEEP, lesson) < 100


def test_errors_are_in_units_of_the_deviation_or_of_the_size_of_one_answer():
    rows = torch.tensor([[1.0, 10.0], [3.0, 14.0]])
    assert float(unit_of(rows)) == pytest.approx(3 / 2**0.5)
    assert float(unit_of(rows[:1])) == pytest.approx(5.5)
    assert float(unit_of(rows[:1] * 0)) == pytest.approx(1e-3)
    assert float(error_of(rows[:1] + 5.5, rows[:1])) == pytest.approx(1.0)


def test_steps_beyond_the_end_of_an_episode_do_not_count():
    policy = with_critic()
    graph = analyse(policy)
    teacher, student = teacher_of(policy, graph, 0), cut(policy, graph, KEEP)
    lesson = teacher.lesson({"observation": torch.randn(sum(SHORT), 3)}, SHORT)
    beyond = lesson.answers[COUNTED] == 0
    assert beyond.sum(1).tolist() == [WARM + WINDOW - length for length in SHORT]

    def spoilt(rows):
        return torch.where(beyond.unsqueeze(-1), torch.full_like(rows, 50.0), rows)

    answers = {key: spoilt(rows) if key[0] == "act" else rows for key, rows in lesson.answers.items()}
    states = {**lesson.states, "observation": spoilt(lesson.states["observation"])}
    other = replace(lesson, answers=answers, states=states)
    for step in (0, 1):
        expected = teacher.loss(student, KEEP)(lesson, step)
        torch.testing.assert_close(teacher.loss(student, KEEP)(other, step), expected)


# --- graph, surgery, importance ---


def test_the_width_of_a_state_is_a_group_that_both_ends_share(setting):
    policy, _, graph, _ = setting
    assert graph.by_name[HIDDEN].width == 12
    small = cut(policy, graph, KEEP)
    assert small.entry().example_inputs["hidden"].shape == (1, 5)
    with torch.no_grad():
        outputs = small.entry().run(small.module, small.entry().example_inputs)
    assert outputs["hidden"].shape == (1, 5)
    assert outputs["torque"].shape == (1, 1)


def test_an_action_that_is_remembered_stays_whole(setting):
    policy, task, _, _ = setting
    acting = replace(task, to_action=lambda outputs: 2.0 * outputs["torque"][0] + outputs["hidden"][0, :1])
    assert acted_on(policy, task) == frozenset()
    assert acted_on(policy, acting) == {"hidden"}
    graph = analyse(policy, acted_on(policy, acting))
    assert HIDDEN not in graph.full
    assert any(whole.why == "to_action reads hidden" for whole in graph.whole)
    for reads in (lambda o: list(o.values()), lambda o: [*o.items()], lambda o: dict(**o)):
        everything = replace(task, to_action=lambda outputs, reads=reads: (reads(outputs), [0.0])[1])
        assert acted_on(policy, everything) == {"hidden"}


def test_an_action_that_is_remembered_later_stays_whole(setting):
    """Here from the second episode on, which is a task's own affair."""
    policy, task, _, _ = setting
    steps = []

    def to_action(outputs):
        steps.append(outputs["torque"][0])
        return outputs["hidden"][0, :1] if len(steps) > 25 else 2.0 * steps[-1]

    assert acted_on(policy, replace(task, to_action=to_action)) == {"hidden"}


def _raises(*_):
    raise ValueError("the map is upside down")


FAULTS = {
    "environment can be made": {"make_env": _raises},
    "to_inputs maps": {"to_inputs": _raises},
    "feeds back to itself": {"to_inputs": lambda _: {"view": np.zeros((1, 3), "f")}},
    "to_inputs gives 'observation'": {"to_inputs": lambda _: {"observation": np.zeros((1, 4), "f")}},
    "to_action maps": {"to_action": _raises},
    "environment takes the action": {"to_action": lambda _: "left"},
}


@pytest.mark.parametrize("look", [check_task, acted_on])
@pytest.mark.parametrize("rule", FAULTS)
def test_a_task_that_raises_is_refused_by_name(setting, look, rule):
    policy, task, _, _ = setting
    with pytest.raises(SecateurError, match=rule) as refused:
        look(policy, replace(task, **FAULTS[rule]))
    assert _raises not in FAULTS[rule].values() or "ValueError: the map is upside down" in str(refused.value)


@pytest.mark.parametrize("look", [check_task, acted_on])
def test_an_environment_that_does_not_start_is_refused_and_closed(setting, look):
    policy, task, _, _ = setting
    env, closed = task.make_env(), []
    env.reset, env.close = _raises, lambda: closed.append(True)
    with pytest.raises(SecateurError, match="starts an episode"):
        look(policy, replace(task, make_env=lambda: env))
    assert closed == [True]


def test_a_recurrent_policy_whose_task_raises_is_inspected_with_one_error(tmp_path):
    here = Path(recurrent_policy.__file__).parent
    (tmp_path / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(here)!r})\nfrom dataclasses import replace\n"
        "from recurrent_policy import gru\n\n\ndef policy():\n    made, task = gru()\n"
        "    return made, replace(task, to_action=lambda outputs: outputs['speed'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "secateur.cli", "inspect", "mine:policy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "to_action maps the deployed entry's outputs to an action: KeyError: 'speed'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_task_does_not_give_states(setting):
    policy, task, _, _ = setting
    check_task(policy, task)
    giving = replace(task, to_inputs=lambda o: {**task.to_inputs(o), "hidden": np.zeros((1, 12), "f")})
    with pytest.raises(SecateurError, match="feeds back to itself"):
        check_task(policy, giving)


def test_the_second_pass_takes_the_state_that_the_first_made(setting):
    policy, task, _, rolled = setting
    met = met_inputs(task, rolled, policy)
    first, second = run_entries(policy, policy.module, met)
    assert torch.equal(first.inputs["hidden"], met["hidden"])
    assert torch.equal(second.inputs["hidden"], first.outputs["hidden"])
    (only,) = run_entries(policy, policy.module, met, passes=1)
    assert torch.equal(only.outputs["torque"], first.outputs["torque"])


def test_a_state_counts_for_less_than_what_moves_the_robot(setting):
    policy = setting[0]
    entry, names = policy.entry(), ["torque", "hidden"]
    assert fed_back(policy, entry) == {"hidden": "hidden"}
    assert weight_of(policy, entry, "torque", names) == 1.0
    assert weight_of(policy, entry, "hidden", names) == pytest.approx(0.1)
    remembered = replace(entry, feeds={"hidden": ("act.torque",)})
    assert weight_of(policy, remembered, "torque", ["torque"]) == 1.0


def test_a_cell_computes_with_int8_weights_and_states():
    torch.manual_seed(0)
    net, seen, hidden = Net(nn.GRUCell), torch.randn(32, 3), torch.tanh(torch.randn(32, 12))
    exact, before = net.act(seen, hidden), {name: p.clone() for name, p in net.state_dict().items()}
    with fake_quantised(net):
        rounded = net.act(seen, hidden)
        (rounded["torque"].sum() + rounded["hidden"].sum()).backward()
    assert 0 < float((rounded["hidden"] - exact["hidden"]).detach().abs().max()) < 0.05
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())
    assert float(net.cell.weight_hh.grad.abs().sum()) > 0
    again = net.act(seen, hidden)
    assert torch.equal(again["torque"], exact["torque"])
