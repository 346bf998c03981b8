"""The U-Net's input at full, half and quarter size: the paper's table 3 on generated children.

    python Testing/benchmarks/experiments/crop_size.py [--scale large --device cuda] [--runs FOLDER]

Trainings are kept in ``--runs``, and shared with homogenization.py. Writes results/crop_size.md, .csv and .png.
"""

import subprocess
import sys
from pathlib import Path

from pages import RESULTS, experiment_parser, write_page
from trials import (
    AUGMENTED,
    FULL,
    HALF,
    METHODS,
    OF_LOGITS,
    PAPER_DICE,
    QUARTER,
    UNET,
    Workplace,
    dice_cells,
    plot_trials,
    prepare_children,
    run_trial,
    workplace_at,
    workplace_text,
    write_trials,
)

from PediatricRenalSegLib.networks.pipeline import CROP_DIVISORS
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS

SIZE = DEFAULT_CANVAS.size
COMPARED = (UNET, AUGMENTED, FULL, HALF, QUARTER, *OF_LOGITS.values())
PAPER_COSTS = {
    UNET: ["22h (0.67)", "10.05 GB (1)"],
    AUGMENTED: ["33h (1)", "10.05 GB (1)"],
    FULL: ["28h (0.85)", "10.05 GB (1)"],
    HALF: ["19h30 (0.59)", "3.52 GB (0.35)"],
}
"""Table 3: time and memory with their ratios to the augmented baseline's."""


def main() -> None:
    run(workplace_at(experiment_parser(__doc__).parse_args()), RESULTS)


def run(place: Workplace, results: Path) -> None:
    prepare_children(place)
    trials = {name: run_trial(place, place.config(name, METHODS[name])) for name in COMPARED}
    crops = {name: METHODS[name]["crop"] for name in COMPARED}
    memory = {crop: unet_memory(place, SIZE // CROP_DIVISORS[crop]) for crop in dict.fromkeys(crops.values())}
    base = trials[AUGMENTED].seconds
    rows = [
        [name, f"{SIZE // CROP_DIVISORS[crops[name]]}²", f"{trial.seconds:.0f} ({trial.seconds / base:.2f})"]
        + [f"{memory[crops[name]]:.0f} ({memory[crops[name]] / memory['full']:.2f})"]
        + dice_cells(trial)
        + (PAPER_COSTS[name] + PAPER_DICE[name] if name in PAPER_COSTS else ["–"] * 4)
        for name, trial in trials.items()
    ]
    measured = ["training, s (ratio)", "U-Net's memory, MiB (ratio)", "kidney Dice, %", "tumor Dice, %"]
    header = ["method", "U-Net's input", *measured, *(f"paper: {name.split(',')[0]}" for name in measured)]
    write_trials(results / "crop_size.csv", trials)
    plot_trials(results / "crop_size.png", trials, {name: PAPER_DICE[name] for name in PAPER_COSTS})
    write_page(
        results / "crop_size.md",
        "Size of the U-Net's input",
        [
            "Dice by held-out patient, mean (sd). The memory is the peak of one training step of the U-Net alone, with "
            "the same batch size for all. The paper's numbers (table 3) are of images of 512 × 512 pixels, half of "
            "which is 256 × 256; it has none for a quarter.",
            workplace_text(place),
        ],
        [(header, rows)],
    )


def unet_memory(place: Workplace, size: int) -> float:
    """MiB that a training step of the U-Net needs."""
    arguments = (size, place.scale.features, place.scale.unet.batch_size, place.device.type)
    command = [sys.executable, str(Path(__file__).with_name("unet_memory.py")), *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
