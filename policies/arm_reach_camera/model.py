"""Camera and joints → joint rates: a small CNN, an encoder of the joints, their fusion, a head; and an estimate."""

import torch
from torch import nn

IMAGE, JOINT_NUMBERS, ACTIONS, PLACE = (64, 64, 3), 10, 5, 2
HALVINGS = 3


class Perception(nn.Module):
    """An image ``[n, 64, 64, 3]`` in [0, 1] → features ``[n, features]``, not below 0. Where things are is kept.

    Channels come last, in the image and where the feature map is flattened, as in TFLite: a device copies frames in as
    cameras give them, and transposes nothing.

    Args:
        channels: of the four convolutions; the first three halve both sides.
        features: numbers that it gives.
    """

    def __init__(self, channels: tuple[int, int, int, int] = (16, 32, 32, 32), features: int = 96) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = IMAGE[2]
        for number, width in enumerate(channels):
            layers += [nn.Conv2d(before, width, 3, 2 if number < HALVINGS else 1, 1), nn.ReLU()]
            before = width
        self.convolutions = nn.Sequential(*layers)
        places = (IMAGE[0] >> HALVINGS) * (IMAGE[1] >> HALVINGS)
        self.places = nn.Linear(before * places, features)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Features of each image."""
        seen = self.convolutions(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1)
        return torch.relu(self.places(seen))


class CameraReacher(nn.Module):
    """What a camera and the joints say → rates of the joints.

    Args:
        channels: of the convolutions.
        features: of perception.
        width: of all other layers; the encoder of the joints has half of it.
    """

    def __init__(
        self, channels: tuple[int, int, int, int] = (16, 32, 32, 32), features: int = 96, width: int = 96
    ) -> None:
        super().__init__()
        self.perception = Perception(channels, features)
        self.proprioception = nn.Sequential(nn.Linear(JOINT_NUMBERS, width // 2), nn.ReLU())
        self.fusion = nn.Sequential(nn.Linear(features + width // 2, width), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, ACTIONS))
        self.target = nn.Sequential(nn.Linear(features, width // 2), nn.ReLU(), nn.Linear(width // 2, PLACE))

    def see(self, image: torch.Tensor) -> torch.Tensor:
        """Image ``[n, 64, 64, 3]`` in [0, 1] → features ``[n, features]``."""
        return self.perception(image)

    def act(self, features: torch.Tensor, joints: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features and joints ``[n, 10]``, scaled → ``action`` ``[n, 5]`` in [-1, 1]."""
        known = torch.cat([features, self.proprioception(joints)], 1)
        return {"action": torch.tanh(self.head(self.fusion(known)))}

    def estimate(self, features: torch.Tensor) -> torch.Tensor:
        """Features → where the cube is, ``[n, 2]``, in the scale of ``policy.scaled_place``."""
        return self.target(features)
