"""Moving the robot: a task and a controller give trajectories."""

from secateur.simulate.controller import (
    Controller,
    ControllerFactory,
    FunctionController,
    TorchController,
    torch_controller,
)
from secateur.simulate.delay import delayed, effective_delay_s
from secateur.simulate.rollout import Progress, Trajectory, rollout, rollouts

__all__ = [
    "Controller",
    "ControllerFactory",
    "FunctionController",
    "Progress",
    "TorchController",
    "Trajectory",
    "delayed",
    "effective_delay_s",
    "rollout",
    "rollouts",
    "torch_controller",
]
