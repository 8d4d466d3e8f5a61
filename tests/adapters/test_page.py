"""The blocks of docs/bring-your-own-policy.md, run as they are."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import layers, sb3_state, sb3_zip, tdmpc2_state
from diffusion_folder import saved

from secateur.adapters.table import LOADERS
from secateur.graph.groups import build_graph
from secateur.policy.load import load
from secateur.simulate.dry_run import check_task

PAGE = (Path(__file__).parents[2] / "docs" / "bring-your-own-policy.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python\n# (\S+)/policy\.py\n(.*?)```", PAGE, flags=re.DOTALL))
SMALL = Path(__file__).parent / "act_small"


def of_sb3(folder):
    sb3_zip(folder / "ppo.zip", sb3_state(observation=4, action=1))
    np.savez(folder / "normalise.npz", mean=np.zeros(4), var=np.ones(4))


def of_cleanrl(folder):
    state = {
        **layers("actor_mean.", 4, 8, 8, 1),
        **layers("critic.", 4, 8, 8, 1),
        "actor_logstd": torch.zeros(1, 1),
    }
    torch.save(state, folder / "agent.pt")


def of_rsl_rl(folder):
    state = {**layers("actor.", 6, 8, 8, 2), **layers("critic.", 6, 8, 8, 1), "std": torch.ones(2)}
    torch.save({"model_state_dict": state, "iter": 1500}, folder / "model_1500.pt")


def of_tdmpc2(folder):
    torch.save({"model": tdmpc2_state()}, folder / "agent.pt")


def of_lerobot(folder):
    (folder / "pretrained_model").mkdir()
    for file in ("config.json", "model.safetensors"):
        text = (SMALL / file).read_bytes().replace(b"MEAN_STD", b"IDENTITY")
        (folder / "pretrained_model" / file).write_bytes(text)


def of_diffusion(folder):
    (folder / "pretrained_model").mkdir()
    saved(folder / "pretrained_model")


MADE = {
    "pendulum": of_sb3,
    "cleanrl_policy": of_cleanrl,
    "legs": of_rsl_rl,
    "world": of_tdmpc2,
    "act": of_lerobot,
    "diffusion": of_diffusion,
}


def test_every_block_and_every_loader_is_there():
    assert BLOCKS.keys() == MADE.keys()
    for name in LOADERS:
        assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", MADE)
def test_a_block_gives_a_policy(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    MADE[name](folder)
    (folder / "policy.py").write_text(BLOCKS[name])
    loaded = load(str(folder))
    build_graph(loaded.policy)
    if "def task" in BLOCKS[name]:
        check_task(loaded.policy, loaded.task)
