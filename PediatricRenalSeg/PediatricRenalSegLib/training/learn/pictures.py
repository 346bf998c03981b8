"""Pictures of what a network makes of some validation slices."""

import numpy as np
import torch
from skimage.transform import resize

from ...networks.pipeline import SegmentationPipeline
from ...structures import StructureSet
from .batch import Batch

ALPHA = 0.45
"""Opacity of the labels."""


def overview(model: SegmentationPipeline, batch: Batch, structures: StructureSet) -> np.ndarray:
    """A row a slice: the slice, the reference, the prediction, the U-Net's input.

    structures: with the labels 1, 2, …, which are channels of the model. Returns ``(H, W, 3)`` floats in [0, 1].
    """
    with torch.inference_mode():
        probabilities, pose, crop = model(batch.image, batch.mask)
        inputs = model.cut(batch.image, pose, crop)
    predicted = probabilities.argmax(dim=1).cpu().numpy()
    low, high = batch.image.amin(), batch.image.amax()
    slices, cut = (
        ((values[:, 0] - low) / (high - low)).clamp(0, 1).cpu().numpy() for values in (batch.image, inputs)
    )
    colors = np.array([(0, 0, 0), *(structure.color for structure in structures)]) / 255
    rows = []
    for image, reference, prediction, crop_input in zip(slices, batch.labels.cpu().numpy(), predicted, cut):
        nothing = np.zeros_like(reference)
        enlarged = resize(crop_input, image.shape, order=0)
        panels = ((image, nothing), (image, reference), (image, prediction), (enlarged, nothing))
        rows.append(np.concatenate([_colored(gray, labels, colors) for gray, labels in panels], axis=1))
    return np.concatenate(rows)


def _colored(image: np.ndarray, labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """``(H, W)`` gray image with its labels in ``colors`` ``(1 + structures, 3)``, both in [0, 1]."""
    gray = np.repeat(image[..., None], 3, axis=2)
    return np.where(labels[..., None] > 0, (1 - ALPHA) * gray + ALPHA * colors[labels], gray)
