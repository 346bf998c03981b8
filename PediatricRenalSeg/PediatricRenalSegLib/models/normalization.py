"""How a model wants its intensities."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Normalization:
    """Intensity window and z-score of a model, in Hounsfield units."""

    low: float
    high: float
    mean: float
    std: float

    def __call__(self, hu: np.ndarray) -> np.ndarray:
        """Clip and z-score, float32."""
        return ((np.clip(hu, self.low, self.high) - self.mean) / self.std).astype(np.float32)

    @property
    def air(self) -> float:
        """Normalized intensity of air."""
        return (self.low - self.mean) / self.std
