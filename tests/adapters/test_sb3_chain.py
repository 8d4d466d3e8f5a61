"""A policy that stable-baselines3 trained here, from its file to a board."""

import json
import sys

import pytest
from example import run, secateur

TRAIN = """
import gymnasium, numpy, sys, torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

torch.set_num_threads(1)
settings = dict(max_episode_steps=200)
env = VecNormalize(make_vec_env("InvertedPendulum-v5", 8, seed=0, env_kwargs=settings), norm_reward=False)
model = PPO("MlpPolicy", env, seed=0, n_steps=128, batch_size=256, learning_rate=1e-3, device="cpu")
model.learn(20_000).save(sys.argv[1] + "/ppo.zip")
numpy.savez(sys.argv[1] + "/normalise.npz", mean=env.obs_rms.mean, var=env.obs_rms.var,
            epsilon=env.epsilon, clip=env.clip_obs)
"""

POLICY = """
from pathlib import Path
import gymnasium
from secateur.adapters import sb3

HERE = Path(__file__).parent

def make_env():
    return gymnasium.make("InvertedPendulum-v5", max_episode_steps=200)

def policy():
    return sb3.load_ppo(HERE / "ppo.zip", make_env(), normalise=HERE / "normalise.npz")

def task():
    return sb3.task(make_env, control_hz=25)
"""


@pytest.mark.slow
def test_a_trained_policy_goes_to_a_board(tmp_path):
    pytest.importorskip("stable_baselines3")
    folder = tmp_path / "pendulum"
    folder.mkdir()
    (folder / "policy.py").write_text(POLICY)
    run([sys.executable, "-c", TRAIN, str(folder)])
    chosen = ["--target", "stm32f446re", "--flash", "6KiB", "--max-return-drop", "40%", "--episodes", "32"]
    run(secateur("prune", str(folder), *chosen, "--recovery-steps", "600", "-o", str(tmp_path / "run")))
    summary = json.loads((tmp_path / "run" / "summary.json").read_bytes())
    assert summary["verdict"]["passed"]
    assert summary["measured"]["flash_bytes"] <= 6 * 1024
    assert summary["parity"]["int8_mismatched_bytes"] == 0
    assert summary["parity"]["float_max_abs_error"] < 1e-5
    assert set(summary["predicted"]["components"]) == {"actor", "head"}
