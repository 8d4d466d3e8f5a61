"""The five networks of TD-MPC: encoder, dynamics, reward, value and policy, around one latent.

Architecture of Hansen, Wang and Su, "Temporal Difference Learning for Model Predictive Control", 2022
(arXiv 2203.04955), with ReLU in every hidden layer: each layer becomes one int8 fully connected operator.
"""

import torch
from torch import nn


class TDMPC(nn.Module):
    """A latent world model with a policy, a reward model and two action-value functions.

    Every method takes and gives ``[batch, width]`` tensors. Widths are read from the layers alone, so a
    pruned copy runs as it is.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        latent_size: int = 50,
        encoder_hidden: int = 256,
        hidden: int = 512,
    ) -> None:
        """Builds the networks, initialised as torch does; the reward and value heads start at zero."""
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(observation_size, encoder_hidden), nn.ReLU(), nn.Linear(encoder_hidden, latent_size)
        )
        self.dynamics = _mlp(latent_size + action_size, hidden, latent_size)
        self.reward = _mlp(latent_size + action_size, hidden, 1)
        self.value = nn.ModuleList(_mlp(latent_size + action_size, hidden, 1) for _ in range(2))
        self.policy = nn.Sequential(*_mlp(latent_size, hidden, action_size), nn.Tanh())
        for head in (self.reward, *self.value):
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)

    def forward(self, observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same as ``act``."""
        return self.act(observation)

    def act(self, observation: torch.Tensor) -> dict[str, torch.Tensor]:
        """What runs on the robot: observation ``[batch, width]`` → ``action`` ``[batch, width]`` in (-1, 1)."""
        return {"action": self.policy(self.encoder(observation))}

    def encode(self, observation: torch.Tensor) -> torch.Tensor:
        """Observation → latent ``[batch, latent]``."""
        return self.encoder(observation)

    def next(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Latent and action → the latent one control period later."""
        return self.dynamics(torch.cat([latent, action], dim=-1))

    def reward_of(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Latent and action → the reward of that step ``[batch, 1]``."""
        return self.reward(torch.cat([latent, action], dim=-1))

    def value_of(self, latent: torch.Tensor, action: torch.Tensor) -> dict[str, torch.Tensor]:
        """Latent and action → two estimates of the discounted return, ``q1`` and ``q2``: ``[batch, 1]``."""
        both = torch.cat([latent, action], dim=-1)
        return {"q1": self.value[0](both), "q2": self.value[1](both)}

    def action_of(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent → the policy's action."""
        return self.policy(latent)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )
