"""Exports to computers: every dtype against torch, on LiteRT and on tflite-runtime 2.14; the silent traps."""

import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from policies_of_parts import camera_policy, recurrent_policy, separable_policy, shared_policy, wide_policy
from torch import nn

from secateur.errors import SecateurError
from secateur.export.litert import run_signature, signature_details, signatures, to_real, to_stored
from secateur.export.quantize import CALIBRATED, RECIPES, convert, quantize
from secateur.export.read import read_tflite
from secateur.export.tflite import to_signatures
from secateur.litert.export import Wish, compare, export_files
from secateur.litert.sidecar import sidecar
from secateur.litert.source import Source, fed_back, open_source, own_entries
from secateur.policy.policy import Component, Entry, Policy
from secateur.target.target import load_any
from secateur.target.work import dtype_of

PI = load_any("raspberry-pi-4b")
LIMITS = {"float32": 1e-5, "float16": 2e-3, "dynamic": 0.03, "int8": 0.04, "int16x8": 0.03}
"""Largest error as a share of the outputs' range; these policies have random weights and random inputs."""


POLICIES = {
    "camera": camera_policy,
    "recurrent": recurrent_policy,
    "shared": shared_policy,
    "wide": wide_policy,
    "separable": separable_policy,
}


def silent(*_):
    return {}


@pytest.fixture(scope="module", autouse=True)
def _converted_once():
    """A conversion takes a second or two, and all dtypes start from the same one."""
    kept = {}

    def once(policy, entries):
        key = (policy.name, tuple(entries))
        if key not in kept:
            kept[key] = to_signatures(policy, entries)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secateur.litert.export.to_signatures", once)
        yield


@cache
def source(name):
    """A policy with inputs drawn around its examples."""
    policy, generator = POLICIES[name](), torch.Generator().manual_seed(1)
    visited = {
        key: torch.rand((96, *e.shape[1:]), generator=generator) * (2.0 if e.ndim == 2 else 1.0)
        for key, e in policy.entry().example_inputs.items()
        if key != "state"
    }
    return Source(name, name, policy, None, visited, (0,))


@cache
def exported(name, dtype, all_entries=True):
    return export_files(source(name), PI, Wish(dtype, all_entries=all_entries), silent, silent)


@pytest.mark.parametrize("dtype", RECIPES)
@pytest.mark.parametrize("name", POLICIES)
def test_every_file_computes_what_torch_does(name, dtype):
    for file in exported(name, dtype):
        assert dtype_of(read_tflite(file.model)) == dtype
        assert signatures(file.model) == file.entries
        for accuracy in file.accuracy.values():
            assert accuracy.rows >= 48
            assert accuracy.error_share <= LIMITS[dtype], (file.file, accuracy)


def test_components_at_rates_of_their_own_get_files_of_their_own():
    kinds = [(file.file, file.kind, file.component, file.entries) for file in exported("camera", "int8")]
    assert kinds == [
        ("camera.int8.tflite", "whole", None, ("act",)),
        ("camera.perception.int8.tflite", "component", "perception", ("look",)),
        ("camera.head.int8.tflite", "component", "head", ("steer",)),
        ("camera.entries.int8.tflite", "entries", None, ("act", "look", "steer")),
    ]
    assert own_entries(shared_policy()) == {}


def test_a_component_with_a_rate_needs_an_entry():
    whole = camera_policy()
    policy = Policy(whole.name, whole.module, whole.components, whole.entries[:1])
    with pytest.raises(SecateurError, match="no entry runs perception alone"):
        own_entries(policy)


@pytest.mark.parametrize("dtype", RECIPES)
def test_signatures_share_weights(dtype):
    *_, entries = exported("camera", dtype)
    model = schema.Model.GetRootAs(entries.model, 0)
    sizes = [model.Buffers(index).DataLength() for index in range(model.BuffersLength())]
    size = {"float32": 4, "float16": 2}.get(dtype, 1)
    for weights in (384 * 8, 12 * 16, 4 * 6 * 9):
        assert sizes.count(size * weights) == 1


@pytest.mark.parametrize("dtype", RECIPES)
def test_cameras_need_no_transpose(dtype):
    for file in exported("camera", dtype):
        assert "TRANSPOSE" not in {operator.kind for operator in read_tflite(file.model).operators}
    taken, _ = signature_details(exported("camera", dtype)[0].model, "act")
    assert taken["image"]["shape"] == [1, 32, 32, 3]


def test_folding_leaves_alone_what_another_reader_needs():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(256, 3)

        def act(self, image):
            flat = self.conv(image).flatten(1)
            return {"action": self.head(flat), "features": flat}

    policy = Policy(
        "both",
        Both().eval(),
        (Component("all", ("conv", "head")),),
        (Entry("act", Both.act, {"image": torch.rand(1, 3, 16, 16)}),),
    )
    image = torch.rand(4, 3, 16, 16)
    got = run_signature(to_signatures(policy, ("act",)), {"image": image.movedim(1, -1).numpy()})
    with torch.no_grad():
        wanted = {name: tensor.numpy() for name, tensor in policy.module.act(image).items()}
    assert compare(wanted, got).max_abs_error < 1e-5


def test_trap_1_weights_stay_inside_the_flatbuffer():
    for dtype in RECIPES:
        for file in exported("wide", dtype):
            model = schema.Model.GetRootAs(file.model, 0)
            offsets = [model.Buffers(index).Offset() for index in range(model.BuffersLength())]
            assert max(offsets) <= 1, dtype
    assert len(exported("wide", "int8")[0].model) > 256 * 1024


@pytest.mark.parametrize("dtype", sorted(CALIBRATED))
def test_trap_2_the_range_of_a_scalar_head_is_that_of_all_samples(dtype):
    """A moving average would forget the few large values among many small ones."""

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)
            self.layer.weight.data[:], self.layer.bias.data[:] = 1.0, 0.1

        def act(self, observation):
            return self.layer(observation)

    policy = Policy(
        "head",
        Head().eval(),
        (Component("layer", ("layer",)),),
        (Entry("act", Head.act, {"observation": torch.zeros(1, 2)}),),
    )
    samples = np.full((300, 2), 0.01, np.float32)
    samples[150] = 10.0
    samples[151] = -10.0
    model = convert(to_signatures(policy, ("act",)), dtype, {"act": {"observation": samples}})
    got = run_signature(model, {"observation": samples[150:152]}, "act")["act"]
    with torch.no_grad():
        wanted = policy.module.act(torch.from_numpy(samples[150:152])).numpy()
    np.testing.assert_allclose(got, wanted, atol=0.02 * np.abs(wanted).max())


def test_trap_3_weights_alone_are_not_for_microcontrollers(tmp_path, capsys, monkeypatch):
    """TFLM runs such models, inaccurately: the export and the bench for boards refuse them."""
    from secateur import cli

    path = tmp_path / "model.tflite"
    path.write_bytes(exported("wide", "dynamic")[0].model)
    for command in (
        ["export", str(path), "--target", "rp2040", "--format", "tflm", "-o", str(tmp_path / "out")],
        ["export", str(path), "--target", "rp2040", "--format", "c", "-o", str(tmp_path / "out")],
        ["bench", str(path), "--target", "rp2040", "--device", "tflm"],
    ):
        monkeypatch.setattr(sys, "argv", ["secateur", *command])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        assert "int8" in capsys.readouterr().err


def test_trap_4_dynamic_range_weights_have_one_scale():
    network = read_tflite(exported("wide", "dynamic")[0].model)
    weights = [tensor for tensor in network.tensors if tensor.constant and tensor.dtype == "int8"]
    assert len(weights) == 3
    assert all(len(tensor.quantization.scales) == 1 for tensor in weights)


def test_trap_4_depthwise_weights_stay_float():
    """By tensor, every runtime computes dynamic-range depthwise convolutions wrongly and says nothing."""
    network = read_tflite(exported("separable", "dynamic")[0].model)
    (depthwise,) = [operator for operator in network.operators if operator.kind == "DEPTHWISE_CONV_2D"]
    assert network.tensors[depthwise.inputs[1]].dtype == "float32"


@pytest.mark.parametrize("dtype", sorted(CALIBRATED))
def test_a_state_that_is_fed_back_has_one_scale(dtype):
    policy = recurrent_policy()
    assert fed_back(policy, policy.entry()) == {"state": "state"}
    taken, given = signature_details(exported("recurrent", dtype)[0].model, "act")
    assert taken["state"]["scale"] == given["state"]["scale"]
    assert taken["state"]["zero_point"] == given["state"]["zero_point"]


def test_a_long_memory_does_not_drift():
    model, policy = exported("recurrent", "int16x8")[0].model, recurrent_policy()
    generator, state = np.random.default_rng(0), np.zeros((1, 8), np.float32)
    exact = torch.zeros(1, 8)
    for _ in range(300):
        observation = generator.uniform(0, 2, (1, 3)).astype(np.float32)
        state = run_signature(model, {"observation": observation, "state": state}, "act")["state"]
        with torch.no_grad():
            exact = policy.module.act(torch.from_numpy(observation), exact)["state"]
    assert np.abs(state - exact.numpy()).max() < 0.05


def test_biases_of_a_shared_layer_fit_each_entry():
    """Written once for both, one entry would compute with the other's units, and nobody would say so."""
    for file in exported("shared", "int8"):
        assert all(accuracy.error_share < LIMITS["int8"] for accuracy in file.accuracy.values())


def test_the_deployed_dtype_is_chosen_by_measurement():
    asked = []

    def time(models):
        asked.append(set(models))
        return {"float32": 5e-6, "float16": 4e-6, "dynamic": 3e-6, "int8": 1e-6, "int16x8": 9e-6}

    def chosen(max_error):
        (file,) = export_files(source("wide"), PI, Wish("auto", max_error), time, silent)
        assert set(file.candidates) == set(RECIPES)
        return file.dtype

    assert chosen(0.1) == "int8"
    assert chosen(1e-3) in ("float16", "float32")
    assert asked[1] < asked[0]
    with pytest.raises(SecateurError, match="Raise --max-error"):
        chosen(1e-12)


