"""Return over unseen starts, as JSON: ``python policies/tdmpc_cheetah/evaluate.py``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tdmpc.evaluation import main
from tdmpc_cheetah.train import RECIPE

if __name__ == "__main__":
    main(RECIPE, Path(__file__).with_name("weights.safetensors"))
