"""Arguments of training scripts: a seed, a folder, and an option for every setting."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch


def parsed(description: str, *kinds: Any) -> tuple[int, Path, tuple[Any, ...]]:
    """Reads the command line, and holds torch to one thread.

    Args:
        description: of the script; its first line is shown.
        kinds: dataclasses whose fields have defaults, no two of one name.

    Returns:
        Seed, output folder, and an instance of every kind.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    for kind in kinds:
        for name, value in asdict(kind()).items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = vars(parser.parse_args())
    torch.set_num_threads(1)
    settings = tuple(kind(**{name: args[name] for name in asdict(kind())}) for kind in kinds)
    return args["seed"], args["out"], settings
