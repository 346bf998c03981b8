"""What stands in the place of a Spatial Transformer Network that a method does without."""

import torch
from torch import Tensor, nn


class IdentityTransform(nn.Module):
    """Leaves every slice as it is, so that the pipeline is the same for all methods."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """image, mask: ``(B, 1, H, W)``. Returns ``(B, 2, 3)`` identity matrices."""
        return torch.eye(2, 3, device=image.device).expand(image.shape[0], 2, 3)
