"""Pose and size undone by the STN, or shown to the U-Net by augmentation: the paper's table 2 on generated children.

    python Testing/benchmarks/experiments/homogenization.py [--scale large --device cuda] [--runs FOLDER]

Each of the four methods is trained twice: for as many epochs as the others, and for as long as the augmented
baseline. Trainings are kept in ``--runs`` and not done again. Writes results/homogenization.md, .csv and .png.
"""

from pathlib import Path

from pages import RESULTS, experiment_parser, write_page
from trials import (
    AUGMENTED,
    FULL,
    METHODS,
    PAPER_DICE,
    POSE,
    UNET,
    Trial,
    Workplace,
    dice_cells,
    plot_trials,
    prepare_children,
    run_trial,
    workplace_at,
    workplace_text,
    write_trials,
)

COMPARED = (UNET, AUGMENTED, POSE, FULL)
PAPER_128 = {
    UNET: "0.70: 83.66 (7.88), 69.52 (24.61)",
    AUGMENTED: "1: 88.99 (3.71), 74.18 (22.07)",
    POSE: "0.78: 86.75 (6.47), 77.31 (27.36)",
}
PAPER_512_RATIOS = {UNET: "0.67", AUGMENTED: "1", POSE: "0.76", FULL: "0.85"}
"""Training time as a ratio to the augmented baseline (1h35, 2h15, 1h45; 22h, 33h, 25h, 28h) and, for 128 × 128 pixels,
Dice of kidney and tumor: tables 2 and 3 of the paper."""


def main() -> None:
    run(workplace_at(experiment_parser(__doc__).parse_args()), RESULTS)


def run(place: Workplace, results: Path) -> None:
    prepare_children(place)
    equal_epochs = {name: run_trial(place, place.config(name, METHODS[name])) for name in COMPARED}
    equal_time = {name: same_time(place, name, equal_epochs) for name in COMPARED}
    base = equal_epochs[AUGMENTED].seconds
    rows = [
        [name, what, trial.epochs, f"{trial.seconds:.0f}", f"{trial.seconds / base:.2f}"]
        + dice_cells(trial)
        + [PAPER_128.get(name, "–"), f"{PAPER_512_RATIOS[name]}: {', '.join(PAPER_DICE[name])}"]
        for what, trials in (("same epochs", equal_epochs), ("same time", equal_time))
        for name, trial in trials.items()
    ]
    header = [
        "method",
        "trained for",
        "epochs of the U-Net",
        "training, s",
        "ratio",
        "kidney Dice, %",
        "tumor Dice, %",
        "paper, 128 × 128",
        "paper, 512 × 512",
    ]
    both = equal_epochs | {f"{name} (same time)": trial for name, trial in equal_time.items() if name != AUGMENTED}
    write_trials(results / "homogenization.csv", both)
    paper = {name: PAPER_DICE[name.removesuffix(" (same time)")] for name in both}
    plot_trials(results / "homogenization.png", both, paper)
    write_page(
        results / "homogenization.md",
        "Homogenization of pose and size",
        [
            "Dice by held-out patient, mean (sd). The ratio is that of the training times to the augmented baseline's. "
            "The paper's columns have its ratio, then the Dice of kidney and of tumor (tables 2 and 3); it trained all "
            "methods for their own number of epochs. Its data are 80 real children.",
            workplace_text(place),
        ],
        [(header, rows)],
    )


def same_time(place: Workplace, name: str, equal_epochs: dict[str, Trial]) -> Trial:
    """The training of a method that takes as long as the augmented baseline of the same number of epochs."""
    known = equal_epochs[name]
    left = equal_epochs[AUGMENTED].seconds - known.stn_seconds
    epochs = max(1, round(known.epochs * left / known.unet_seconds))
    if epochs == known.epochs:
        return known
    return run_trial(place, place.config(f"{name}, {epochs} epochs", METHODS[name], epochs))


if __name__ == "__main__":
    main()
