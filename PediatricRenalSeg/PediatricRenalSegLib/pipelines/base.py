"""The contract of a method: from a CT and a progress callback to labels and doubt on the CT's grid.

Everything after it (sides, surfaces, measurements, files, windows) reads only what is here, so a new method is one
file, a row in ``load.KINDS`` and a model that names it as its ``kind``.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from ..models.bundle import ModelBundle, ModelMetadata
from ..progress import ProgressCallback
from ..structures import LARGEST_LABEL
from ..volume import CTVolume
from .doubt import Doubt


@dataclass(frozen=True)
class Prediction:
    """What a model says about a CT; arrays in the order of ``CTVolume.axial``."""

    labels: np.ndarray
    """``(z, y, x)`` uint8: ``Structure.label`` of the model's structures, 0 for background."""
    doubt: Doubt


class Pipeline(Protocol):
    """A loaded model with the way through it; one can segment many cases.

    ``load.py`` makes it with a bundle, its ``torch.device``, and ``batch_size=N`` where the user gave one.
    """

    bundle: ModelBundle
    parameters: dict[str, Any]
    """What was chosen when it was loaded, for the report: JSON values."""

    def predict(self, ct: CTVolume, body: np.ndarray, progress: ProgressCallback) -> Prediction:
        """Segment one CT.

        body: ``(z, y, x)`` bool on ``ct.axial()``: the patient without table and arms. progress: called with the stage
        ``progress.NETWORK``; what it raises ends the run. Raises ``InputError`` when CT or machine will not do.
        """
        ...


def check_prediction(prediction: Prediction, shape: tuple[int, ...], metadata: ModelMetadata) -> None:
    """Raise ``InputError`` when a method from outside does not keep its contract: a label would vanish unseen."""
    labels = prediction.labels
    known = np.zeros(LARGEST_LABEL + 1, bool)
    known[[0, *(structure.label for structure in metadata.structures)]] = True
    if labels.dtype != np.uint8 or labels.shape != shape or not known[labels].all():
        raise InputError(
            f"The method {metadata.kind!r} gave other labels than the model {metadata.id} has, or not on the grid "
            "of the CT: ask who made it."
        )
