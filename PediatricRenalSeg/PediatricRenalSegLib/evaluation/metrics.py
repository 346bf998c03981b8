"""Agreement of two label volumes, computed by SimpleITK."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..reading import read_labels
from ..structures import STRUCTURES
from ..volume import InputError, same_grid


def compare_label_maps(reference: Path, prediction: Path) -> dict[str, dict[str, float]]:
    """Scores by structure name of two label map files (values as in ``structures.STRUCTURES``).

    Raises ``InputError`` when a file cannot be read or the two do not lie on the same grid.
    """
    images = [read_labels(path).image for path in (reference, prediction)]
    if not same_grid(*images):
        raise InputError(f"{reference} and {prediction} lie on different grids: compare label maps of the same CT.")
    return {
        structure.name: compare_masks(images[0] == structure.label, images[1] == structure.label)
        for structure in STRUCTURES
    }


def compare_masks(reference: sitk.Image, prediction: sitk.Image) -> dict[str, float]:
    """Dice, 95 % Hausdorff distance and mean surface distance in mm, both volumes in ml.

    reference, prediction: binary images on one grid. The distances are NaN where one of them is empty; Dice is
    1 where both are.
    """
    volume = np.prod(reference.GetSpacing()) / 1000
    counts = [int(sitk.GetArrayViewFromImage(mask).sum()) for mask in (reference, prediction)]
    scores = {"reference_ml": counts[0] * volume, "prediction_ml": counts[1] * volume}
    if not all(counts):
        return {"dice": float(counts[0] == counts[1]), "hausdorff95_mm": np.nan, "surface_mm": np.nan, **scores}
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(reference, prediction)
    distances = _surface_distances(reference, prediction)
    return {
        "dice": overlap.GetDiceCoefficient(),
        "hausdorff95_mm": float(np.percentile(distances, 95)),
        "surface_mm": float(distances.mean()),
        **scores,
    }


def _surface_distances(first: sitk.Image, second: sitk.Image) -> np.ndarray:
    """Distances in mm of the surface voxels of each mask from the surface of the other."""
    contours = [sitk.LabelContour(mask) for mask in (first, second)]
    maps = [
        sitk.Abs(sitk.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True))
        for contour in contours
    ]
    values = [
        sitk.GetArrayViewFromImage(distance)[sitk.GetArrayViewFromImage(contour) > 0]
        for distance, contour in zip(maps, reversed(contours))
    ]
    return np.concatenate(values)
