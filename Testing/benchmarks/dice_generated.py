"""Dice of kidney and tumor on generated children that no training has seen.

    python Testing/benchmarks/dice_generated.py [--patients 20] [--threads 2]

Every child is made at 512 × 512 pixels and its own spacing, written to a file and segmented from file to patient
folder. Seeds start at 1,000,000; trainings use smaller ones. Writes results/dice_generated.md. A child takes one
to three minutes, most of it to make it.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from common import add_run_options, machine, mean_sd, segment_mask, swapped_voxels, use_threads, write_child, write_tables

from PediatricRenalSegLib.case import segment_case
from PediatricRenalSegLib.evaluation.metrics import compare_masks
from PediatricRenalSegLib.structures import STRUCTURES

FIRST_SEED = 1_000_000
OLDEST = 16
SCORES = ("dice", "hausdorff95_mm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    add_run_options(parser)
    options = parser.parse_args()
    if options.first_seed < FIRST_SEED:
        parser.error(f"seeds below {FIRST_SEED} belong to the training")
    use_threads(options.threads)
    rows, scores, swapped = [], {(s.name, name): [] for s in STRUCTURES for name in SCORES}, 0
    for seed in range(options.first_seed, options.first_seed + options.patients):
        age = OLDEST * np.random.default_rng([seed, 0]).random() ** 2  # as in the training: half below four
        result, truth = segment_child(age, seed, options)
        x, y, z = result.labels.image.GetSize()
        row = [seed, f"{age:.1f}", f"{x} × {y} × {z}", " × ".join(f"{mm:.2f}" for mm in result.labels.image.GetSpacing())]
        for structure in STRUCTURES:
            found = compare_masks(segment_mask(truth, structure.name), segment_mask(result.labels.image, structure.name))
            for name in SCORES:
                scores[structure.name, name].append(found[name])
            row += [f"{found['dice']:.3f}", f"{found['hausdorff95_mm']:.1f}", f"{found['reference_ml']:.0f} / {found['prediction_ml']:.0f}"]
        wrong_side = swapped_voxels(*(sitk.GetArrayViewFromImage(labels) for labels in (truth, result.labels.image)))
        swapped += wrong_side > 0
        rows.append([*row, wrong_side, f"{sum(result.run.timing_seconds.values()):.0f}"])
        print(*rows[-1], flush=True)
    header = ["seed", "age", "voxels", "spacing, mm"]
    for structure in STRUCTURES:
        header += [f"{structure.name} Dice", "HD95, mm", "ml true / found"]
    summary = [[s.name, *(mean_sd(scores[s.name, name]) for name in SCORES)] for s in STRUCTURES]
    write_tables(
        "dice_generated.md",
        "Generated children",
        [
            f"{options.patients} generated children with a tumor, seeds from {options.first_seed}; model {result.run.model_id}. "
            "Generated children resemble part of the training data: these numbers say that the pipeline works, not how well it "
            "does on real children.",
            f"Patients with a kidney voxel on the wrong side: {swapped}.",
            machine(options.device),
        ],
        [(["mean (sd)", "Dice", "HD95, mm"], summary), ([*header, "swapped voxels", "seconds"], rows)],
    )


def segment_child(age: float, seed: int, options: argparse.Namespace):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ct, reference = write_child(folder, age, seed)
        result = segment_case(ct, folder / "result", options.model, options.device)
        return result, sitk.ReadImage(str(reference))


if __name__ == "__main__":
    main()
