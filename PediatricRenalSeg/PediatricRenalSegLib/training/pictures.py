"""Pictures of what a network makes of some validation slices."""

import numpy as np
import torch
from skimage.transform import resize

from ..networks.pipeline import SegmentationPipeline
from ..structures import STRUCTURES
from .batch import Batch

COLORS = [tuple(value / 255 for value in structure.color) for structure in STRUCTURES]
ALPHA = 0.45


def overview(model: SegmentationPipeline, batch: Batch) -> np.ndarray:
    """A row a slice: the slice, the reference, the prediction, the U-Net's input.

    Returns ``(H, W, 3)`` floats in [0, 1].
    """
    with torch.inference_mode():
        probabilities, pose, crop = model(batch.image, batch.mask)
        inputs = model.cut(batch.image, pose, crop)
    predicted = probabilities.argmax(dim=1)
    low, high = batch.image.amin(), batch.image.amax()
    images, inputs = (
        ((values[:, 0] - low) / (high - low)).clamp(0, 1).cpu().numpy() for values in (batch.image, inputs)
    )
    rows = []
    for image, reference, prediction, crop_input in zip(
        images, batch.labels.cpu().numpy(), predicted.cpu().numpy(), inputs
    ):
        panels = [_colored(image, 0 * reference), _colored(image, reference), _colored(image, prediction)]
        enlarged = resize(crop_input, image.shape, order=0)
        rows.append(np.concatenate([*panels, _colored(enlarged, 0 * reference)], axis=1))
    return np.concatenate(rows)


def _colored(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``(H, W)`` gray image with its labels in the colors of their structures."""
    gray = np.repeat(image[..., None], 3, axis=2)
    colored = np.array([(0, 0, 0), *COLORS])[labels]
    return np.where(labels[..., None] > 0, (1 - ALPHA) * gray + ALPHA * colored, gray)
