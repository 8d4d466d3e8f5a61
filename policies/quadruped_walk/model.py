"""History, command, fusion, actor and critic: a walker that tells from the past what it cannot sense."""

import torch
from torch import nn


class Walker(nn.Module):
    """Proprioceptive history and command → joint targets, and what they are worth.

    Args:
        frame_size: numbers of a frame.
        frames: of a history, at least ten.
        command_size: numbers of a command.
        action_size: numbers that it gives, each in [-1, 1].
        width: of the first convolution; all other widths follow from it.
    """

    def __init__(
        self,
        frame_size: int = 30,
        frames: int = 16,
        command_size: int = 5,
        action_size: int = 8,
        width: int = 128,
    ) -> None:
        super().__init__()
        left = ((frames - 4) // 2 + 1 - 3) // 2 + 1
        self.history = nn.Sequential(
            *(nn.Conv1d(frame_size, width, 4, stride=2), nn.ReLU()),
            *(nn.Conv1d(width, width, 3, stride=2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(left * width, 2 * width), nn.ReLU()),
        )
        self.command = nn.Sequential(
            nn.Linear(command_size, width // 2), nn.ReLU(), nn.Linear(width // 2, width // 2), nn.ReLU()
        )
        self.fusion = nn.Sequential(nn.Linear(2 * width + width // 2, 2 * width), nn.ReLU())
        self.actor = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, action_size)
        )
        self.critic = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def act(self, history: torch.Tensor, command: torch.Tensor) -> torch.Tensor:
        """``history`` ``[n, frame, frames]``, oldest first, and ``command`` ``[n, 5]`` → actions ``[n, 8]``."""
        return torch.tanh(self.actor(self.fused(history, command)))

    def value(self, history: torch.Tensor, command: torch.Tensor) -> torch.Tensor:
        """Discounted sum of the rewards to come, ``[n, 1]``, by the same inputs."""
        return self.critic(self.fused(history, command))

    def fused(self, history: torch.Tensor, command: torch.Tensor) -> torch.Tensor:
        """What actor and critic are told, ``[n, 2 · width]``."""
        return self.fusion(torch.cat([self.history(history), self.command(command)], 1))
