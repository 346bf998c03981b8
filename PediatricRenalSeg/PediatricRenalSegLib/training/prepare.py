"""Fill the store of the bundled model: generated children, real scans, composites of both.

Data sets of users come into a store through ``datasets``.

    python -m PediatricRenalSegLib.training.prepare STORE --generated 0 600
    python -m PediatricRenalSegLib.training.prepare STORE --scans DIR --real Juno_CE --composites 0 900 --shapes DIR

Every patient depends on its number alone, so several processes can share the work and a broken run goes on.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..structures import SEGMENTS
from ..synthetic import training_scan
from .composites import composite
from .real_data import TrainingPatient, load_background, load_real, load_shapes
from .store import real_rows, store_patient

SLICES = 24


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


def add_generated(store: Path, numbers: Sequence[int]) -> list[Path]:
    """Put the generated children that a store lacks into it. Returns the files of all of ``numbers``."""
    paths = [store / f"generated-{number:06d}.npz" for number in numbers]
    for number, path in tqdm(list(zip(numbers, paths)), "generated", unit="child"):
        if not path.exists():
            store_patient(store, generated_patient(number))
    return paths


def add_composites(store: Path, scans: Path, names: list[str], shapes: Path, numbers: Sequence[int]) -> list[Path]:
    """The same for composites, as ``composite_patients`` makes them."""
    paths = [store / f"composite-{number:06d}.npz" for number in numbers]
    lacking = [number for number, path in zip(numbers, paths) if not path.exists()]
    if lacking:
        made = composite_patients(scans, names, shapes, lacking)
        for patient in tqdm(made, "composites", total=len(lacking), unit="patient"):
            store_patient(store, patient)
    return paths


def add_real(store: Path, scans: Path, names: Sequence[str]) -> None:
    """Put real scans into a store, anew if they are there."""
    for name in names:
        patient = load_real(scans, name)
        store_patient(store, patient, real_rows(patient))


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
    add_generated(arguments.store, range(*arguments.generated))
    if arguments.composites[1]:
        numbers = range(*arguments.composites)
        add_composites(arguments.store, arguments.scans, arguments.real, arguments.shapes, numbers)
    else:
        add_real(arguments.store, arguments.scans, arguments.real)


if __name__ == "__main__":
    main()
