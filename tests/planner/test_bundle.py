"""The exported planner: the same plans as torch's from the same random numbers, and a program with numpy alone."""

import ast
import json
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from point_planner import policy, task

from secateur.export.litert import signatures
from secateur.export.planner import planner_calls, planner_tflite, quantised_planner
from secateur.export.read import read_tflite
from secateur.litert.story import ROBOT
from secateur.planner.bundle import bundle, exported, write_bundle
from secateur.planner.controller import BundleController, program
from secateur.policy.planning import PLAN
from secateur.simulate.planner import EntryModel, Planner, PlanningController
from secateur.simulate.rollout import rollouts
from secateur.target.target import load_any
from secateur.target.work import dtype_of


def planned():
    return replace(policy(), deployed=PLAN)


@cache
def calls():
    states = {"observation": torch.linspace(-1, 1, 24)[torch.randperm(24)][:, None]}
    return planner_calls(planned(), states, seed=0)


@cache
def model(dtype):
    made = planner_tflite(planned())
    return made if dtype == "float32" else quantised_planner(planned(), made, dtype, calls())


@pytest.fixture(scope="module", params=["float32", "int8"])
def folder(request, tmp_path_factory):
    where = tmp_path_factory.mktemp("planner") / request.param
    file = exported(planned(), request.param, model(request.param), calls())
    write_bundle(where, bundle(planned(), task(), file, load_any("raspberry-pi-4b")))
    return where


def test_one_file_has_a_signature_for_every_call(folder):
    described = json.loads((folder / "policy.json").read_text())
    (file,) = described["files"]
    names = ("encode_1", "choose_4", "next_4", "reward_28", "next_28", "choose_28", "value_28")
    assert signatures((folder / file["file"]).read_bytes()) == names
    assert dtype_of(read_tflite((folder / file["file"]).read_bytes())) == file["dtype"]
    limit = 1e-5 if file["dtype"] == "float32" else 0.03
    for signature in file["signatures"]:
        assert signature["inputs"][next(iter(signature["inputs"]))]["shape"][0] == int(
            signature["name"].split("_")[1]
        )
        error = signature["accuracy"]
        if signature["name"].startswith("choose"):  # it stands still: its range is less than a step of int8's
            assert error["max_abs_error"] <= limit, signature["name"]
        else:
            assert error["error_share"] <= limit, signature["name"]
    assert [c["times"] for c in described["planner"]["calls"]] == [1, 3, 3, 6, 6, 2, 2]


def test_weights_are_in_the_file_once(folder):
    described = json.loads((folder / "policy.json").read_text())
    (file,) = described["files"]
    parameters = sum(p.numel() for p in policy().module.parameters())
    weight = 4 if file["dtype"] == "float32" else 1
    assert file["bytes"] < weight * parameters + 40_000  # seven subgraphs; the weights twice would be more
    from ai_edge_litert import schema_py_generated as schema

    read = schema.Model.GetRootAs((folder / file["file"]).read_bytes(), 0)
    sizes = [read.Buffers(i).DataLength() for i in range(read.BuffersLength())]
    assert sizes.count(weight * 40 * 13) == 1


def test_it_plans_as_torch_does_given_the_same_random_numbers(folder):
    exact = folder.name == "float32"
    original = planned()
    ours = Planner(EntryModel(original, original.planning), original.planning.settings, seed=7)
    controller = BundleController(folder, task())
    controller.reset((0,))
    theirs = controller._lanes[0]
    ((_, planner),) = theirs._steps
    generator = torch.Generator().manual_seed(7)
    planner._normal = lambda *sizes: torch.randn(1, *sizes, generator=generator)[0].numpy()
    for observation in np.random.default_rng(0).uniform(-1, 1, (20, 1)).astype(np.float32):
        wanted = ours.plan({"observation": torch.from_numpy(observation)[None]}).numpy()[0]
        got = theirs.act(observation)
        assert got == pytest.approx(wanted, abs=1e-4 if exact else 0.3)
        if exact:
            assert planner._mean == pytest.approx(ours._mean[0].numpy(), abs=1e-4)


def test_it_drives_the_point_as_the_original_does(folder):
    original, seeds = planned(), range(12)
    wanted = np.mean([t.return_ for t in rollouts(task(), PlanningController(original, task()), seeds)])
    lazy = np.mean([t.return_ for t in rollouts(task(), lambda: PlanningLess(), seeds)])
    got = np.mean([t.return_ for t in rollouts(task(), BundleController(folder, task()), seeds)])
    assert lazy < 0.8 * wanted  # planning is what does it
    assert got >= 0.97 * wanted


class PlanningLess:
    def reset(self, lanes):
        pass

    def act(self, observations, lanes):
        return [np.zeros(1, np.float32) for _ in observations]


def test_episodes_depend_on_their_seed_alone(folder):
    alone = rollouts(task(), BundleController(folder, task()), [3])[0]
    among = rollouts(task(), BundleController(folder, task()), [5, 3, 4])[1]
    assert np.array_equal(alone.actions, among.actions)


def test_the_program_needs_numpy_and_a_runtime_alone(folder):
    own = {
        "planner",
        "robot",
        "parts",
    }  # parts.py where a part runs less often than control, which no planner's does
    allowed = {"numpy", "ai_edge_litert", "tflite_runtime", *own, *sys.stdlib_module_names}
    for name in ("planner.py", "robot.py"):
        assert (folder / name).read_bytes() == (ROBOT / name).read_bytes()
        for node in ast.walk(ast.parse((ROBOT / name).read_text())):
            if isinstance(node, ast.Import):
                found = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found = {(node.module or "").split(".")[0]}
            else:
                continue
            assert found <= allowed


def test_importing_it_leaves_nothing_behind(folder):
    before = (list(sys.path), set(sys.modules) & {"robot", "planner"})
    assert program(folder).Policy
    assert (list(sys.path), set(sys.modules) & {"robot", "planner"}) == before
