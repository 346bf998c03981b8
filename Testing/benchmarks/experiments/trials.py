"""What the experiments with trainings share: generated patients, trainings that are kept, tables and plots of Dice.

The paper is G. La Barbera et al., ISBI 2021, pp. 1773-1776, doi:10.1109/ISBI48211.2021.9434090.
"""

import argparse
import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from matplotlib.figure import Figure
from pages import common, machine, write_csv
from tqdm import tqdm

from PediatricRenalSegLib.devices import choose_device
from PediatricRenalSegLib.evaluation.metrics import dice
from PediatricRenalSegLib.models.normalization import Normalization
from PediatricRenalSegLib.output_files import write_text
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.synthetic import draw_anatomy, draw_settings, scan
from PediatricRenalSegLib.training.data.patient import LABELS_OF_SEGMENTS, TrainingPatient
from PediatricRenalSegLib.training.data.split import write_split
from PediatricRenalSegLib.training.data.store import open_store, store_patient
from PediatricRenalSegLib.training.learn.batch import StoredSlices, as_stored
from PediatricRenalSegLib.training.learn.config import StageConfig, TrainingConfig
from PediatricRenalSegLib.training.learn.model_file import export_model
from PediatricRenalSegLib.training.learn.trainer import Trainer

REFERENCE_MASK = Path(__file__).parents[3] / "Resources/model/reference.npy"
CHILDREN, HELD_OUT = "children", "held-out"
"""Folders of the stores."""

OLDEST = 16.0
TURN_DEGREES = 30.0
SLICES = 24
MATRIX = 320
ADULT_SIZE = (1.1, 1.3)
"""Size of adults in sizes of sixteen-year-olds, the oldest that are generated."""
ADULT_DEGREES = 5.0
"""Standard deviation of the turn of adults."""
FIRST_HELD_OUT = 1_000_000
"""Numbers below belong to the training."""


@dataclass(frozen=True)
class Scale:
    """How large the trainings of an experiment are."""

    training: int
    """Patients."""
    validation: int
    held_out: int
    features: int
    """Of the U-Net's first level."""
    stn: StageConfig
    unet: StageConfig
    workers: int
    """Processes that augment slices."""


SCALES = {
    "small": Scale(40, 4, 12, 8, StageConfig(10, 30, 8), StageConfig(10, 80, 8), 0),
    "large": Scale(400, 40, 60, 24, StageConfig(50, 100, 16), StageConfig(150, 100, 16), 8),
}

UNET, AUGMENTED, POSE = "U-Net", "U-Net + augmentation of nnU-Net", "pose STN + U-Net"
FULL, HALF, QUARTER = (f"pose STN + crop STN + U-Net, {crop}" for crop in ("full", "half", "quarter"))
OF_LOGITS = {name: f"{name}, logits restored" for name in (FULL, HALF, QUARTER)}
"""Names of the same methods with ``TrainingConfig.restored`` other than in the paper."""
METHODS = {
    name: {"method": method, "augmentation": augmentation, "crop": crop, "restored": "probabilities"}
    for name, method, augmentation, crop in (
        (UNET, "unet", "none", "full"),
        (AUGMENTED, "unet", "nnunet", "full"),
        (POSE, "pose", "none", "full"),
        (FULL, "pose_and_crop", "none", "full"),
        (HALF, "pose_and_crop", "none", "half"),
        (QUARTER, "pose_and_crop", "none", "quarter"),
    )
}
"""The paper's methods as keys of the training configuration. Those with STNs see no augmentation, as in the paper."""
METHODS |= {other: {**METHODS[name], "restored": "logits"} for name, other in OF_LOGITS.items()}
PAPER_DICE = {
    UNET: ["88.07 (5.61)", "78.14 (26.19)"],
    AUGMENTED: ["88.91 (5.08)", "85.52 (24.65)"],
    POSE: ["88.01 (6.25)", "87.12 (23.39)"],
    FULL: ["88.84 (7.79)", "84.25 (31.15)"],
    HALF: ["86.71 (19.36)", "84.15 (30.11)"],
}
"""Dice of kidney and tumor, mean (sd) in percent: tables 2 and 3 of the paper, images of 512 × 512 pixels."""

CARD = {
    "version": "0",
    "license": "for this experiment only",
    "license_notice": "",
    "training_domain": "patients of an experiment",
    "limits": "not for use",
    "scores": {},
}


