"""Fill a store: generated children, real scans, composites of both.

    python -m PediatricRenalSegLib.training.prepare STORE --generated 0 600
    python -m PediatricRenalSegLib.training.prepare STORE --scans DIR --real Juno_CE --composites 0 900 --shapes DIR

Every patient depends on its number alone, so several processes can share the work and a broken run goes on.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import preprocessing
from ..structures import SEGMENTS, STRUCTURES
from ..synthetic import training_scan
from .composites import composite
from .real_data import TrainingPatient, load_background, load_real, load_shapes
from .store import add_patient

SLICES = 24
REACH_MM = 40.0
"""Slices of a real scan this far above and below the kidneys are kept more densely than the rest."""


def store_patient(folder: Path, patient: TrainingPatient, rows: np.ndarray | None = None) -> None:
    """Put a patient (or some of its slices) on the canvas and into the store."""
    hu, masks, _, grid = preprocessing.to_canvas(patient.image, patient.spacing)
    labels = np.zeros(hu.shape, np.uint8)
    for structure in STRUCTURES:
        share = preprocessing.resample_slices(patient.labels == structure.label, grid, outside=0)
        labels[share >= 0.5] = structure.label
    rows = np.arange(len(hu)) if rows is None else rows
    hu = np.where(masks, hu, preprocessing.AIR_HU)
    add_patient(folder, patient.name, patient.kind, hu[rows], masks[rows], labels[rows])


def real_rows(patient: TrainingPatient) -> np.ndarray:
    """Slices of a real scan: all around the kidneys, every third elsewhere."""
    labeled = np.flatnonzero(patient.labels.any(axis=(1, 2)))
    reach = round(REACH_MM / patient.spacing[0])
    near = np.arange(len(patient.image))
    near = (near >= labeled[0] - reach) & (near <= labeled[-1] + reach)
    return np.flatnonzero(near | (np.arange(len(near)) % 3 == 0))


def generated_patient(seed: int) -> TrainingPatient:
    """A generated child; half of them below four years, as in the paper's database."""
    rng = np.random.default_rng([seed, 0])
    age = 16 * rng.random() ** 2
    scan = training_scan(age, seed, slices=SLICES)
    values = np.array([0] + [segment.structure.label for segment in SEGMENTS], np.uint8)
    return TrainingPatient(f"generated-{seed:06d}", "generated", scan.image, values[scan.labels], scan.spacing)


def composite_patients(
    scans: Path, names: list[str], shapes: Path, numbers: Sequence[int]
) -> Iterator[TrainingPatient]:
    """Composites by number, the backgrounds in turn."""
    backgrounds = [load_background(scans, name) for name in names]
    kidneys = load_shapes(shapes)
    for number in numbers:
        background = backgrounds[number % len(backgrounds)]
        yield composite(background, kidneys, np.random.default_rng([number, 1]), SLICES, f"composite-{number:06d}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill a store of training slices.")
    parser.add_argument("store", type=Path)
    parser.add_argument("--generated", type=int, nargs=2, metavar=("FIRST", "END"), default=(0, 0))
    parser.add_argument("--composites", type=int, nargs=2, metavar=("FIRST", "END"), default=(0, 0))
    parser.add_argument("--scans", type=Path, help="folder of real scans NAME.nii.gz with NAME_label.nii.gz")
    parser.add_argument(
        "--real", nargs="*", default=[], metavar="NAME", help="scans to store and to build composites on"
    )
    parser.add_argument("--shapes", type=Path, help="folder of kidney and tumor label maps")
    arguments = parser.parse_args()
    for number in tqdm(range(*arguments.generated), "generated", unit="child"):
        if not (arguments.store / f"generated-{number:06d}.npz").exists():
            store_patient(arguments.store, generated_patient(number))
    if arguments.composites[1]:
        numbers = [
            number
            for number in range(*arguments.composites)
            if not (arguments.store / f"composite-{number:06d}.npz").exists()
        ]
        made = composite_patients(arguments.scans, arguments.real, arguments.shapes, numbers)
        for patient in tqdm(made, "composites", total=len(numbers), unit="patient"):
            store_patient(arguments.store, patient)
    else:
        for name in arguments.real:
            patient = load_real(arguments.scans, name)
            store_patient(arguments.store, patient, real_rows(patient))


if __name__ == "__main__":
    main()
