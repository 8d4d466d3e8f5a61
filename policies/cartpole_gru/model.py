"""Encoder, memory and head: a policy that has to remember, because it does not see velocities."""

import torch
from torch import nn


class Recurrent(nn.Module):
    """Observation and hidden state → action and the next hidden state.

    Args:
        observation_size: numbers that it sees.
        action_size: numbers that it gives, each in [-1, 1].
        width: of the encoder's output, of the hidden state and of the head's hidden layer.
    """

    def __init__(self, observation_size: int = 3, action_size: int = 1, width: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(observation_size, width), nn.ReLU())
        self.memory = nn.GRUCell(width, width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, action_size))

    def act(self, observation: torch.Tensor, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
        """Observation ``[n, 3]``, hidden ``[n, width]`` → ``action`` ``[n, 1]`` and the next ``hidden``."""
        hidden = self.memory(self.encoder(observation), hidden)
        return {"action": torch.tanh(self.head(hidden)), "hidden": hidden}
