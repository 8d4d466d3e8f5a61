"""What travels is a description: it opens to what the job has, or to nothing."""

import json
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from point_planner import SETTINGS
from safetensors.torch import save_file

from secateur.errors import SecateurError
from secateur.job import prepare
from secateur.openers import (
    InInt8,
    OnDevice,
    Original,
    Recovered,
    Reweighted,
    bundled,
    described,
    fixed_file,
    named,
    original_of,
    recovered_of,
)
from secateur.pipeline import PruneRequest
from secateur.planner.settings import with_settings
from secateur.policy.load import absolute, load
from secateur.policy.planning import PLAN
from secateur.prune.surgery import rebuild
from secateur.records import Budget, Limits
from secateur.shipped import absolute_target
from secateur.simulate.parallel import close_all, episodes
from secateur.verify.swapped import with_pruned
from secateur.workers import Processes

SEEDS = (3, 1, 4)


@pytest.fixture(autouse=True)
def closed():
    yield
    close_all()


@pytest.fixture(scope="module")
def job():
    budget = Budget(Limits(latency_s=0.02))
    return prepare(PruneRequest("point_planner:point", "raspberry-pi-4b", budget, entry=PLAN))


def test_a_description_opens_to_the_job_s_planner_at_its_settings(job):
    found = []
    for settings in (SETTINGS, replace(SETTINGS, samples=8, elites=2, horizon=1)):
        other = replace(job, policy=with_settings(job.policy, settings))
        travelled = pickle.loads(pickle.dumps(original_of(other, Processes(2))))
        assert travelled == described(other)
        here, there = (episodes(opener, SEEDS) for opener in (original_of(other, None), travelled))
        for one, two in zip(here, there, strict=True):
            np.testing.assert_array_equal(one.actions, two.actions)
        found.append(here[0].actions)
    assert not np.array_equal(*found)


@pytest.mark.parametrize("what", ["weights", "code"])
def test_what_is_not_the_same_any_more_is_refused(job, what):
    other = replace(job, identity={**job.identity, f"{what}_sha256": "0" * 64})
    with pytest.raises(SecateurError, match=f"point_planner:point has other {what}"):
        episodes(described(other), SEEDS)


def test_a_pruned_policy_is_rebuilt_from_its_files(tmp_path):
    whole = prepare(PruneRequest("recurrent_policy:gru", "rp2040", Budget(Limits()), strategy="uniform"))
    widths = {name: max(1, width // 2) for name, width in whole.graph.full.items()}
    small = rebuild(whole.policy, whole.graph, widths)
    save_file(dict(small.module.state_dict()), tmp_path / "weights.safetensors")
    (tmp_path / "widths.json").write_text(json.dumps(widths))
    files = (tmp_path, tmp_path / "weights.safetensors")
    here, there = (
        episodes(recovered_of(whole, small, *files, workers), SEEDS) for workers in (None, Processes(2))
    )
    for one, two in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.actions, two.actions)


def test_files_that_a_description_names_stay_as_they_are(job, tmp_path):
    """Whichever process opens it: weights, widths, states that were visited, a bundle, models."""
    path, missing = tmp_path / "file", tmp_path / "bundle"
    missing.mkdir()
    (missing / "policy.json").touch()
    path.touch()
    one, original = fixed_file(path), described(job)
    openers = (
        Reweighted(original, one),
        Recovered(original, one, one),
        InInt8(original, (), one),
        bundled(original, missing, "raspberry-pi-4b"),
        OnDevice(original, named({"act": path}), "tflm", "rp2040"),
    )
    path.write_text("another")
    (missing / "policy.json").unlink()
    for opener in openers:
        with pytest.raises(SecateurError, match=r"was changed|policy\.json: No such file"):
            opener()
    with pytest.raises(SecateurError, match="sees the files"):
        fixed_file(missing / "policy.json")


SHIFTED = """
import torch
from recurrent_policy import gru

def build():
    policy, task = gru()
    policy.module.register_buffer("shift", torch.ones(3), persistent=False)
    return policy, task
"""


def test_a_buffer_that_is_not_saved_otherwise_is_what_it_was_changed_to(tmp_path, monkeypatch):
    """As positions of tokens are, where channels of a component are zero."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shifted_policy.py").write_text(SHIFTED)
    policy = load("shifted_policy:build").policy
    nothing = SimpleNamespace(trace=SimpleNamespace(weights={}))
    small = with_pruned(policy, nothing, {}, ())
    small.module.shift.zero_()
    save_file(dict(small.module.state_dict()), tmp_path / "weights.safetensors")
    opener = Reweighted(Original("shifted_policy:build"), fixed_file(tmp_path / "weights.safetensors"))
    assert opener().controller.module.shift.tolist() == [0, 0, 0]


def test_another_board_is_refused(job):
    opener = OnDevice(described(job), (), "emulator", "rp2040", target_sha256="0" * 64)
    with pytest.raises(SecateurError, match="rp2040 is another one"):
        opener.board()


def test_a_board_on_a_serial_line_stays_where_it_is(job):
    assert [OnDevice(described(job), (), d, "rp2040").travels for d in ("tflm", "serial:/dev/ttyUSB0")] == [
        True,
        False,
    ]


def test_names_that_do_not_depend_on_where_a_process_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "policy.py").touch()
    assert absolute("mine") == str(tmp_path / "mine")
    assert absolute("tdmpc_cartpole") == "tdmpc_cartpole"
    assert absolute("point_planner:point") == "point_planner:point"
    assert absolute_target("rp2040") == "rp2040"
    assert absolute_target("mine.toml") == str(tmp_path / "mine.toml")
