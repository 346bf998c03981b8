"""From adults to children: the paper's table 1 on generated patients.

    python Testing/benchmarks/experiments/transfer.py [--scale large --device cuda] [--runs FOLDER]
    python Testing/benchmarks/experiments/transfer.py --scans DIR --shapes DIR

A U-Net is trained on adults and then, in the paper's four regimes, on children; beside it one that is trained on
children from scratch. Adults are generated, or with ``--scans`` and ``--shapes`` composites: real adult CT
(NAME.nii.gz with NAME_label.nii.gz) with the kidneys and tumors of other patients. Trainings are kept in ``--runs``.
Writes results/transfer.md, .csv and .png.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from pages import RESULTS, experiment_parser, scan_names, write_page
from trials import (
    AUGMENTED,
    METHODS,
    PAPER_DICE,
    SLICES,
    Workplace,
    adult,
    dice_cells,
    exported,
    fill_store,
    patient_name,
    plot_trials,
    prepare_children,
    run_trial,
    workplace_at,
    workplace_text,
    write_trials,
)

from PediatricRenalSegLib.training.composites.backgrounds import load_background
from PediatricRenalSegLib.training.composites.composite import composite
from PediatricRenalSegLib.training.composites.shapes import load_shapes
from PediatricRenalSegLib.training.data.patient import TrainingPatient

FROZEN, OUTER, DECODER, ALL = (
    "adults only (weights frozen)",
    "first 2 blocks of the encoder and last 2 of the decoder",
    "entire decoder",
    "entire network",
)
SCRATCH = "children only (from scratch)"
TRAINABLE = {OUTER: "outer", DECODER: "decoder", ALL: "all"}
PAPER = {
    FROZEN: ["20.83 (35.55)", "18.29 (35.73)"],
    OUTER: ["53.38 (25.84)", "51.05 (31.76)"],
    DECODER: ["81.75 (7.18)", "75.79 (23.24)"],
    ALL: ["84.99 (6.38)", "81.08 (23.01)"],
    SCRATCH: PAPER_DICE[AUGMENTED],
}
"""Dice of kidney and tumor: table 1, a 3D nnU-Net trained on KiTS19; from scratch table 2, the 2D one with
augmentation."""


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--scans", type=Path, metavar="DIR", help="real adult CT with labeled kidneys")
    parser.add_argument("--shapes", type=Path, metavar="DIR", help="label maps of kidneys and tumors to put into them")
    options = parser.parse_args()
    if bool(options.scans) != bool(options.shapes):
        parser.error("--scans and --shapes belong together")
    place = workplace_at(options)
    if options.scans:
        run(place, RESULTS, "composite adults", composite_adult(options.scans, options.shapes))
    else:
        run(place, RESULTS, "generated adults", adult)


def run(place: Workplace, results: Path, adults: str, make_adult: Callable[[int], TrainingPatient]) -> None:
    """``adults`` names them; ``make_adult`` makes one of a number."""
    prepare_children(place)
    scale, keys = place.scale, METHODS[AUGMENTED]
    fill_store(place.runs / adults, make_adult, range(scale.training + scale.validation), scale.validation)
    on_adults = place.config(f"U-Net of {adults}", keys, store=adults)
    trials = {FROZEN: run_trial(place, on_adults)}
    start = exported(on_adults.output)
    for name, trainable in TRAINABLE.items():
        config = place.config(f"{adults}, then {name}", {**keys, "start": start, "trainable": trainable})
        trials[name] = run_trial(place, config)
    trials[SCRATCH] = run_trial(place, place.config(AUGMENTED, keys))
    rows = [
        [name, trial.epochs, f"{trial.seconds:.0f}"] + dice_cells(trial) + PAPER[name] for name, trial in trials.items()
    ]
    header = ["trained on children", "epochs", "training, s", "kidney Dice, %", "tumor Dice, %"]
    write_trials(results / "transfer.csv", trials)
    plot_trials(results / "transfer.png", trials, PAPER)
    write_page(
        results / "transfer.md",
        "From adults to children",
        [
            f"A U-Net with nnU-Net's augmentation, trained on {scale.training} {adults}, then fine-tuned on children; "
            "Dice by held-out child, mean (sd). The paper's (table 1) is a 3D nnU-Net trained on 210 adults of KiTS19; "
            "its line from scratch is the 2D one of table 2. Epochs and seconds of the first line are those on adults.",
            workplace_text(place),
        ],
        [([*header, "paper: kidney", "paper: tumor"], rows)],
    )


def composite_adult(scans: Path, shapes: Path) -> Callable[[int], TrainingPatient]:
    """A function that makes a composite by number, the scans in turn."""
    backgrounds = [load_background(scans, name) for name in scan_names(scans)]
    kidneys = load_shapes(shapes)

    def make(number: int) -> TrainingPatient:
        background = backgrounds[number % len(backgrounds)]
        made = composite(background, kidneys, np.random.default_rng([number, 5]), SLICES, patient_name(number))
        return replace(made, kind="generated")  # a store validates with no composites, and here is nothing else

    return make


if __name__ == "__main__":
    main()
