"""TOLD, the latent world model of TD-MPC (Hansen et al. 2022, arXiv 2203.04955), as LeRobot's ``TDMPCPolicy`` has it.

Parameters carry LeRobot's names. Beside encoder, dynamics, reward, policy and an ensemble of action values there is a
value of the state (FOWM, Feng et al. 2023, arXiv 2310.16029). Several observations are encoded apart, and their mean is
the latent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class TOLDShape:
    """Sizes of the network.

    Attributes:
        image: (channels, height, width), None where there is no camera.
        environment, state: numbers of these observations, 0 where there is none.
        action: numbers of one action.
        latent, hidden: widths.
        image_hidden, state_hidden: widths within the encoders.
        members: of the ensemble.
    """

    image: tuple[int, int, int] | None
    environment: int
    state: int
    action: int
    latent: int
    hidden: int
    image_hidden: int
    state_hidden: int
    members: int


class Encoder(nn.Module):
    """An encoder for each observation."""

    def __init__(self, shape: TOLDShape) -> None:
        super().__init__()
        if shape.image is not None:
            channels, width = shape.image[0], shape.image_hidden
            convolutions: list[nn.Module] = []
            for into, side in ((channels, 7), (width, 5), (width, 3), (width, 3)):
                convolutions += [nn.Conv2d(into, width, side, 2), nn.ReLU()]
            with torch.no_grad():
                count = nn.Sequential(*convolutions)(torch.zeros(1, *shape.image)).numel()
            self.image_enc_layers = nn.Sequential(
                *convolutions,
                nn.Flatten(),
                nn.Linear(count, shape.latent),
                nn.LayerNorm(shape.latent),
                nn.Sigmoid(),
            )
        for name, numbers in (("env_state", shape.environment), ("state", shape.state)):
            if numbers:
                layers = nn.Sequential(
                    *(nn.Linear(numbers, shape.state_hidden), nn.ELU()),
                    *(nn.Linear(shape.state_hidden, shape.latent), nn.LayerNorm(shape.latent), nn.Sigmoid()),
                )
                self.add_module(f"{name}_enc_layers", layers)

    def forward(
        self, image: torch.Tensor | None, environment: torch.Tensor | None, state: torch.Tensor | None
    ) -> torch.Tensor:
        """Each ``[batch, ...]``, or None where there is none → latent ``[batch, latent]``."""
        given = {"image": image, "env_state": environment, "state": state}
        parts = [self.get_submodule(f"{name}_enc_layers")(x) for name, x in given.items() if x is not None]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total / len(parts) if len(parts) > 1 else total


class TOLD(nn.Module):
    """The networks, on observations that are normalised already; actions are in (−1, 1)."""

    def __init__(self, shape: TOLDShape) -> None:
        """Builds them, with weights as torch makes them."""
        super().__init__()
        both, hidden = shape.latent + shape.action, shape.hidden
        self._encoder = Encoder(shape)
        self._dynamics = _mish(both, hidden, shape.latent, nn.LayerNorm(shape.latent), nn.Sigmoid())
        self._reward = _mish(both, hidden, 1)
        self._pi = _mish(shape.latent, hidden, shape.action)
        self._Qs = nn.ModuleList(_value(both, hidden) for _ in range(shape.members))
        self._V = _value(shape.latent, hidden)

    def encode(self, observation: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """``image``, ``environment_state``, ``state`` → latent ``[batch, latent]``."""
        names = ("image", "environment_state", "state")
        return self._encoder(*(observation.get(name) for name in names))

    def next(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Latent and action → the latent one control period later."""
        return self._dynamics(torch.cat([latent, action], -1))

    def reward_of(self, latent: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Latent and action → the reward of that step ``[batch, 1]``."""
        return self._reward(torch.cat([latent, action], -1))

    def value_of(self, latent: torch.Tensor, action: torch.Tensor) -> dict[str, torch.Tensor]:
        """Latent and action → every member's estimate of the return, ``q0``, …: ``[batch, 1]``."""
        both = torch.cat([latent, action], -1)
        return {f"q{n}": q(both) for n, q in enumerate(self._Qs)}

    def state_value_of(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent → the value of the state ``[batch, 1]``."""
        return self._V(latent)

    def action_of(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent → the policy's action."""
        return torch.tanh(self._pi(latent))


def _mish(inputs: int, hidden: int, outputs: int, *last: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.Mish()),
        *(nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.Mish()),
        *(nn.Linear(hidden, outputs), *last),
    )


def _value(inputs: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.Tanh()),
        *(nn.Linear(hidden, hidden), nn.ELU(), nn.Linear(hidden, 1)),
    )
