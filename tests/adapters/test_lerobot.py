"""ACT as LeRobot saves it: the same actions, inspected, cut and exported.

``act_small`` holds an ``ACT`` of LeRobot 0.4.4 with random weights and without cameras, and what it gave. Where LeRobot
is installed, one with cameras is held against it too.
"""

import json
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from secateur.adapters import lerobot, told
from secateur.adapters.act import ACT, ACTShape
from secateur.adapters.resnet import ResNet
from secateur.adapters.told import TOLDShape
from secateur.device.devices import open_device
from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError
from secateur.export.litert import run_signature
from secateur.export.quantize import convert
from secateur.export.read import read_tflite
from secateur.export.tflite import to_signatures, to_tflite
from secateur.graph.groups import build_graph
from secateur.prune.surgery import cut
from secateur.target.target import load_target

SMALL = Path(__file__).parent / "act_small"


def copied(folder, config=None, weights=None, **files):
    """``act_small`` in another folder, with fields of its configuration and weights replaced."""
    told = {**json.loads((SMALL / "config.json").read_bytes()), **(config or {})}
    (folder / "config.json").write_text(json.dumps(told))
    state = {**load_file(SMALL / "model.safetensors"), **(weights or {})}
    save_file({k: t for k, t in state.items() if t is not None}, folder / "model.safetensors")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_actions_are_those_of_lerobot():
    policy = lerobot.load_act(SMALL, statistics={})
    golden = load_file(SMALL / "golden.safetensors")
    wanted = golden.pop("actions")
    with torch.no_grad():
        found = policy.module.act(**golden)["actions"]
    assert torch.allclose(found, wanted, atol=1e-5)
    assert [c.name for c in policy.components] == ["proprioception", "fusion", "decoder", "head"]


def agrees(policy):
    """Torch and LiteRT on random inputs, float32."""
    entry, generator = policy.entry(), torch.Generator().manual_seed(0)
    inputs = {n: torch.rand(e.shape, generator=generator) for n, e in entry.example_inputs.items()}
    with torch.no_grad():
        ((name, tensor),) = entry.run(policy.module, inputs).items()
    given = {n: (x.movedim(1, -1) if x.dim() == 4 else x).numpy() for n, x in inputs.items()}
    found = run_signature(to_signatures(policy, ["act"]), given, "act")[name]
    np.testing.assert_allclose(found, tensor.numpy(), atol=1e-5)


