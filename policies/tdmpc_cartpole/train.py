"""Trains the cart-pole: ``python policies/tdmpc_cartpole/train.py --seed 0 --out DIR``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tdmpc.training import Recipe, main
from tdmpc_cartpole.environment import EPISODE_STEPS, CartPoleSwingUp

RECIPE = Recipe(make_env=CartPoleSwingUp, episode_steps=EPISODE_STEPS, best_return=250.0)

if __name__ == "__main__":
    main(RECIPE)
