"""A method from outside, as small as one can be: what a window of Hounsfield units holds is a structure.

This folder is what an installed package looks like: with it on the path, in this process and in those that it starts,
models of the kind "threshold" run through command line, Slicer module and report. Nothing of the program is patched.
"""

import numpy as np
import torch

from PediatricRenalSegLib.models.bundle import ModelBundle
from PediatricRenalSegLib.pipelines.base import Prediction
from PediatricRenalSegLib.pipelines.doubt import Doubt
from PediatricRenalSegLib.progress import NETWORK, Progress, ProgressCallback
from PediatricRenalSegLib.volume import CTVolume

UNSURE_HU = 25.0
"""Voxels this near to the end of their window are in doubt."""


class ThresholdPipeline:
    """``input``: ``{"windows": {structure name: [lowest, highest HU]}}``. Torch has nothing to do."""

    def __init__(self, bundle: ModelBundle, device: torch.device, batch_size: int = 1):
        self.bundle, self.parameters = bundle, {"device": str(device)}

    def predict(self, ct: CTVolume, body: np.ndarray, progress: ProgressCallback) -> Prediction:
        array, _ = ct.axial()
        labels = np.zeros(array.shape, np.uint8)
        doubt = np.zeros(array.shape, np.float16)
        for structure in self.bundle.structures:
            low, high = self.bundle.metadata.input["windows"][structure.name]
            inside = (array >= low) & (array <= high) & body
            labels[inside] = structure.label
            doubt[inside & (array > high - UNSURE_HU)] = 0.5
        depth, height, width = array.shape
        progress(Progress(NETWORK, 1, 1))
        return Prediction(labels, Doubt(doubt, (slice(0, depth), slice(0, height), slice(0, width))))
