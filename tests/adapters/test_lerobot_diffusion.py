"""Diffusion Policy as LeRobot saves it: inspected, cut, exported, sampled; held against an installed LeRobot.

The networks have LeRobot's structure and a tenth of its channels.
"""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusion_folder import CONFIG, SHAPE, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_runtime import for_tflm
from safetensors.torch import save_file

from secateur.adapters import lerobot
from secateur.adapters.denoising import BETAS, denoising_steps
from secateur.device.devices import open_device
from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError
from secateur.export.litert import run_signature
from secateur.export.quantize import convert
from secateur.export.read import read_tflite
from secateur.export.tflite import to_tflite
from secateur.graph.groups import build_graph
from secateur.prune.analyse import analyse
from secateur.prune.surgery import cut, rebuild
from secateur.target.target import load_target


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return lerobot.load_diffusion(saved(tmp_path_factory.mktemp("diffusion")), statistics={})


def observation(policy, rows=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    examples = policy.entry("encode").example_inputs
    return {name: torch.rand(rows, *e.shape[1:], generator=generator) for name, e in examples.items()}


def narrowed(policy, share=0.6):
    graph = analyse(policy)
    keep = {g.name: torch.arange(max(1, int(share * g.width))) + g.width // 4 for g in graph.groups}
    return graph, cut(policy, graph, keep), keep


def test_components_entries_and_calls(policy):
    assert [c.name for c in policy.components] == ["perception", "unet"]
    assert [(e.name, e.calls_per_step) for e in policy.entries] == [("encode", 1), ("denoise", 4)]
    assert policy.deployed == "denoise"
    assert list(policy.entry("encode").example_inputs) == [
        f"{name}_{time}" for time in (0, 1) for name in ("images_top", "state")
    ]


def test_every_width_but_those_of_outside_is_cut(policy):
    graph, pruned, _ = narrowed(policy)
    couples = [g for g in graph.groups if g.coupling]
    assert [g.name for g in couples] == ["model.rgb_encoder.out"]  # what perception tells the U-Net
    assert sum(p.numel() for p in pruned.module.parameters()) < 0.45 * sum(
        p.numel() for p in policy.module.parameters()
    )
    counted = {".".join(source) for source in graph.trace.counts}
    assert (
        "model.unet.mid_modules.0.conv1.block.1.num_groups" in counted
    )  # groups go as well as channels in each
    outside = {
        "it is a place, not a channel",
        "encode takes it from outside",
        "denoise takes it from outside",
    }
    outside |= {"denoise gives it to the outside"}
    assert {w.why for w in graph.whole} <= outside
    noise = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert pruned.module.act(noise, **observation(policy)).shape == (2, 4, 3)


def test_a_buffer_that_is_cut_is_saved_with_the_weights(policy):
    graph, pruned, keep = narrowed(policy)
    again = rebuild(policy, graph, {name: len(index) for name, index in keep.items()})
    again.module.load_state_dict(pruned.module.state_dict())
    x = {"sample": torch.randn(1, 8, 3), "step": torch.eye(4)[2:3], "condition": None}
    x["condition"] = torch.rand(pruned.entry().example_inputs["condition"].shape)
    with torch.no_grad():
        one, two = (p.entry().run(p.module, x)["prediction"] for p in (pruned, again))
    assert torch.equal(one, two)


def drawn(entry, calls):
    """Inputs of some calls: pictures in 0–1, and steps one after the other."""
    generator = np.random.default_rng(0)
    inputs = {}
    for name, example in entry.example_inputs.items():
        shape = (calls, *example.shape[1:])
        normal = generator.standard_normal(shape)
        inputs[name] = (generator.random(shape) if "images" in name else normal).astype(np.float32)
    if "step" in inputs:
        inputs["step"] = np.eye(inputs["step"].shape[1], dtype=np.float32)[np.arange(calls) % 4]
        inputs["condition"] = np.abs(inputs["condition"])
    return inputs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoise", pytest.param("encode", marks=pytest.mark.exhaustive)])
def test_an_entry_is_exported(policy, tmp_path, name):
    """Cut to odd widths: float .tflite = torch, int8 near it; C gives the bytes of TFLM."""
    _, pruned, _ = narrowed(policy)
    entry = pruned.entry(name)
    inputs = drawn(entry, 12)
    with torch.no_grad():
        (wanted,) = entry.run(pruned.module, {n: torch.from_numpy(a) for n, a in inputs.items()}).values()
    plain = to_tflite(pruned, name)
    (found,) = run_signature(plain, inputs).values()
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
    model = convert(plain, "int8", {"": inputs})
    (found,) = run_signature(model, inputs).values()
    assert np.sqrt(np.mean((found - wanted.numpy()) ** 2)) < 0.05 * np.ptp(wanted.numpy())
    network = read_tflite(model)
    assert not any(operator.kind == "TRANSPOSE_CONV" for operator in network.operators)
    stored, board = random_inputs(network, 4, np.random.default_rng(1)), load_target("stm32h743")
    answers = []
    for kind, bytes_ in (("tflm", for_tflm(model)), ("host", model)):
        with closing(open_device(kind, bytes_, board, tmp_path / kind)) as device:
            answers += device.run(stored).values()
    np.testing.assert_array_equal(*answers)
    assert len(np.unique(answers[0])) > 10


CASES = st.fixed_dictionaries(
    {
        "noise_scheduler_type": st.sampled_from(["DDPM", "DDIM"]),
        "beta_schedule": st.sampled_from(sorted(BETAS)),
        "prediction_type": st.sampled_from(["epsilon", "sample"]),
        "clip_sample": st.booleans(),
        "num_train_timesteps": st.integers(2, 200),
    }
)


@settings(max_examples=60, deadline=None)
@given(CASES, st.integers(1, 200))
def test_a_sampler_that_is_told_the_truth_arrives_there(told, count):
    """Where the network knows the noise (or the actions), every sampler ends at the actions."""
    config = {**CONFIG, **told}
    steps = denoising_steps(config, min(count, config["num_train_timesteps"]))
    generator = np.random.default_rng(0)
    truth, x = generator.uniform(-1, 1, 5), generator.standard_normal(5)
    kept = np.cumprod(1 - BETAS[config["beta_schedule"]](1e-4, 0.02, config["num_train_timesteps"]))
    assert [one.time for one in steps] == sorted((one.time for one in steps), reverse=True)
    for one in steps:
        left = kept[one.time]
        answer = (x - np.sqrt(left) * truth) / np.sqrt(1 - left)
        answer = answer if config["prediction_type"] == "epsilon" else truth
        start = np.clip(one.sample_share * x + one.answer_share * answer, -one.limit, one.limit)
        np.testing.assert_allclose(start, truth, atol=1e-4)
        x = one.start_kept * start + one.sample_kept * x + one.answer_kept * answer
        x = x + one.noise_added * generator.standard_normal(5)
    np.testing.assert_allclose(x, truth, atol=1e-4)


def test_cameras_apart_and_other_options(tmp_path):
    two = {f"observation.images.{n}": {"type": "VISUAL", "shape": [3, 64, 72]} for n in ("top", "side")}
    state = {"observation.state": {"type": "STATE", "shape": [4]}}
    cameras = {"images_top": (64, 72), "images_side": (64, 72)}
    shape = replace(SHAPE, cameras=cameras, apart=True, scaled=False, grouped=False, crop=None)
    config = {
        **{"use_separate_rgb_encoder_per_camera": True, "crop_shape": None, "use_group_norm": False},
        **{"use_film_scale_modulation": False, "input_features": {**two, **state}},
    }
    policy = lerobot.load_diffusion(saved(tmp_path, shape, **config), statistics={})
    assert [c.name for c in policy.components] == ["perception_images_top", "perception_images_side", "unet"]
    couples = {g.name: g.components for g in build_graph(policy).groups if g.coupling}
    assert couples == {
        f"model.rgb_encoder.{n}.out": (name, "unet")
        for n, name in enumerate(("perception_images_top", "perception_images_side"))
    }


def test_without_a_camera(tmp_path):
    features = {
        "observation.state": {"type": "STATE", "shape": [4]},
        "observation.environment_state": {"type": "ENV", "shape": [3]},
    }
    shape = replace(SHAPE, cameras={}, vectors={"state": 4, "environment_state": 3})
    policy = lerobot.load_diffusion(saved(tmp_path, shape, input_features=features), statistics={})
    assert [c.name for c in policy.components] == ["unet"]
    x = {
        f"{n}_{t}": torch.full((1, size), 10.0 * t + size)
        for t in (0, 1)
        for n, size in shape.vectors.items()
    }
    found = policy.module.encode(**x)["condition"][0]
    assert found.tolist() == [4.0] * 4 + [3.0] * 3 + [14.0] * 4 + [13.0] * 3  # steps one after the other


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        ({"type": "act"}, {}, "type 'act'"),
        ({"vision_backbone": "resnet50"}, {}, "resnet50"),
        ({"noise_scheduler_type": "Euler"}, {}, "noise scheduler"),
        ({"beta_schedule": "sigmoid"}, {}, "schedule of noise"),
        ({"num_inference_steps": 101}, {}, "101 steps of 100"),
        ({"horizon": 7}, {}, "the levels halve"),
        ({"horizon": 1 << 15}, {}, "larger than"),
        ({"n_action_steps": 8}, {}, "more actions"),
        ({"down_dims": [16, 22]}, {}, "multiples of n_groups"),
        ({"resize_shape": [32, 32]}, {}, "resized"),
        ({"diffusion_step_embed_dim": 1 << 16}, {}, "not what the weights have"),
        ({"spatial_softmax_num_keypoints": 6}, {}, r"\[6, 128, 1, 1\]|is expected"),
        ({"crop_shape": [65, 64]}, {}, "crop_shape"),
        ({"down_dims": "wide"}, {}, "ValueError"),
        ({"horizon": float("inf")}, {}, "OverflowError"),
        ({"num_inference_steps": 0}, {}, "0 steps of 100"),
        ({"diffusion_step_embed_dim": 2}, {}, "diffusion_step_embed_dim is odd or 2"),
        ({}, {"diffusion.unet.diffusion_step_encoder.1.weight": torch.tensor(0.0)}, "IndexError"),
        ({}, {"diffusion.unet.up_modules.0.2.bias": torch.zeros(2, 2)}, "RuntimeError"),
        ({}, {"diffusion.rgb_encoder.backbone.0.weight": torch.zeros(0, 3, 7, 7)}, "0 channels"),
        ({}, {"diffusion.unet.final_conv.1.bias": None}, "missing"),
        ({}, {"diffusion.unet.extra": torch.zeros(2)}, "left over"),
    ],
)
def test_what_is_no_such_policy_is_refused(tmp_path, config, weights, words):
    with pytest.raises(SecateurError, match=words):
        lerobot.load_diffusion(saved(tmp_path, weights=weights, **config), statistics={})


