"""Trains the runner: ``python policies/tdmpc_cheetah/train.py --seed 0 --out DIR``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tdmpc.training import Recipe, main
from tdmpc_cheetah.environment import EPISODE_STEPS, CheetahRun
from tdmpc_cheetah.settings import PLANNER

RECIPE = Recipe(
    make_env=CheetahRun,
    episode_steps=EPISODE_STEPS,
    best_return=250.0,
    planner=PLANNER,
    planning=3,
    judged_delays=(0,),
    steps=96_000,
    most_delay=0,
    saturation=0.05,
    batch=256,
    hidden=256,
)

if __name__ == "__main__":
    main(RECIPE)
