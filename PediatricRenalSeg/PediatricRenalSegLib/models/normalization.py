"""How a model wants its intensities."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from ..errors import InputError

_NAMES = {"low", "high", "mean", "std"}


@dataclass(frozen=True)
class Normalization:
    """Intensity window and z-score of a model, in Hounsfield units."""

    low: float
    high: float
    mean: float
    std: float

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Normalization":
        """The way back of ``dataclasses.asdict``. Raises ``InputError`` for values with which nothing can be seen."""
        numbers = [values.get(name) for name in _NAMES]
        if not all(isinstance(number, (int, float)) and isfinite(number) for number in numbers) or set(values) - _NAMES:
            raise InputError(f"The model's normalization must be low, high, mean and std in HU, not {values}.")
        normalization = cls(**values)
        if normalization.low >= normalization.high or normalization.std <= 0:
            raise InputError(f"The model's normalization is none: {values} needs low below high and std above 0.")
        return normalization

    def __call__(self, hu: np.ndarray) -> np.ndarray:
        """Clip and z-score, float32."""
        return ((np.clip(hu, self.low, self.high) - self.mean) / self.std).astype(np.float32)

    @property
    def air(self) -> float:
        """Normalized intensity of air."""
        return (self.low - self.mean) / self.std