def test_it_is_inspected_and_cut():
    policy = lerobot.load_act(SMALL, statistics={})
    graph = build_graph(policy)
    inside = {c.name: [g for g in graph.groups if g.components == (c.name,)] for c in policy.components}
    assert len(inside["fusion"]) == 8  # heads, width of keys, of values, and of the hidden layer, twice
    assert len(inside["decoder"]) == 7
    (stream,) = [g for g in graph.groups if len(g.components) > 1]
    assert (stream.width, len(stream.components)) == (16, 4)
    pruned = cut(policy, graph, {g.name: torch.arange(max(1, g.width * 3 // 4)) for g in graph.groups})
    with torch.no_grad():
        assert pruned.entry().run(pruned.module, pruned.entry().example_inputs)["actions"].shape == (1, 5, 4)


@pytest.mark.slow
def test_it_is_exported():
    policy = lerobot.load_act(SMALL, statistics={})
    graph = build_graph(policy)
    agrees(cut(policy, graph, {g.name: torch.arange(max(1, g.width * 3 // 4)) for g in graph.groups}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype",
    ["int8", *(pytest.param(dtype, marks=pytest.mark.exhaustive) for dtype in ("int16x8", "float32"))],
)
def test_it_becomes_c(tmp_path, dtype):
    """Pruned, to one head but for int16x8, whose products LiteRT does not run then; the latent is a constant token."""
    policy = lerobot.load_act(SMALL, statistics={})
    graph = build_graph(policy)
    most = 2 if dtype == "int16x8" else 0  # heads that stay
    keep = {g.name: torch.arange(max(1, g.width * 3 // 4, min(most, g.width))) for g in graph.groups}
    pruned = cut(policy, graph, keep)
    entry, generator = pruned.entry(), np.random.default_rng(0)
    inputs = {
        n: generator.standard_normal((32, *e.shape[1:])).astype(np.float32)
        for n, e in entry.example_inputs.items()
    }
    plain = to_tflite(pruned)
    model = convert(plain, dtype, {"": inputs})
    with torch.no_grad():
        wanted = entry.run(pruned.module, {n: torch.from_numpy(a) for n, a in inputs.items()})[
            "actions"
        ].numpy()
    answers = run_signature(model, inputs)["actions"]
    allowed = {"int8": 0.03, "int16x8": 0.005, "float32": 1e-6}[dtype]
    assert np.sqrt(np.mean((answers - wanted) ** 2)) <= allowed * np.ptp(wanted)

    board, network = load_target("stm32f446re"), read_tflite(model)
    for operator in network.operators:  # what is learnt alone was computed once and for all
        assert not all(network.tensors[index].constant for index in operator.inputs if index != -1)
    stored = random_inputs(network, 16, generator)
    devices = {kind: open_device(kind, model, board, tmp_path / kind) for kind in ("tflm", "host")}
    expected, made = (device.run(stored)["actions"] for device in devices.values())
    if dtype == "float32":
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(made, expected)
    assert len(np.unique(expected)) > 10
    for device in devices.values():
        device.close()


MEANS = {
    "observation.state.mean": torch.full((6,), 0.5),
    "observation.state.std": torch.full((6,), 2.0),
    "observation.environment_state.mean": torch.zeros(3),
    "observation.environment_state.std": torch.ones(3),
    "action.mean": torch.full((4,), 10.0),
    "action.std": torch.full((4,), 3.0),
}


def processor(kind):
    return {
        "steps": [{"registry_name": "rename"}, {"registry_name": kind, "state_file": "stats.safetensors"}]
    }


def test_statistics_become_layers(tmp_path):
    """From the processors' files, from among the weights, or given: the same numbers do the same."""
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    steps = {
        "policy_preprocessor": processor("normalizer_processor"),
        "policy_postprocessor": processor("unnormalizer_processor"),
    }
    save_file(
        MEANS, copied(tmp_path / "new", {"normalization_mapping": MODES}, **steps) / "stats.safetensors"
    )
    old = {}
    for name, tensor in MEANS.items():
        feature, _, number = name.rpartition(".")
        where = "unnormalize_outputs" if feature == "action" else "normalize_inputs"
        old[f"{where}.buffer_{feature.replace('.', '_')}.{number}"] = tensor
    copied(tmp_path / "old", {"normalization_mapping": MODES}, old)
    given = {}
    for name, tensor in MEANS.items():
        feature, _, number = name.rpartition(".")
        given.setdefault(feature, {})[number] = tensor
    bare, x = lerobot.load_act(SMALL, statistics={}).module, torch.rand(2, 6)
    with torch.no_grad():
        normal = bare.act(state=(x - 0.5) / 2, environment_state=torch.ones(2, 3))["actions"]
        for policy in (
            lerobot.load_act(tmp_path / "new"),
            lerobot.load_act(tmp_path / "old"),
            lerobot.load_act(copied(tmp_path, {"normalization_mapping": MODES}), statistics=given),
        ):
            found = policy.module.act(state=x, environment_state=torch.ones(2, 3))["actions"]
            assert torch.allclose(found, normal * 3 + 10, atol=1e-4)


MODES = {"STATE": "MEAN_STD", "ENV": "MEAN_STD", "ACTION": "MEAN_STD", "VISUAL": "MEAN_STD"}


def test_limits_become_layers(tmp_path):
    modes = {"STATE": "MIN_MAX", "ACTION": "MIN_MAX"}
    limits = {"min": torch.full((6,), -1.0), "max": torch.full((6,), 3.0)}
    given = {"observation.state": limits, "action": {"min": torch.zeros(4), "max": torch.full((4,), 8.0)}}
    policy = lerobot.load_act(copied(tmp_path, {"normalization_mapping": modes}), statistics=given)
    bare, x, other = lerobot.load_act(SMALL, statistics={}).module, torch.rand(2, 6), torch.ones(2, 3)
    with torch.no_grad():
        found = policy.module.act(state=x, environment_state=other)["actions"]
        wanted = (bare.act(state=2 * (x + 1) / 4 - 1, environment_state=other)["actions"] + 1) / 2 * 8
    assert torch.allclose(found, wanted, atol=1e-4)


CROWD = {f"observation.images.c{n}": {"type": "VISUAL", "shape": [3, 4096, 4096]} for n in range(60)}
"""Example pictures of 12 GB together."""


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        ({"type": "pi0"}, {}, "type 'pi0'"),
        ({"vision_backbone": "resnet50"}, {}, "resnet50"),
        ({"dim_model": "wide"}, {}, "ValueError"),
        ({"dim_model": 18}, {}, "multiple"),
        ({"chunk_size": 1 << 30}, {}, "sizes are"),
        ({"dim_model": 1 << 16, "dim_feedforward": 1 << 16}, {}, r"65536\] is expected"),
        ({"n_encoder_layers": 1 << 10}, {}, "sizes are"),
        ({"input_features": [1]}, {}, "AttributeError"),
        ({"input_features": CROWD}, {}, "cameras give more than"),
        ({"normalization_mapping": [1]}, {}, "a mode for each kind"),
        ({"input_features": {"observation.sound": {"type": "AUDIO", "shape": [3]}}}, {}, "AUDIO"),
        ({"n_encoder_layers": 3}, {}, "encoder.layers.2"),
        ({}, {"model.action_head.weight": torch.zeros(3, 16)}, r"\[3, 16\]"),
        ({}, {"model.action_head.weight": None}, "missing"),
        ({}, {"model.adapter.weight": torch.zeros(3)}, "left over"),
        ({}, {"model.action_head.bias": torch.full((4,), float("nan"))}, "NaN"),
    ],
)
def test_what_is_no_such_policy_is_refused(tmp_path, config, weights, words):
    with pytest.raises(SecateurError, match=words):
        lerobot.load_act(copied(tmp_path, config, weights), statistics={})


def test_statistics_that_are_missing_or_elsewhere(tmp_path):
    copied(tmp_path, {"normalization_mapping": MODES})
    with pytest.raises(SecateurError, match=r"observation\.state is normalised by MEAN_STD, and has none"):
        lerobot.load_act(tmp_path)
    out = {"steps": [{"registry_name": "normalizer_processor", "state_file": "../stats.safetensors"}]}
    copied(tmp_path, {"normalization_mapping": MODES}, policy_preprocessor=out)
    with pytest.raises(SecateurError, match="in the same folder"):
        lerobot.load_act(tmp_path)
    copied(tmp_path, {"normalization_mapping": MODES}, policy_preprocessor={"steps": [1]})
    with pytest.raises(SecateurError, match="a list of steps"):
        lerobot.load_act(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(SecateurError, match="whole safetensors"):
        lerobot.load_act(tmp_path, statistics={})


def test_the_backbone_has_the_names_of_resnet_18():
    kinds = ("conv1.weight", "conv2.weight", *(f"bn{n}.{p}" for n in (1, 2) for p in NORM))
    wanted = {"conv1.weight", *(f"bn1.{p}" for p in NORM)}
    for stage in range(1, 5):
        wanted |= {f"layer{stage}.{block}.{kind}" for block in (0, 1) for kind in kinds}
    shortcuts = {
        f"layer{stage}.0.downsample.{p}"
        for stage in (2, 3, 4)
        for p in ("0.weight", *(f"1.{n}" for n in NORM))
    }
    found = {name for name in ResNet((2, 2, 2, 2)).state_dict() if "num_batches" not in name}
    assert found == wanted | shortcuts


NORM = ("weight", "bias", "running_mean", "running_var")

TOLD = TOLDShape((3, 64, 64), 0, 4, 2, 10, 12, 6, 7, 2)


def tdmpc(folder, weights=None):
    """A TD-MPC with random weights that reads a camera and joints, saved as LeRobot does."""
    torch.manual_seed(0)
    state = {f"model.{k}": t + 0.1 * torch.randn_like(t) for k, t in told.TOLD(TOLD).state_dict().items()}
    config = {
        "type": "tdmpc",
        "input_features": {
            "observation.image": {"type": "VISUAL", "shape": [3, 64, 64]},
            "observation.state": {"type": "STATE", "shape": [4]},
        },
        "output_features": {"action": {"type": "ACTION", "shape": [2]}},
        "normalization_mapping": {"ACTION": "MIN_MAX"},
        **{"latent_dim": 10, "mlp_dim": 12, "image_encoder_hidden_dim": 6, "state_encoder_hidden_dim": 7},
        "q_ensemble_size": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    limits = {"min": torch.tensor([-2.0, 0.0]), "max": torch.tensor([2.0, 1.0])}
    among = {f"unnormalize_outputs.buffer_action.{name}": t for name, t in limits.items()}
    target = {"model_target._V.0.weight": torch.zeros(1)}
    save_file({**state, **among, **target, **(weights or {})}, folder / "model.safetensors")
    return folder


def test_a_tdmpc_is_inspected_and_cut(tmp_path):
    policy = lerobot.load_tdmpc(tdmpc(tmp_path))
    graph = build_graph(policy)
    (latent,) = [g for g in graph.groups if len(g.components) > 1]
    assert set(latent.components) == {"encoder", "dynamics", "reward", "policy", "values"}
    pruned = cut(policy, graph, {g.name: torch.arange(max(1, g.width * 3 // 4)) for g in graph.groups})
    x = {"image": torch.rand(2, 3, 64, 64), "state": torch.rand(2, 4)}
    for one in (policy, pruned):
        with torch.no_grad():
            chosen = one.module.choose(one.module.encode(**x))
            acted = one.module.act(**x)["robot_action"]
        assert torch.allclose(acted, chosen * torch.tensor([2.0, 0.5]) + torch.tensor([0.0, 0.5]), atol=1e-5)
    with pytest.raises(SecateurError, match=r"_V\.0\.bias"):
        lerobot.load_tdmpc(tdmpc(tmp_path, {"model._V.0.bias": torch.zeros(3)}))


@pytest.mark.parametrize("name", ["latent_dim", "mlp_dim", "image_encoder_hidden_dim"])
def test_sizes_that_no_weights_bear_out_fill_no_memory(tmp_path, name):
    """A layer of 65,536 by 65,536 would take 16 GiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    config = json.loads((tdmpc(tmp_path) / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, name: 1 << 16}))
    with pytest.raises(SecateurError, match="the TDMPC in"):
        lerobot.load_tdmpc(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (64 << 10)  # KiB


@pytest.mark.slow
def test_a_tdmpc_is_exported(tmp_path):
    policy = lerobot.load_tdmpc(tdmpc(tmp_path))
    graph = build_graph(policy)
    agrees(cut(policy, graph, {g.name: torch.arange(max(1, g.width * 3 // 4)) for g in graph.groups}))


def test_latents_are_those_of_an_installed_lerobot(tmp_path):
    modelling = pytest.importorskip("lerobot.policies.tdmpc.modeling_tdmpc")
    from lerobot.configs.types import FeatureType, PolicyFeature

    told_of = json.loads((tdmpc(tmp_path) / "config.json").read_bytes())
    config = modelling.TDMPCConfig(
        input_features={
            "observation.image": PolicyFeature(type=FeatureType.VISUAL, shape=(3, 64, 64)),
            "observation.state": PolicyFeature(type=FeatureType.STATE, shape=(4,)),
        },
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(2,))},
        device="cpu",
        **{key: n for key, n in told_of.items() if isinstance(n, int)},
    )
    theirs = modelling.TDMPCTOLD(config).eval()
    policy = lerobot.load_tdmpc(tmp_path)
    theirs.load_state_dict(policy.module.model.state_dict())
    x = {"image": torch.rand(2, 3, 64, 64), "state": torch.rand(2, 4)}
    with torch.no_grad():
        latent = policy.module.encode(**x)
        named = {f"observation.{name}": tensor for name, tensor in x.items()}
        assert torch.allclose(latent, theirs.encode(named), atol=1e-5)
        action = theirs.pi(latent)
        assert torch.allclose(policy.module.choose(latent), action, atol=1e-5)
        after, reward = theirs.latent_dynamics_and_reward(latent, action)
        assert torch.allclose(policy.module.next(latent, action), after, atol=1e-5)
        assert torch.allclose(policy.module.reward(latent, action)[:, 0], reward, atol=1e-5)
        found = torch.cat(list(policy.module.value(latent, action).values()), 1)
        assert torch.allclose(found.T, theirs.Qs(latent, action), atol=1e-5)
        assert torch.allclose(policy.module.state_value(latent)[:, 0], theirs.V(latent), atol=1e-5)


CAMERAS = ACTShape(4, 0, {"images_top": (64, 96)}, 3, 4, 16, 2, 24, 1, 1)


def with_camera(folder):
    """A policy with random weights that reads a camera and joints, saved as LeRobot does."""
    torch.manual_seed(0)
    state = {f"model.{k}": t for k, t in ACT(CAMERAS).state_dict().items() if "num_batches" not in k}
    features = {
        "observation.images.top": {"type": "VISUAL", "shape": [3, 64, 96]},
        "observation.state": {"type": "STATE", "shape": [4]},
    }
    sizes = {
        "chunk_size": 4,
        "n_encoder_layers": 1,
        "output_features": {"action": {"type": "ACTION", "shape": [3]}},
    }
    copied(folder, {**sizes, "input_features": features})
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.mark.slow
def test_a_camera_goes_through(tmp_path):
    policy = lerobot.load_act(with_camera(tmp_path), statistics={})
    graph = build_graph(policy)
    kept = {g.name: 6 if g.width > 16 else g.width for g in graph.groups}
    agrees(cut(policy, graph, {name: torch.arange(width) for name, width in kept.items()}))


def test_actions_with_cameras_are_those_of_an_installed_lerobot(tmp_path):
    modelling = pytest.importorskip("lerobot.policies.act.modeling_act")
    from lerobot.configs.types import FeatureType, PolicyFeature

    def feature(kind, *shape):
        return PolicyFeature(type=FeatureType[kind], shape=shape)

    told = json.loads((with_camera(tmp_path) / "config.json").read_bytes())
    theirs = modelling.ACT(
        modelling.ACTConfig(
            input_features={
                "observation.images.top": feature("VISUAL", 3, 64, 96),
                "observation.state": feature("STATE", 4),
            },
            output_features={"action": feature("ACTION", 3)},
            pretrained_backbone_weights=None,
            n_action_steps=4,
            device="cpu",
            **{key: told[key] for key in ("chunk_size", "dim_model", "n_heads", "dim_feedforward")},
            **{key: told[key] for key in ("n_encoder_layers", "n_decoder_layers", "latent_dim", "use_vae")},
        )
    ).eval()
    with torch.no_grad():
        for tensor in theirs.state_dict().values():
            tensor.add_(0.1 * torch.rand_like(tensor) if tensor.dim() == 1 else 0.0)
    save_file(
        {f"model.{k}": t.clone() for k, t in theirs.state_dict().items()}, tmp_path / "model.safetensors"
    )
    image, joints = torch.rand(2, 3, 64, 96), torch.rand(2, 4)
    ours = lerobot.load_act(tmp_path, statistics={}).module
    with torch.no_grad():
        wanted, _ = theirs({"observation.images": [image], "observation.state": joints})
        assert torch.allclose(ours.act(images_top=image, state=joints)["actions"], wanted, atol=1e-4)
