"""Fill the store of the bundled model: generated children, real scans, composites of both.

Data sets of users come into a store through ``data.prepare``.

    python -m PediatricRenalSegLib.training.bundled_store STORE --generated 0 600 --small 0 240
    python -m PediatricRenalSegLib.training.bundled_store STORE --scans DIR --real NAME --composites 0 900 --shapes DIR

Every patient depends on its number alone, so several processes can share the work and a broken run goes on.
"""

import argparse
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..synthetic import small_tumor_scan, training_scan
from .composites.backgrounds import load_background
from .composites.composite import composite
from .composites.shapes import load_shapes
from .data.patient import LABELS_OF_SEGMENTS, TrainingPatient
from .data.scans import load_real
from .data.split import read_split, write_split
from .data.store import real_rows, store_patient

SLICES = 24
"""Of a generated child or a composite: neighboring slices teach little that is new."""

SMALL_SEED = 3_000_000
"""Added to the number of a child with a small tumor: apart from the others of trainings and tests."""


def generated_patient(number: int, small: bool = False) -> TrainingPatient:
    """A generated child; half of them below four years, as in the paper's database.

    small: with a small tumor, in slices over the kidneys.
    """
    seed, make = (SMALL_SEED + number, small_tumor_scan) if small else (number, training_scan)
    rng = np.random.default_rng([seed, 0])
    scan = make(16 * rng.random() ** 2, seed, slices=SLICES)
    labels = LABELS_OF_SEGMENTS[scan.labels]
    return TrainingPatient(_name(number, small), "generated", scan.image, labels, scan.spacing)


def _name(number: int, small: bool) -> str:
    return f"generated-small-{number:06d}" if small else f"generated-{number:06d}"


def add_generated(store: Path, numbers: Sequence[int], small: bool = False) -> list[Path]:
    """Put the generated children that a store lacks into it. Returns the files of all of ``numbers``."""
    paths = [store / f"{_name(number, small)}.npz" for number in numbers]
    for number, path in tqdm(list(zip(numbers, paths)), "generated", unit="child"):
        if not path.exists():
            store_patient(store, generated_patient(number, small))
    return paths


def add_composites(store: Path, scans: Path, names: list[str], shapes: Path, numbers: Sequence[int]) -> list[Path]:
    """The same for composites, on the scans ``names`` in turn.

    Their scans become patients of the training: what chooses the best epoch must not be seen in it.
    """
    backgrounds = [names[number % len(names)] for number in numbers]
    paths = [store / f"composite-{number:06d} on {name}.npz" for number, name in zip(numbers, backgrounds)]
    lacking = [task for task in zip(numbers, backgrounds, paths) if not task[2].exists()]
    if lacking:
        store.mkdir(parents=True, exist_ok=True)
        write_split(store, read_split(store) | dict.fromkeys(names, False))
        load, kidneys = cache(partial(load_background, scans)), load_shapes(shapes)
        for number, name, path in tqdm(lacking, "composites", unit="patient"):
            rng = np.random.default_rng([number, 1])
            store_patient(store, composite(load(name), kidneys, rng, SLICES, path.stem))
    return paths


def add_real(store: Path, scans: Path, names: Sequence[str]) -> None:
    """Put real scans into a store, anew if they are there."""
    for name in names:
        patient = load_real(scans, name)
        store_patient(store, patient, real_rows(patient))


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="Fill a store of training slices.")
    parser.add_argument("store", type=Path)
    parser.add_argument("--generated", type=int, nargs=2, metavar=("FIRST", "END"), default=(0, 0))
    parser.add_argument(
        "--small", type=int, nargs=2, metavar=("FIRST", "END"), default=(0, 0), help="generated, with a small tumor"
    )
    parser.add_argument("--composites", type=int, nargs=2, metavar=("FIRST", "END"), default=(0, 0))
    parser.add_argument("--scans", type=Path, help="folder of real scans NAME.nii.gz with NAME_label.nii.gz")
    parser.add_argument(
        "--real", nargs="*", default=[], metavar="NAME", help="scans to store and to build composites on"
    )
    parser.add_argument("--shapes", type=Path, help="folder of kidney and tumor label maps")
    arguments = parser.parse_args()
    add_generated(arguments.store, range(*arguments.generated))
    add_generated(arguments.store, range(*arguments.small), small=True)
    if arguments.composites[1]:
        numbers = range(*arguments.composites)
        add_composites(arguments.store, arguments.scans, arguments.real, arguments.shapes, numbers)
    else:
        add_real(arguments.store, arguments.scans, arguments.real)


if __name__ == "__main__":
    main()
