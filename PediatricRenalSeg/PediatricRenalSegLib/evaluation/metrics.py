"""Agreement of two masks: Dice by SimpleITK, surface distances by MONAI, volumes, lesions found.

MONAI takes as surface the voxels that an erosion removes, and measures between voxel centers. So a surface
distance is uncertain by up to a voxel, that is by up to a slice along the patient: compare distances only with
those of the same program (Podobnik and Vrtovec, arXiv:2410.02630).
"""

import warnings
from collections.abc import Callable

import numpy as np
import SimpleITK as sitk

from ..errors import InputError

Scores = dict[str, float]

DISTANCES = ("hausdorff95_mm", "surface_mm")
LESIONS = ("reference_lesions", "detected_lesions", "predicted_lesions", "false_lesions")


def compare_masks(reference: sitk.Image, prediction: sitk.Image) -> Scores:
    """Scores of one structure; reference, prediction: binary images on one grid.

    ``dice``: 1 where both masks are empty, 0 where one is. ``hausdorff95_mm``: the larger of the 95th percentiles
    of the distances from either surface to the other. ``surface_mm``: the mean of all these distances (average
    symmetric surface distance). Both are NaN where a mask is empty: no distance says how wrong that is.
    ``reference_ml``, ``prediction_ml``, ``volume_error_ml`` and ``volume_error_percent``: prediction minus
    reference, in percent of the reference, NaN where it is empty.
    """
    reference_ml, prediction_ml = (_milliliters(mask) for mask in (reference, prediction))
    error = prediction_ml - reference_ml
    return {
        "dice": dice(reference, prediction),
        **surface_distances(reference, prediction),
        "reference_ml": reference_ml,
        "prediction_ml": prediction_ml,
        "volume_error_ml": error,
        "volume_error_percent": 100 * error / reference_ml if reference_ml else np.nan,
    }


def dice(reference: sitk.Image, prediction: sitk.Image) -> float:
    """Twice the overlap over the sum of both masks; 1 where both are empty."""
    if not (_any(reference) or _any(prediction)):
        return 1.0
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(reference, prediction)
    return overlap.GetDiceCoefficient()


def surface_distances(reference: sitk.Image, prediction: sitk.Image) -> Scores:
    """``DISTANCES`` in mm, NaN where a mask is empty; for their meaning see ``compare_masks``."""
    if not (_any(reference) and _any(prediction)):
        return dict.fromkeys(DISTANCES, np.nan)
    average, hausdorff = _monai_metrics()
    masks = _tensors(prediction, reference)
    options = {"include_background": True, "spacing": list(reference.GetSpacing()[::-1])}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")  # MONAI 1.6 warns of itself
        distances = hausdorff(*masks, percentile=95, **options), average(*masks, symmetric=True, **options)
    return {name: float(value) for name, value in zip(DISTANCES, distances, strict=True)}


def detect_lesions(reference: sitk.Image, prediction: sitk.Image) -> Scores:
    """Counts of ``LESIONS``: how many there are, are found, are predicted, and are predicted where there is none.

    A lesion is a connected component (26 neighbors). One of the reference is detected if the prediction covers
    any of it; one of the prediction is false if it covers none of the reference. These are the rules of the WMH
    challenge (Kuijf et al., IEEE Trans Med Imaging 2019;38:2556-2568): whether a lesion was found, and not how
    well it is outlined, which Dice says.
    """
    total, detected = _count_components(reference, prediction)
    predicted, true = _count_components(prediction, reference)
    return dict(zip(LESIONS, (total, detected, predicted, predicted - true), strict=True))


def _count_components(mask: sitk.Image, other: sitk.Image) -> tuple[int, int]:
    """How many components a mask has, and how many of them the other mask touches."""
    numbered = sitk.GetArrayFromImage(sitk.ConnectedComponent(mask, True))
    touched = np.unique(numbered[sitk.GetArrayViewFromImage(other) > 0])
    return int(numbered.max()), int(np.count_nonzero(touched))


def _monai_metrics() -> tuple[Callable, Callable]:
    """MONAI's functions; imported when a distance is asked for, because that takes seconds."""
    try:
        from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
    except ModuleNotFoundError:
        raise InputError("Surface distances need MONAI, which is not installed: run `pip install monai`.") from None
    return compute_average_surface_distance, compute_hausdorff_distance


def _tensors(*masks: sitk.Image) -> list:
    """``(1, 1, z, y, x)`` bool tensors."""
    import torch

    return [torch.from_numpy(sitk.GetArrayFromImage(mask).astype(bool))[None, None] for mask in masks]


def _any(mask: sitk.Image) -> bool:
    return bool(sitk.GetArrayViewFromImage(mask).any())


def _milliliters(mask: sitk.Image) -> float:
    return float(np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * np.prod(mask.GetSpacing()) / 1000)
