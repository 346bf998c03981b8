"""The localisation network that both Spatial Transformer Networks share."""

import torch.nn.functional as F
from torch import Tensor, nn


class LocalizationNetwork(nn.Module):
    """Regresses ``outputs`` unbounded values from image and foreground mask (paper section 4).

    Two convolutional blocks with max-pooling and ReLU reduce the image by a factor of 4; two fully
    convolutional layers, the first as large as the feature map, regress the values. Between them the map is
    averaged to ``cells × cells``: the paper does not say how its layers meet a 128 × 128 map, and an average
    keeps the network small and open to any image size.

    The last layer starts at zero, so that the transform starts at the identity.
    """

    def __init__(self, outputs: int, in_channels: int = 2, features: int = 8, cells: int = 8, hidden: int = 64) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(in_channels, features, 5, padding=2)
        self.block2 = nn.Conv2d(features, 2 * features, 5, padding=2)
        self.average = nn.AdaptiveAvgPool2d(cells)
        self.fully1 = nn.Conv2d(2 * features, hidden, cells)
        self.fully2 = nn.Conv2d(hidden, outputs, 1)
        for parameter in self.fully2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, in_channels, H, W) -> (B, outputs)``."""
        features = F.relu(F.max_pool2d(self.block1(features), 2))
        features = F.relu(F.max_pool2d(self.block2(features), 2))
        features = F.relu(self.fully1(self.average(features)))
        return self.fully2(features).flatten(1)