@dataclass(frozen=True)
class Workplace:
    """Where an experiment of one scale runs."""

    scale: Scale
    runs: Path
    """Stores and trainings that are kept."""
    device: torch.device

    def config(self, name: str, keys: dict, epochs: int | None = None, store: str = CHILDREN) -> TrainingConfig:
        """A training in the folder ``name``; ``keys`` of the configuration, ``epochs`` of the U-Net."""
        unet = replace(self.scale.unet, epochs=epochs or self.scale.unet.epochs)
        return TrainingConfig(
            store=self.runs / store,
            output=self.runs / name,
            reference_mask=REFERENCE_MASK,
            features=self.scale.features,
            pose=self.scale.stn,
            crop_stage=self.scale.stn,
            unet=unet,
            patience=unet.epochs,  # all methods run to their last epoch: times are compared
            bfloat16=True,
            workers=self.scale.workers,
            **keys,
        )


@dataclass(frozen=True)
class Trial:
    """What one training gave."""

    epochs: int
    """Of the U-Net."""
    stn_seconds: float
    unet_seconds: float
    dice: dict[str, list[float]]
    """By structure, one value a held-out patient; NaN where the canvas shows nothing of the structure."""

    @property
    def seconds(self) -> float:
        return self.stn_seconds + self.unet_seconds


def workplace_at(options: argparse.Namespace) -> Workplace:
    """As the options of ``experiment_parser`` say; each scale in a folder of its own."""
    common.use_threads(options.threads)
    return Workplace(SCALES[options.scale], options.runs / options.scale, choose_device(options.device))


def child(number: int) -> TrainingPatient:
    """A generated child with a tumor in the early arterial phase, as all of the paper's.

    Half of the children are below four years. They lie turned by up to 30 degrees to either side, on a flat table and
    off the scanner's axis; of the last, cropping to the body leaves little.
    """
    rng = np.random.default_rng([number, 3])
    return _patient(number, OLDEST * rng.random() ** 2, rng.uniform(-TURN_DEGREES, TURN_DEGREES), 1.0, rng)


def adult(number: int) -> TrainingPatient:
    """A generated sixteen-year-old made as large as an adult, lying about straight.

    The tumor was drawn as a child's, so it is small beside an adult body.
    """
    rng = np.random.default_rng([number, 4])
    return _patient(number, OLDEST, rng.normal(0, ADULT_DEGREES), rng.uniform(*ADULT_SIZE), rng)


def _patient(number: int, age: float, degrees: float, size: float, rng: np.random.Generator) -> TrainingPatient:
    """A patient with a tumor in ``SLICES`` slices from the pelvis to the lungs, made ``size`` times as large."""
    anatomy = draw_anatomy(age, number, tumor=True)
    settings = draw_settings(anatomy, rng)
    low, high = anatomy.z_range
    spacing = (high - low) / SLICES
    settings = replace(
        settings,
        matrix=MATRIX,
        pixel_mm=settings.pixel_mm * settings.matrix / MATRIX,
        slices=SLICES,
        spacing_mm=spacing,
        slice_mm=min(settings.slice_mm, spacing),
        z_low=low,
        rotation_deg=degrees,
    )
    made = scan(anatomy, settings, rng)
    labels = LABELS_OF_SEGMENTS[made.labels]
    z, y, x = (size * mm for mm in made.spacing)
    return TrainingPatient(patient_name(number), "generated", made.image, labels, (z, y, x))


def patient_name(number: int) -> str:
    return f"{number:07d}"


def prepare_children(place: Workplace) -> None:
    """Fill the stores ``CHILDREN`` and ``HELD_OUT``."""
    scale = place.scale
    fill_store(place.runs / CHILDREN, child, range(scale.training + scale.validation), scale.validation)
    held_out = range(FIRST_HELD_OUT, FIRST_HELD_OUT + scale.held_out)
    fill_store(place.runs / HELD_OUT, child, held_out, scale.held_out)


def fill_store(store: Path, make: Callable[[int], TrainingPatient], numbers: range, validation: int) -> None:
    """Make the patients that a store lacks; the last ``validation`` of them are for validation."""
    for number in tqdm(numbers, store.name, unit="patient"):
        if not (store / f"{patient_name(number)}.npz").exists():
            store_patient(store, make(number))
    write_split(store, {patient_name(number): number >= numbers.stop - validation for number in numbers})


def run_trial(place: Workplace, config: TrainingConfig) -> Trial:
    """Train and score on the held-out children, or read what an earlier run of the command left.

    A training that was stopped goes on. Raises ``SystemExit`` if the earlier one had other settings.
    """
    claim(config)
    kept = config.output / "trial.json"
    if not kept.is_file():
        print(f"training: {config.output.name}", flush=True)
        trainer = Trainer(config, place.device)
        dice_of_patients = score(trainer.run(), trainer.normalization, place)
        trial = Trial(config.unet.epochs, *stage_seconds(config.output / "log.csv"), dice_of_patients)
        write_text(kept, json.dumps(asdict(trial), indent=2) + "\n")
    return Trial(**json.loads(kept.read_text(encoding="utf-8")))


