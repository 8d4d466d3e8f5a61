"""The shipped TD-MPC cart-pole: its environment, its contract, its skill and its training script."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from secateur.errors import SecateurError
from secateur.policy.load import Loaded, load
from secateur.policy.planning import PlannerSettings
from secateur.policy.weights import load_weights
from secateur.shipped import shipped_folder
from secateur.simulate.planner import EntryModel, Planner

FOLDER = shipped_folder("policies") / "tdmpc_cartpole"
COMPONENTS = ("encoder", "dynamics", "reward", "value", "policy")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small networks are slower on many threads, and tests share the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planner_of(loaded: Loaded, seed: int = 0):
    """Observation ``[5]`` → action ``[1]`` by planning, and the planner."""
    planner = Planner(EntryModel(loaded.policy, loaded.policy.planning), PlannerSettings(), seed)

    def decide(observation):
        return planner.plan({"observation": torch.from_numpy(observation)[None]})[0].numpy()

    return decide, planner


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load("tdmpc_cartpole")


@pytest.fixture(scope="module")
def definition(loaded: Loaded):
    """The module policy.py, for ``describe`` and the environment."""
    return sys.modules[loaded.task.to_inputs.__module__]


def episode(task, decide, seed: int) -> tuple[float, dict]:
    env = task.make_env()
    observation, info = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        observation, reward, terminated, truncated, info = env.step(decide(observation))
        total, over = total + reward, terminated or truncated
    env.close()
    return total, info


def acting(loaded: Loaded, module=None):
    module, entry = module or loaded.policy.module, loaded.policy.entry()

    def decide(observation):
        inputs = {k: torch.from_numpy(v) for k, v in loaded.task.to_inputs(observation).items()}
        with torch.no_grad():
            return loaded.task.to_action({k: v.numpy() for k, v in entry.run(module, inputs).items()})

    return decide


# --- environment ---


@pytest.mark.filterwarnings("ignore:.*observation space.*infinity")
def test_environment_passes_gymnasiums_check(loaded):
    env = loaded.task.make_env()
    check_env(env, skip_render_check=True)
    assert env.dt == pytest.approx(1 / loaded.task.control_hz)


def test_same_seed_same_episode_and_another_seed_another(loaded):
    def trace(seed: int) -> np.ndarray:
        env = loaded.task.make_env()
        rows = [env.reset(seed=seed)[0]]
        actions = np.random.default_rng(0).uniform(-1, 1, (40, 1)).astype(np.float32)
        rows += [env.step(action)[0] for action in actions]
        return np.stack(rows)

    assert np.array_equal(trace(5), trace(5))
    assert not np.array_equal(trace(5), trace(6))


def test_it_starts_hanging_and_lasts_250_steps_without_ending_early(loaded):
    env = loaded.task.make_env()
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        assert observation[1] < -0.9
        assert info == {"upright": False, "held_s": 0.0, "success": False}
    ends = [env.step(np.ones(1, np.float32))[2:4] for _ in range(250)]
    assert [e[1] for e in ends] == [False] * 249 + [True]
    assert not any(e[0] for e in ends)


def test_reward_is_one_at_rest_upright_in_the_middle_and_zero_hanging(definition):
    reward_of = sys.modules[definition.CartPoleSwingUp.__module__].reward_of
    assert reward_of(0.0, 0.0, 0.0, 0.0) == pytest.approx(1.0)
    assert reward_of(0.0, np.pi, 0.0, 0.0) == pytest.approx(0.0)
    assert 0 < reward_of(1.0, 0.5, 2.0, 1.0) < reward_of(0.5, 0.5, 2.0, 1.0) < 1


def test_held_time_counts_from_the_moment_it_is_upright_and_a_fall_resets_it(loaded):
    env = loaded.task.make_env()
    env.reset(seed=0)
    env.set_state(np.array([0.0, 0.05]), np.zeros(2))
    infos = [env.step(np.zeros(1, np.float32))[4] for _ in range(25)]
    assert infos[0]["held_s"] == pytest.approx(0.04)
    assert infos[0]["upright"]
    assert not infos[-1]["upright"]
    assert infos[-1]["held_s"] == 0.0


def test_every_push_goes_through_do_simulation(loaded, monkeypatch):
    env = loaded.task.make_env()
    env.reset(seed=0)
    seen = []
    monkeypatch.setattr(
        env.unwrapped, "do_simulation", lambda ctrl, n_frames: seen.append((ctrl.copy(), n_frames))
    )
    env.step(np.array([0.3], np.float32))
    assert len(seen) == 1
    assert seen[0][0] == pytest.approx([0.3])
    assert seen[0][1] == 4
    assert np.all(env.data.ctrl == 0)


# --- contract ---


def test_components_hold_every_parameter_and_the_paper_sizes(loaded):
    policy = loaded.policy
    assert tuple(c.name for c in policy.components) == COMPONENTS
    sizes = dict.fromkeys(COMPONENTS, 0)
    owner = policy.component_of()
    for path, parameter in policy.module.named_parameters():
        sizes[owner[path]] += parameter.numel()
    assert sum(sizes.values()) == 1_487_976
    assert sizes["encoder"] + sizes["policy"] == 303_667


def test_entries_have_the_declared_shapes_and_feed_each_other(loaded):
    policy = loaded.policy
    shapes = {}
    with torch.no_grad():
        for entry in policy.entries:
            shapes |= {
                f"{entry.name}.{k}": tuple(v.shape)
                for k, v in entry.run(policy.module, entry.example_inputs).items()
            }
    assert shapes == {
        "act.action": (1, 1),
        "encode.encode": (1, 50),
        "next.next": (1, 50),
        "reward.reward": (1, 1),
        "value.q1": (1, 1),
        "value.q2": (1, 1),
        "choose.choose": (1, 1),
    }
    assert policy.deployed == "act"
    for name in ("next", "reward", "value"):
        assert policy.entry(name).feeds == {"latent": ("encode", "next"), "action": ("act",)}


def test_example_observation_is_in_range_of_real_ones(loaded):
    env = loaded.task.make_env()
    inputs = loaded.task.to_inputs(env.reset(seed=0)[0])
    example = loaded.policy.entry("act").example_inputs["observation"]
    assert inputs["observation"].shape == tuple(example.shape)
    assert inputs["observation"].dtype == np.float32


def test_an_unknown_training_seed_is_refused(definition):
    with pytest.raises(SecateurError, match="seed99"):
        definition.policy(seed=99)


# --- skill ---


@pytest.mark.parametrize("seed", [31_000, 31_001, 31_002])
def test_the_policy_swings_up_and_holds(loaded, seed):
    total, info = episode(loaded.task, acting(loaded), seed)
    assert loaded.task.success(info)
    assert info["held_s"] >= 2.0
    assert total > 150


@pytest.mark.parametrize("seed", [1, 2])
def test_the_references_swing_up_and_hold(loaded, definition, seed):
    module = definition.policy(seed=seed).module
    _, info = episode(loaded.task, acting(loaded, module), 31_000)
    assert loaded.task.success(info)


def test_the_planner_is_repeatable_and_bounded(loaded):
    observation = loaded.task.make_env().reset(seed=0)[0]
    plans = []
    for _ in range(2):
        decide, planner = planner_of(loaded, seed=3)
        plans.append([decide(observation), decide(observation)])
    assert np.array_equal(plans[0], plans[1])
    assert np.all(np.abs(plans) <= 1)
    planner.reset(3)
    assert np.array_equal(decide(observation), plans[0][0])


def test_the_planner_holds_what_the_policy_swung_up(loaded):
    (decide, _), act = planner_of(loaded), acting(loaded)
    env = loaded.task.make_env()
    observation, _ = env.reset(seed=31_000)
    for _ in range(150):
        observation = env.step(act(observation))[0]
    rewards = []
    for _ in range(25):
        observation, reward, _, _, info = env.step(decide(observation))
        rewards.append(reward)
    assert info["upright"]
    assert np.mean(rewards) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("seed", [31_000, 31_001])
def test_the_planner_keeps_the_return_of_the_policy(loaded, seed):
    alone, _ = episode(loaded.task, acting(loaded), seed)
    planned, info = episode(loaded.task, planner_of(loaded)[0], seed)
    assert loaded.task.success(info)
    assert planned > 0.95 * alone


def test_the_model_card_states_the_measured_figures():
    card = (FOLDER / "README.md").read_text()
    for run in json.loads((FOLDER / "evaluation.json").read_text()).values():
        for name, row in run.items():
            if isinstance(row, dict):
                figures = f"{row['return_mean']:.2f} | {row['return_sd']:.2f} | {row['return_min']:.2f} | "
                assert figures in card, f"{run['weights']} {name}"


# --- training ---


def train(out: Path, *extra: str) -> None:
    script = [sys.executable, str(FOLDER / "train.py"), "--seed", "7", "--out", str(out)]
    tiny = {"steps": 4000, "latent": 6, "encoder-hidden": 8, "hidden": 8, "batch": 8, "updates-per-step": 0.1}
    options = [word for name, value in tiny.items() for word in (f"--{name}", str(value))]
    subprocess.run([*script, *options, *extra], check=True, capture_output=True, text=True)


@pytest.mark.slow
def test_training_writes_loadable_weights_and_the_same_seed_gives_the_same(definition, tmp_path):
    train(tmp_path / "a")
    train(tmp_path / "b")
    written = [(tmp_path / name / "weights.safetensors").read_bytes() for name in "ab"]
    assert written[0] == written[1]
    module = definition.TDMPC(5, 1, latent_size=6, encoder_hidden=8, hidden=8)
    load_weights(module, tmp_path / "a" / "weights.safetensors")
    assert definition.describe(module).deployed == "act"
    curve = (tmp_path / "a" / "learning_curve.csv").read_text().splitlines()
    assert curve[0].startswith("env_steps,updates,act_return")
    assert len(curve) == 3
    assert (tmp_path / "a" / "summary.json").is_file()


@pytest.mark.slow
def test_training_goes_on_where_it_was_stopped(tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "stopped", "--stop-after", "1")
    assert not (tmp_path / "stopped" / "summary.json").exists()
    train(tmp_path / "stopped")
    whole, stopped = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped
