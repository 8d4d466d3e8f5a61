"""A run's folder from others runs no code: neither what it names nor what it holds."""

import json
import shutil
import sys

import pytest

from secateur.errors import SecateurError, UsageError
from secateur.job import target_hash
from secateur.litert.story import ROBOT
from secateur.planner.controller import BundleController, program
from secateur.policy.load import load
from secateur.runfolder import RunFolder
from secateur.shipped import shipped_folder
from secateur.target.target import load_any
from secateur.trusted import policy_of_run, target_of_run

MARK = "from pathlib import Path\nPath('ran').write_text('it did')\n"
VERIFY = ("--device", "tflm")
EXPORT = ("--target", "linux-aarch64", "--format", "tflite", "-o", "out")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """In a folder with code that leaves a mark where it is run, as a folder and as a module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "their_module", raising=False)
    for name in ("theirs", "tdmpc_cartpole"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.py").write_text(MARK)
    (tmp_path / "their_module.py").write_text(MARK)
    return tmp_path


def run_of(folder, policy, target="stm32f446re", **told):
    """A finished run that says it was made from a policy."""
    request = {"policy": policy, "target": target, "weights_sha256": "0", "code_sha256": "0", **told}
    with RunFolder(folder, request, False) as run:
        run.publish(
            {},
            {},
            lambda _: {"schema": 1, "policy": "p", "target": "stm32f446re", "verdict": {"passed": True}},
        )
    return folder


@pytest.mark.parametrize("named", ["theirs", "./theirs", "their_module:policy", "tdmpc_cartpole/../theirs"])
@pytest.mark.parametrize("command", [("verify", VERIFY), ("export", EXPORT)], ids=["verify", "export"])
def test_code_that_only_a_run_names_is_not_run(secateur, elsewhere, command, named):
    verb, arguments = command
    run = run_of(elsewhere / "run", named)
    code, _, said = secateur(verb, run, *arguments)
    assert code == 2
    assert "named on the command line too" in said
    assert f"--policy {named}" in said
    assert not (elsewhere / "ran").exists()
    secateur(verb, run, *arguments, "--policy", named)
    assert (elsewhere / "ran").exists()  # whoever names it wants it


def test_a_shipped_name_is_the_shipped_policy_whatever_is_here(elsewhere):
    shipped = str(shipped_folder("policies") / "tdmpc_cartpole")
    for recorded in ("tdmpc_cartpole", shipped):
        assert policy_of_run(elsewhere, {"policy": recorded}, None) == shipped
    assert policy_of_run(elsewhere, {"policy": "tdmpc_cartpole"}, "./mine") == "./mine"
    with pytest.raises(SecateurError, match="says which policy"):
        policy_of_run(elsewhere, {}, None)


def test_a_target_that_is_a_file_is_named_again(secateur, elsewhere):
    assert target_of_run(elsewhere, {"target": "rp2040"}, None) == "rp2040"
    for recorded, named in (("rp2040", "rp2350"), ("./board.toml", None), ("cortex-m4", None)):
        with pytest.raises(UsageError, match="--target"):
            target_of_run(elsewhere, {"target": recorded}, named)
    assert target_of_run(elsewhere, {"target": "./board.toml"}, "./mine.toml") == "./mine.toml"
    run = run_of(elsewhere / "run", "tdmpc_cartpole", "./board.toml")
    code, _, said = secateur("verify", run, *VERIFY)
    assert (code, "--target ./board.toml" in said) == (2, True)


@pytest.mark.parametrize("inherited", ["rp2040", "raspberry-pi-5"])
def test_a_target_that_is_named_again_is_what_it_was(secateur, elsewhere, inherited):
    file = elsewhere / "board.toml"
    file.write_text(f'inherit = "{inherited}"\n')
    run = run_of(
        elsewhere / "run", "tdmpc_cartpole", "./board.toml", target_sha256=target_hash(load_any(str(file)))
    )
    code, _, said = secateur("verify", run, *VERIFY, "--target", "board.toml")
    assert (code, "had other weights" in said) == (1, True)  # the target is not what is wrong
    file.write_text(f'inherit = "{inherited}"\nram_bytes = 8192\n')
    for other in ("board.toml", "stm32f446re"):
        code, _, said = secateur("verify", run, *VERIFY, "--target", other)
        assert (code, "the target that it was made for" in said) == (1, True)


def test_a_bundles_own_program_is_never_run(elsewhere):
    bundle = elsewhere / "robot"
    bundle.mkdir()
    shutil.copy(ROBOT / "robot.py", bundle)
    assert program(bundle).__file__ == str(ROBOT / "robot.py")
    (bundle / "numpy").mkdir()
    (bundle / "numpy" / "__init__.py").write_text(MARK)  # a folder would come first among imports
    program(bundle)
    for name in ("robot.py", "parts.py", "json.py"):
        changed = elsewhere / f"with {name}"
        changed.mkdir()
        (changed / name).write_text(MARK)
        with pytest.raises(SecateurError, match="no other is run"):
            program(changed)
    assert not (elsewhere / "ran").exists()


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"files": 1},
        {"files": [{"file": "../x.tflite"}], "observation": None, "action": None},
        {"files": [{"file": "/etc/passwd"}], "observation": None, "action": None},
        {"files": []},
    ],
)
def test_a_bundle_of_rubbish_is_one_error(elsewhere, document):
    (elsewhere / "policy.json").write_text(json.dumps(document))
    with pytest.raises(SecateurError, match="what is in its folder"):
        BundleController(elsewhere, None)


@pytest.mark.parametrize("files", [[], [{"file": "x.tflite"}], [{"file": "x.tflite", "kind": "whole"}]])
def test_a_bundle_that_describes_no_policy_is_one_error(elsewhere, files):
    (elsewhere / "robot").mkdir()
    described = {"files": files, "observation": None, "action": None}
    (elsewhere / "robot" / "policy.json").write_text(json.dumps(described))
    with pytest.raises(SecateurError, match="a bundle follows its schema"):
        BundleController(elsewhere / "robot", None).reset([0])


def test_a_run_with_a_policy_in_it_is_none(secateur, elsewhere):
    run = run_of(elsewhere / "run", "tdmpc_cartpole")
    (run / "policy.py").write_text(MARK)
    with pytest.raises(SecateurError, match="a folder is a policy's or a run's"):
        load(str(run))
    for verb, arguments in (("verify", (*VERIFY, "--target", "rp2040")), ("export", EXPORT)):
        code, _, said = secateur(verb, run, *arguments)
        assert (code, "a policy's or a run's" in said) == (1, True)
    assert not (elsewhere / "ran").exists()