def test_a_task_with_a_camera():
    loaded = open_source("policies_of_parts:camera", 0, silent)
    files = export_files(loaded, PI, Wish("int8"), silent, silent)
    document = sidecar(loaded, files)
    image = document["observation"]["inputs"]["image"]
    assert image["shape"] == [1, 32, 32, 3]
    assert image["index"] == {"start": 0}  # the camera's order is the network's
    assert image["scale"] == pytest.approx(1 / 255)
    assert document["observation"]["keys"] == ["image", "joints"]
    assert document["action"]["scale"] == pytest.approx(2.0)
    assert (document["action"]["low"], document["action"]["high"]) == (-1.0, 1.0)
    assert [(f["component"], f["rate_hz"]) for f in document["files"]] == [
        (None, None),
        ("perception", 10.0),
        ("head", None),
    ]
    json.dumps(document, allow_nan=False)


def test_a_file_that_is_nonsense_is_refused(monkeypatch):
    import secateur.litert.export as export

    monkeypatch.setattr(export, "WORST_ERROR", 1e-6)
    with pytest.raises(SecateurError, match="computes about what torch does"):
        export_files(source("wide"), PI, Wish("int8"), silent, silent)


def test_storing_is_undone():
    details = {"dtype": np.int8, "quantization": (0.05, -7)}
    values = np.linspace(-5, 5, 50, dtype=np.float32)
    np.testing.assert_allclose(to_real(to_stored(values, details), details), values, atol=0.0251)


def test_no_samples_no_ranges():
    model = to_signatures(shared_policy(), ("act",))
    with pytest.raises(SecateurError, match="calibration needs"):
        quantize(model, {"observation": np.zeros((0, 4), np.float32)})


OLD = """
import json, sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
folder = sys.argv[1]
for case in json.load(open(folder + "/cases.json")):
    runner = Interpreter(folder + "/" + case["file"], num_threads=1).get_signature_runner(case["signature"])
    given = np.load(folder + "/" + case["inputs"])
    rows = len(given[given.files[0]])
    answers = [runner(**{name: given[name][row:row + 1] for name in given.files}) for row in range(rows)]
    np.savez(folder + "/" + case["outputs"], **{n: np.concatenate([a[n] for a in answers]) for n in answers[0]})
"""


@pytest.mark.slow
def test_tflite_runtime_2_14_computes_the_same(tmp_path):
    """The runtime of older Raspberry Pi images, in an environment of its own since it needs numpy 1."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "old")], check=True)
    python = tmp_path / "old" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "tflite-runtime==2.14.0", "numpy<2"]
    subprocess.run(install, check=True)
    cases, wanted = [], []
    for name in POLICIES:
        for dtype in RECIPES:
            for file in exported(name, dtype):
                for entry in file.entries:
                    number = len(cases)
                    (tmp_path / f"{number}.tflite").write_bytes(file.model)
                    taken, given = signature_details(file.model, entry)
                    calls = source(name).calls()[entry]
                    images = {n for n, a in calls.inputs.items() if a.ndim == 4}
                    rows = np.linspace(0, len(next(iter(calls.inputs.values()))) - 1, 48).astype(int)
                    inputs = {n: np.moveaxis(a, 1, -1) if n in images else a for n, a in calls.inputs.items()}
                    stored = {
                        n: to_stored(
                            a[rows],
                            {**taken[n], "quantization": (taken[n]["scale"] or 0, taken[n]["zero_point"])},
                        )
                        for n, a in inputs.items()
                    }
                    np.savez(tmp_path / f"{number}.in.npz", **stored)
                    cases.append(
                        {
                            "file": f"{number}.tflite",
                            "signature": entry,
                            "inputs": f"{number}.in.npz",
                            "outputs": f"{number}.out.npz",
                        }
                    )
                    here = run_signature(file.model, {n: a[rows] for n, a in inputs.items()}, entry)
                    wanted.append(
                        (file, entry, here, {n: a[rows] for n, a in calls.outputs.items()}, given, dtype)
                    )
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    subprocess.run([str(python), "-c", OLD, str(tmp_path)], check=True)
    for case, (file, entry, here, outputs, given, dtype) in zip(cases, wanted):
        with np.load(tmp_path / case["outputs"]) as answers:
            got = {
                n: to_real(answers[n], {"quantization": (given[n]["scale"] or 0, given[n]["zero_point"])})
                for n in answers.files
            }
        # ranges that are found as it runs are rounded otherwise in the older runtime
        assert compare(here, got).error_share <= (0.03 if dtype == "dynamic" else 0.01), (file.file, entry)
        accuracy = compare(outputs, got)
        assert accuracy.error_share <= LIMITS[dtype], (file.file, entry, accuracy)