def claim(config: TrainingConfig) -> None:
    """Keep the settings of a training in its folder. Raises ``SystemExit`` if there are others."""
    values = {name: value for name, value in config.to_dict().items() if name not in ("store", "output", "start")}
    settings, path = json.dumps(values, indent=2) + "\n", config.output / "settings.json"
    if not path.is_file():
        config.output.mkdir(parents=True, exist_ok=True)
        write_text(path, settings)
    elif path.read_text(encoding="utf-8") != settings:
        raise SystemExit(f"{config.output} holds a training with other settings: name another folder with --runs.")


def stage_seconds(log: Path) -> tuple[float, float]:
    """Seconds that the STNs took, and the U-Net; of a training that was stopped, without the pauses."""
    seconds = {"stn": 0.0, "unet": 0.0}
    with log.open(newline="") as file:
        for row in csv.DictReader(file):
            seconds["unet" if row["stage"] == "unet" else "stn"] += float(row["seconds"])
    return seconds["stn"], seconds["unet"]


def exported(run: Path) -> Path:
    """The model file of a finished training, with the name of its folder."""
    model = run / "model.pt"
    if not model.is_file():
        card = run / "card.json"
        card.write_text(json.dumps({"id": run.name, **CARD}), encoding="utf-8")
        export_model(run, card, model)
    return model


@torch.inference_mode()
def score(model: torch.nn.Module, normalization: Normalization, place: Workplace) -> dict[str, list[float]]:
    """Dice of every held-out child on the canvas, as ``Trial.dice``."""
    store = open_store(place.runs / HELD_OUT, validation=True)
    found: dict[str, list[float]] = {structure.name: [] for structure in store.structures}
    for patient in np.unique(store.patients):
        rows = np.flatnonzero(store.patients == patient)
        batch = as_stored(StoredSlices.of(store, rows), normalization).to(place.device)
        predicted = model(batch.image, batch.mask)[0].argmax(dim=1)
        for structure in store.structures:
            masks = [(labels == structure.label).cpu().numpy() for labels in (batch.labels, predicted)]
            images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
            found[structure.name].append(dice(*images) if masks[0].any() else np.nan)
    return found


def dice_cells(trial: Trial) -> list[str]:
    """Mean (sd) of the Dice of every structure in percent, for a table."""
    return [percent(trial.dice[structure.name]) for structure in RENAL]


def percent(values: Iterable[float]) -> str:
    """Mean and standard deviation of Dice in percent, as the paper writes them; NaN is left out."""
    known = 100 * np.array([value for value in values if not np.isnan(value)])
    if len(known) < 2:
        return f"{known.mean():.2f}" if len(known) else "–"
    return f"{known.mean():.2f} ({known.std(ddof=1):.2f})"


def write_trials(path: Path, trials: dict[str, Trial]) -> None:
    """One row a training and held-out patient."""
    header = ["training", "epochs", "seconds", "patient", *(structure.name for structure in RENAL)]
    write_csv(
        path,
        header,
        (
            [name, trial.epochs, f"{trial.seconds:.1f}", patient, *(f"{value:.4f}" for value in values)]
            for name, trial in trials.items()
            for patient, values in enumerate(zip(*(trial.dice[structure.name] for structure in RENAL)))
        ),
    )


def plot_trials(path: Path, trials: dict[str, Trial], paper: dict[str, list[str]]) -> None:
    """Dice of every patient, their mean and the paper's mean, one line a training; ``paper`` as ``PAPER_DICE``."""
    figure = Figure(figsize=(10, 1.2 + 0.5 * len(trials)), layout="constrained")
    panels = figure.subplots(1, len(RENAL), sharey=True)
    names = list(trials)
    for column, (panel, structure) in enumerate(zip(panels, RENAL)):
        for line, name in enumerate(names):
            values = 100 * np.array(trials[name].dice[structure.name])
            first = line == 0
            panel.plot(
                values, [line] * len(values), "o", color="C0", alpha=0.35, ms=5, label="patient" if first else ""
            )
            panel.plot(np.nanmean(values), line, "|", color="C0", ms=22, mew=3, label="mean" if first else "")
            if name in paper:
                mean = float(paper[name][column].split()[0])
                panel.plot(mean, line, "D", color="C1", mfc="none", label="paper" if first else "")
        panel.set_xlabel(f"Dice of the {structure.name}, percent")
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def workplace_text(place: Workplace) -> str:
    """What a page says on its trainings and the machine."""
    scale = place.scale
    return (
        f"{scale.training} generated children to train on and {scale.validation} to validate; {scale.held_out} others "
        f"are scored. {scale.unet.batches} batches of {scale.unet.batch_size} slices an epoch of the U-Net, "
        f"{scale.features} features; {scale.stn.epochs} epochs of {scale.stn.batches} batches for each STN. One "
        "training each: what another seed would change is not known.\n\n"
        f"{machine(str(place.device))}"
    )
