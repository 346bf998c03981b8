"""Dice of kidney and tumor on generated children that no training has seen.

    python Testing/benchmarks/dice_generated.py [--patients 40] [--threads 2] [--children FOLDER]

Every child is made at 512 × 512 pixels and its own spacing, written to a file and segmented from file to patient
folder. Seeds start at 1,000,000; trainings use smaller ones, or 2,000,000 and more. To make a child takes one to three
minutes, so they are kept in ``--children``: name another folder after a change of the generator. Writes
results/dice_generated.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from common import (
    add_run_options,
    machine,
    mean_sd,
    segment_mask,
    swapped_voxels,
    use_threads,
    write_child,
    write_tables,
)

from PediatricRenalSegLib.case import segment_case
from PediatricRenalSegLib.evaluation.metrics import compare_masks
from PediatricRenalSegLib.structures import RENAL

FIRST_SEED = 1_000_000
CHILDREN = Path("runs/children")
OLDEST = 16
SCORES = ("dice", "hausdorff95_mm")
LARGE_ML = 10.0
"""A tumor of a few milliliters is two pixels across on the canvas: the others are averaged apart too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--children", type=Path, default=CHILDREN, help=f"default: {CHILDREN}")
    add_run_options(parser)
    options = parser.parse_args()
    if options.first_seed < FIRST_SEED:
        parser.error(f"seeds below {FIRST_SEED} belong to the training")
    use_threads(options.threads)
    rows, swapped = [], 0
    found: dict[str, list[dict[str, float]]] = {structure.name: [] for structure in RENAL}
    for seed in range(options.first_seed, options.first_seed + options.patients):
        result, truth = segment_child(seed, options)
        x, y, z = result.labels.image.GetSize()
        row = [
            seed,
            f"{age_of(seed):.1f}",
            f"{x} × {y} × {z}",
            " × ".join(f"{mm:.2f}" for mm in result.labels.image.GetSpacing()),
        ]
        for structure in RENAL:
            masks = (segment_mask(labels, structure.name) for labels in (truth, result.labels.image))
            scores = compare_masks(*masks)
            found[structure.name].append(scores)
            volumes = f"{scores['reference_ml']:.3g} / {scores['prediction_ml']:.3g}"
            row += [f"{scores['dice']:.3f}", f"{scores['hausdorff95_mm']:.1f}", volumes]
        wrong_side = swapped_voxels(*(sitk.GetArrayViewFromImage(labels) for labels in (truth, result.labels.image)))
        swapped += wrong_side > 0
        rows.append([*row, wrong_side, f"{sum(result.run.timing_seconds.values()):.0f}"])
        print(*rows[-1], flush=True)
    header = ["seed", "age", "voxels", "spacing, mm"]
    for structure in RENAL:
        header += [f"{structure.name} Dice", "HD95, mm", "ml true / found"]
    groups = {
        **found,
        f"tumor of {LARGE_ML:g} ml and more": [s for s in found["tumor"] if s["reference_ml"] >= LARGE_ML],
    }
    summary = [
        [name, len(group), *(mean_sd([s[key] for s in group]) for key in SCORES)]
        + [f"{worst_tenth([s['dice'] for s in group]):.3f}"]
        for name, group in groups.items()
        if group
    ]
    write_tables(
        "dice_generated.md",
        "Generated children",
        [
            f"{options.patients} generated children with a tumor, seeds from {options.first_seed}; "
            f"model {result.run.model_id}. Generated children resemble part of the training data: these numbers say "
            "that the pipeline works, not how well it does on real children.",
            f"Patients with a kidney voxel on the wrong side: {swapped}.",
            machine(options.device),
        ],
        [
            (["mean (sd)", "patients", "Dice", "HD95, mm", "Dice of the worst tenth"], summary),
            ([*header, "swapped voxels", "seconds"], rows),
        ],
    )


def worst_tenth(values: list[float]) -> float:
    """Mean of the lowest tenth of the values, at least one of them."""
    return float(np.mean(sorted(values)[: max(1, round(len(values) / 10))]))


def segment_child(seed: int, options: argparse.Namespace):
    ct, reference = child_files(options.children, seed)
    with tempfile.TemporaryDirectory() as folder:
        result = segment_case(ct, Path(folder) / "result", options.model, options.device)
    return result, sitk.ReadImage(str(reference))


def child_files(children: Path, seed: int) -> tuple[Path, Path]:
    """CT and true segments of a child, made where they are not there yet."""
    folder = children / str(seed)
    paths = folder / "ct.nii.gz", folder / "reference.nii.gz"
    if not paths[1].exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_child(folder, age_of(seed), seed)
    return paths


def age_of(seed: int) -> float:
    """In years; half are below four, as in the training."""
    return OLDEST * np.random.default_rng([seed, 0]).random() ** 2


if __name__ == "__main__":
    main()
