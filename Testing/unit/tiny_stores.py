"""A store of analytic children, and trainings of seconds."""

import json
from pathlib import Path

import numpy as np
from abdomens import abdomen

from PediatricRenalSegLib.models.normalization import Normalization
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS
from PediatricRenalSegLib.training.data.patient import TrainingPatient
from PediatricRenalSegLib.training.data.split import is_validation
from PediatricRenalSegLib.training.data.store import store_patient

NORMALIZATION = Normalization(-100.0, 300.0, 50.0, 80.0)
KINDS = ("generated", "composite", "real", "generated")
NAMES = [f"child-{number}" for number in range(200)]
TRAINING = [name for name in NAMES if not is_validation(name)][: len(KINDS)]
VALIDATION = next(name for name in NAMES if is_validation(name))
POSE_EPOCHS = 5
TINY = {
    "features": 2,
    "crop": "quarter",
    "pose": {"epochs": POSE_EPOCHS, "batches": 6, "batch_size": 4},
    "crop_stage": {"epochs": 2, "batches": 2, "batch_size": 3},
    "unet": {"epochs": 2, "batches": 2, "batch_size": 3},
}

SHORT = {
    "pose": {"epochs": 1, "batches": 1, "batch_size": 3},
    "crop_stage": {"epochs": 1, "batches": 1, "batch_size": 3},
    "unet": {"epochs": 2, "batches": 2, "batch_size": 3},
}


def write_store(folder: Path) -> Path:
    """Children of different size and place: one to validate, the others to train."""
    for number, (name, kind) in enumerate(zip([*TRAINING, VALIDATION], [*KINDS, "real"])):
        width = 60 + 12 * number
        child = abdomen(
            (6, 128, 128), (8.0, 2.0, 2.0), width, 0.75 * width, center=(4 * number, -6 * number), seed=number
        )
        store_patient(folder, TrainingPatient(name, kind, child.image, child.labels, child.spacing))
    return folder


def write_reference_mask(path: Path) -> Path:
    size = DEFAULT_CANVAS.size
    child = abdomen((3, size, size), (5.0, 1.0, 1.0), half_width=75, half_depth=55)
    np.save(path, (child.image[1] > -500).astype(np.uint8))
    return path


def write_config(path: Path, store: Path, mask: Path | str, /, **changes) -> Path:
    """A configuration of a tiny training; its output is ``run`` beside it."""
    paths = {"store": str(store), "output": "run", "reference_mask": str(mask)}
    path.write_text(json.dumps({**paths, **TINY, **changes}))
    return path
