"""Dice of the kidneys on labeled real scans.

    python Testing/benchmarks/dice_scans.py FOLDER [--training NAME …] [--threads 2]

FOLDER holds NAME.nii.gz and NAME_label.nii.gz (1 right kidney, 2 left kidney). ``--training`` names the scans that
the model was trained on; they are listed apart. The scans show no renal tumor, so all tumor that is found is false.
Writes results/dice_scans.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from common import add_run_options, machine, mean_sd, segment_mask, swapped_voxels, use_threads, write_tables

from PediatricRenalSegLib.case import segment_case
from PediatricRenalSegLib.evaluation.metrics import compare_masks

LABEL_ENDING = "_label.nii.gz"
KIDNEYS = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--training", nargs="*", default=[], metavar="NAME", help="scans of the training")
    add_run_options(parser)
    options = parser.parse_args()
    use_threads(options.threads)
    names = sorted(path.name.removesuffix(LABEL_ENDING) for path in options.folder.glob(f"*{LABEL_ENDING}"))
    if not names:
        parser.error(f"{options.folder} holds no NAME{LABEL_ENDING}")
    if unknown := set(options.training) - set(names):
        parser.error(f"there is no scan {sorted(unknown)[0]}")
    rows = []
    dice: dict[bool, list[float]] = {True: [], False: []}
    for name in names:
        in_training = name in options.training
        result, truth = segment_scan(options.folder, name, options)
        found = compare_masks(segment_mask(truth, "kidney"), segment_mask(result.labels.image, "kidney"))
        arrays = [sitk.GetArrayViewFromImage(labels) for labels in (truth, result.labels.image)]
        tumor_ml = {row.segment_id: row.volume_ml for row in result.measurements.segments}.get("tumor", 0.0)
        dice[in_training].append(found["dice"])
        rows.append([
            name,
            "training" if in_training else "unseen",
            " × ".join(map(str, truth.GetSize())),
            f"{found['dice']:.3f}",
            f"{found['hausdorff95_mm']:.1f}",
            f"{found['reference_ml']:.0f} / {found['prediction_ml']:.0f}",
            f"{tumor_ml:.1f}",
            swapped_voxels(*arrays),
            f"{sum(result.run.timing_seconds.values()):.0f}",
        ])  # fmt: skip
        print(*rows[-1], flush=True)
    rows.sort(key=lambda row: row[1], reverse=True)
    summary = [
        [name, len(dice[key]), mean_sd(dice[key])] for name, key in (("unseen", False), ("training", True)) if dice[key]
    ]
    header = [
        "scan",
        "",
        "voxels",
        "kidney Dice",
        "HD95, mm",
        "kidney ml true / found",
        "tumor ml found",
        "swapped voxels",
        "seconds",
    ]
    write_tables(
        "dice_scans.md",
        "Real scans",
        [
            f"Scans with labeled kidneys and without renal tumor; model {result.run.model_id}. The scans of the "
            "training show no more than that it was learned.",
            machine(options.device),
        ],
        [(["", "scans", "kidney Dice, mean (sd)"], summary), (header, rows)],
    )


def segment_scan(folder: Path, name: str, options: argparse.Namespace):
    """The result, and the true kidneys on the grid of the CT."""
    with tempfile.TemporaryDirectory() as output:
        result = segment_case(folder / f"{name}.nii.gz", Path(output) / "result", options.model, options.device)
    return result, true_kidneys(folder, name, result.ct.image)


def true_kidneys(folder: Path, name: str, image: sitk.Image) -> sitk.Image:
    """The kidneys of a scan, right and left, on the grid of its CT."""
    truth = sitk.ReadImage(str(folder / f"{name}{LABEL_ENDING}"), sitk.sitkUInt8)
    if truth.GetSize() != image.GetSize():
        truth = sitk.Resample(truth, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    array = sitk.GetArrayFromImage(truth)
    kidneys = sitk.GetImageFromArray(np.where(np.isin(array, KIDNEYS), array, 0).astype(np.uint8))
    kidneys.CopyInformation(image)
    return kidneys


if __name__ == "__main__":
    main()
