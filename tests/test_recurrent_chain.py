"""The whole chain on a recurrent policy: its state is cut, carried, calibrated, compared, and kept on the board."""

import json

import numpy as np
import pytest
import torch
from recurrent_policy import gru

from secateur import stages
from secateur.device.devices import open_device
from secateur.export.read import read_tflite
from secateur.policy.unroll import fed_back, run_along
from secateur.policy.weights import load_weights
from secateur.prune.analyse import analyse
from secateur.prune.states import at_rest
from secateur.prune.surgery import rebuild
from secateur.runfolder import read_finished
from secateur.target.target import load_target
from secateur.verify.golden import load_golden

pytestmark = pytest.mark.slow

PRUNE = ("prune", "recurrent_policy:gru", "--target", "rp2040", "--flash", "5200B", "--strategy", "uniform")
QUICK = ("--recovery-steps", "16", "--episodes", "4")
SAME = ("widths.json", "policy.safetensors", "model.int8.tflite", "golden.npz", "c/policy.c")


@pytest.fixture
def finished(secateur, tmp_path):
    folder = tmp_path / "run"
    code, _, said = secateur(*PRUNE, *QUICK, "-o", folder)
    assert code in (0, 4), said
    return folder


def test_a_recurrent_policy_goes_the_whole_way_and_a_killed_run_goes_on(
    secateur, finished, tmp_path, monkeypatch
):
    summary = read_finished(finished)
    widths = json.loads((finished / "widths.json").read_text())
    assert widths["cell.weight_ih"] < 12
    predicted, measured = summary["predicted"], summary["measured"]
    for exact in ("weights_bytes", "tables_bytes", "static_ram_bytes"):
        assert predicted[exact] == measured[exact], exact
    for bound in ("code_bytes", "stack_bytes"):
        assert predicted[bound] >= measured[bound], bound
    assert measured["flash_bytes"] <= 5200
    assert summary["parity"]["int8_mismatched_bytes"] == 0
    assert summary["parity"]["float_max_abs_error"] <= 1e-5
    _check_files(finished, widths)

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    broken = tmp_path / "broken"
    with monkeypatch.context() as patched:
        patched.setattr(stages, "close_loop", kill)
        with pytest.raises(Killed):
            secateur(*PRUNE, *QUICK, "-o", broken)
    code, _, said = secateur(*PRUNE, *QUICK, "-o", broken, "--resume")
    assert code in (0, 4), said
    for name in SAME:
        assert (finished / name).read_bytes() == (broken / name).read_bytes(), name
    assert read_finished(broken)["closed_loop"] == summary["closed_loop"]
    code, out, said = secateur("bench", finished, "--target", "rp2040", "--device", "emulator", "--json")
    assert code == 0, said
    assert json.loads(out)["parity"]["mismatched_bytes"] == 0


def test_in_several_cuts(secateur, tmp_path):
    folder = tmp_path / "run"
    code, _, said = secateur(*PRUNE, *QUICK, "--schedule", "iterative", "-o", folder)
    assert code in (0, 4), said
    assert read_finished(folder)["parity"]["int8_mismatched_bytes"] == 0
    assert json.loads((folder / "widths.json").read_text())["cell.weight_ih"] < 12


def _check_files(folder, widths):
    """Golden vectors are whole episodes from rest, and every form of the network keeps its states through them."""
    model, golden = (folder / "model.int8.tflite").read_bytes(), load_golden(folder / "golden.npz")
    network = read_tflite(model)
    assert network.states == {"hidden": "hidden"}
    assert read_tflite((folder / "model.float32.tflite").read_bytes()).states == {"hidden": "hidden"}
    fed, made = (network.tensors[side["hidden"]] for side in (network.inputs, network.outputs))
    assert fed.quantization == made.quantization
    assert fed.shape == (1, widths["cell.weight_ih"])
    assert golden.starts == tuple(range(0, golden.vectors, 20))
    assert golden.quantized_inputs.keys() == {"observation"}
    original = gru()[0]
    policy = rebuild(original, analyse(original), widths)
    load_weights(policy.module, folder / "policy.safetensors")
    entry, episodes = policy.entry(), len(golden.starts)
    seen = {"observation": torch.from_numpy(golden.inputs["observation"].reshape(episodes, 20, 3))}
    with torch.no_grad():
        outputs, before = run_along(
            entry, policy.module, fed_back(policy, entry), seen, at_rest(policy, episodes)
        )
    hidden = golden.inputs["hidden"].reshape(episodes, 20, -1)
    np.testing.assert_allclose(before["hidden"].numpy(), hidden, atol=1e-5)
    np.testing.assert_allclose(outputs["torque"].numpy().reshape(-1, 1), golden.torch["torque"], atol=1e-5)
    device = open_device("host", model, load_target("rp2040"), folder / "build")
    for start in golden.starts:
        device.reset()
        rows = slice(start, start + 20)
        answers = device.run({"observation": golden.quantized_inputs["observation"][rows]})
        for name, stored in golden.quantized.items():
            np.testing.assert_array_equal(answers[name], stored[rows])
    device.close()