@pytest.mark.parametrize("scheduler", ["DDIM", "DDPM"])
def test_actions_are_those_of_an_installed_lerobot(tmp_path, scheduler):
    modelling = pytest.importorskip("lerobot.policies.diffusion.modeling_diffusion")
    from lerobot.configs.types import FeatureType, PolicyFeature

    told = {
        key: value
        for key, value in CONFIG.items()
        if key not in ("type", "input_features", "output_features")
    }
    theirs = modelling.DiffusionModel(
        modelling.DiffusionConfig(
            input_features={
                "observation.images.top": PolicyFeature(type=FeatureType.VISUAL, shape=(3, 64, 72)),
                "observation.state": PolicyFeature(type=FeatureType.STATE, shape=(4,)),
            },
            output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(3,))},
            device="cpu",
            **{**told, "noise_scheduler_type": scheduler, "down_dims": (16, 24), "crop_shape": (60, 64)},
        )
    ).eval()
    with torch.no_grad():
        for tensor in theirs.state_dict().values():
            tensor.add_(0.1 * torch.rand_like(tensor) if tensor.dim() == 1 else 0.0)
    save_file(
        {f"diffusion.{k}": t.contiguous() for k, t in theirs.state_dict().items()},
        tmp_path / "model.safetensors",
    )
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "noise_scheduler_type": scheduler}))
    ours = lerobot.load_diffusion(tmp_path, statistics={})
    x, noise = observation(ours), torch.randn(2, 8, 3)
    batch = {
        "observation.state": torch.stack([x["state_0"], x["state_1"]], 1),
        "observation.images": torch.stack([x["images_top_0"], x["images_top_1"]], 1)[:, :, None],
    }
    with torch.no_grad():
        condition = theirs._prepare_global_conditioning(batch)
        assert torch.allclose(ours.module.encode(**x)["condition"], condition, atol=1e-4)
        torch.manual_seed(1)
        wanted = theirs.conditional_sample(2, condition, noise=noise)[:, 1:5]
        torch.manual_seed(1)
        assert torch.allclose(ours.module.act(noise, **x), wanted, atol=1e-4)
