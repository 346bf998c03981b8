"""Shapes of kidneys and tumors that anybody may use, for composites: those of generated patients.

    python -m PediatricRenalSegLib.training.composites.generated_shapes SHAPES 0 120
    python -m PediatricRenalSegLib.training.bundled_store STORE --scans DIR --real NAME --composites 0 900 --shapes DIR

The files are label maps as those of KiTS are, whose license forbids commercial use of what is made with them.
"""

import argparse
from pathlib import Path

import SimpleITK as sitk
from tqdm import tqdm

from ...output_files import whole_file
from ...synthetic import Scan, training_scan
from ..data.patient import LABELS_OF_SEGMENTS

AGE_YEARS = 15.0
"""The kidneys come into adult CT, as those of KiTS do; composites are shrunk to the sizes of children afterwards."""

SLICES, MATRIX = 80, 256
"""About 4 mm between slices and 1.5 mm between pixels."""

FIRST_SEED = 2_000_000
"""Apart from the generated children of trainings and tests."""


def shape_labels(scan: Scan) -> sitk.Image:
    """1 kidney, 2 tumor, as the shapes of KiTS (``shapes.SHAPE_LABELS``)."""
    image = sitk.GetImageFromArray(LABELS_OF_SEGMENTS[scan.labels])
    image.SetSpacing(scan.spacing[::-1])
    return image


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="Write the kidneys and tumors of generated patients as label maps.")
    parser.add_argument("shapes", type=Path, help="folder to make or to go on with")
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    arguments = parser.parse_args()
    arguments.shapes.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(arguments.first, arguments.end), "shapes", unit="patient"):
        path = arguments.shapes / f"case_{number:05d}.nii.gz"
        if not path.exists():
            scan = training_scan(AGE_YEARS, FIRST_SEED + number, SLICES, MATRIX)
            with whole_file(path) as partial:
                sitk.WriteImage(shape_labels(scan), str(partial))


if __name__ == "__main__":
    main()
