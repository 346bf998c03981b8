"""Real scans that a training never saw, and what the kidney shapes of a training are worth.

    python Testing/benchmarks/experiments/leave_one_out.py SCANS --shapes NAME=DIR [NAME=DIR ...]
        [--leave-out NAME[,NAME] ...] [--scale large --device cuda] [--runs FOLDER]

SCANS holds NAME.nii.gz and NAME_label.nii.gz (1 right kidney, 2 left kidney) of patients without renal tumor. DIR holds
label maps of kidneys and tumors (``training.generated_shapes`` makes some that anybody may use). All trainings go on
from one that saw generated children alone. Each leaves one scan out, or with ``--leave-out`` all scans of a group, and
learns from generated children, from the other scans, and from composites of these with the shapes. What was left out
is scored, and twenty generated children that no training sees. Trainings are kept in ``--runs``.
Writes results/leave_one_out.md, .csv and .png.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
from dice_generated import FIRST_SEED, OLDEST
from dice_scans import segment_scan
from matplotlib.figure import Figure
from pages import RESULTS, common, experiment_parser, machine, scan_names, write_csv, write_page
from tqdm import tqdm
from trials import REFERENCE_MASK, claim, exported

from PediatricRenalSegLib.case import segment_case
from PediatricRenalSegLib.evaluation.metrics import compare_masks
from PediatricRenalSegLib.inference import choose_device
from PediatricRenalSegLib.training.config import StageConfig, TrainingConfig
from PediatricRenalSegLib.training.prepare import composite_patients, generated_patient
from PediatricRenalSegLib.training.real_data import load_real
from PediatricRenalSegLib.training.store import real_rows, store_patient, write_split, write_text
from PediatricRenalSegLib.training.trainer import Trainer

CHILDREN = range(FIRST_SEED, FIRST_SEED + 20)


@dataclass(frozen=True)
class Plan:
    """How large the trainings are."""

    generated: int
    """Children."""
    composites: int
    """On each scan."""
    features: int
    start: dict[str, StageConfig]
    """Lengths of the training on generated children."""
    fold: dict[str, StageConfig]
    """Lengths of those that go on from it."""
    learning_rate: float
    """Of these."""
    workers: int


PLANS = {
    "small": Plan(
        634,
        180,
        24,
        {"pose": StageConfig(24, 50, 16), "crop_stage": StageConfig(8, 50, 16), "unet": StageConfig(80, 60, 12)},
        {"pose": StageConfig(6, 50, 16), "crop_stage": StageConfig(4, 50, 16), "unet": StageConfig(20, 60, 12)},
        0.005,
        0,
    ),
    "large": Plan(
        2000,
        400,
        24,
        {"pose": StageConfig(50, 100, 16), "crop_stage": StageConfig(50, 100, 16), "unet": StageConfig(150, 100, 16)},
        {"pose": StageConfig(20, 100, 16), "crop_stage": StageConfig(20, 100, 16), "unet": StageConfig(100, 100, 16)},
        0.005,
        8,
    ),
}


@dataclass(frozen=True)
class Fold:
    """A training that leaves scans out."""

    shapes: str
    """Name of the shapes of its composites."""
    left_out: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.shapes} without {', '.join(self.left_out)}"


@dataclass(frozen=True)
class Score:
    """One patient segmented with the model of one training. NaN: the patient has none."""

    shapes: str
    left_out: str
    patient: str
    kidney: float
    """Dice."""
    kidney_hausdorff95_mm: float
    tumor: float
    """Dice."""
    tumor_ml: float
    """Found."""


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("scans", type=Path, metavar="SCANS")
    parser.add_argument("--shapes", nargs="+", required=True, metavar="NAME=DIR")
    parser.add_argument("--leave-out", nargs="+", metavar="NAME[,NAME]", help="default: every scan alone")
    options = parser.parse_args()
    common.use_threads(options.threads)
    names = scan_names(options.scans)
    groups = [tuple(group.split(",")) for group in options.leave_out or names]
    if unknown := {name for group in groups for name in group} - set(names):
        parser.error(f"there is no scan {sorted(unknown)[0]}")
    shapes = {name: Path(folder) for name, _, folder in (text.partition("=") for text in options.shapes)}
    if missing := [name for name, folder in shapes.items() if not any(folder.glob("case_*.nii.gz"))]:
        parser.error(f"the folder of the shapes {missing[0]!r} holds no case_*.nii.gz: give NAME=DIR")
    LeaveOneOut(PLANS[options.scale], options.scans, shapes, options.runs / options.scale, options.device).run(
        [Fold(name, group) for name in shapes for group in groups], RESULTS
    )


@dataclass(frozen=True)
class LeaveOneOut:
    """The experiment in its folders."""

    plan: Plan
    scans: Path
    shapes: dict[str, Path]
    runs: Path
    device: str

    def run(self, folds: list[Fold], results: Path) -> None:
        generated = self.generated_children()
        start = self.trained("generated alone", generated, self.plan.start, reference_mask=REFERENCE_MASK)
        scores = []
        for fold in folds:
            store = self.store_of(fold, generated)
            model = self.trained(fold.folder, store, self.plan.fold, start=start, learning_rate=self.plan.learning_rate)
            scores += self.scores(fold, model)
        write_csv(results / "leave_one_out.csv", [field.name for field in fields(Score)], map(astuple, scores))
        write_results(scores, self, results)

    def generated_children(self) -> Path:
        """The store of generated children."""
        store = self.runs / "generated"
        for number in tqdm(range(self.plan.generated), "generated children", unit="child"):
            if not (store / f"generated-{number:06d}.npz").exists():
                store_patient(store, generated_patient(number))
        return store

    def store_of(self, fold: Fold, generated: Path) -> Path:
        """The store of a fold: links to its patients. Scans are for training, whatever their names say."""
        names = scan_names(self.scans)
        kept = [name for name in names if name not in fold.left_out]
        files = [*generated.glob("generated-*.npz"), *map(self.real_scan, kept), *self.composites(fold, names)]
        store = self.runs / fold.folder / "store"
        store.mkdir(parents=True, exist_ok=True)
        for file in files:
            if not (store / file.name).exists():
                (store / file.name).symlink_to(file.resolve())
        write_split(store, dict.fromkeys(kept, False))
        return store

    def real_scan(self, name: str) -> Path:
        path = self.runs / "scans" / f"{name}.npz"
        if not path.exists():
            patient = load_real(self.scans, name)
            store_patient(path.parent, patient, real_rows(patient))
        return path

    def composites(self, fold: Fold, names: list[str]) -> list[Path]:
        """Composites on the scans that the fold keeps; number n is on scan n modulo their count."""
        store = self.runs / f"composites, {fold.shapes}"
        numbers = [
            number
            for number in range(self.plan.composites * len(names))
            if names[number % len(names)] not in fold.left_out
        ]
        paths = [store / f"composite-{number:06d}.npz" for number in numbers]
        lacking = [number for number, path in zip(numbers, paths) if not path.exists()]
        if lacking:
            made = composite_patients(self.scans, names, self.shapes[fold.shapes], lacking)
            for patient in tqdm(made, "composites", total=len(lacking), unit="patient"):
                store_patient(store, patient)
        return paths

    def trained(self, name: str, store: Path, lengths: dict[str, StageConfig], **keys) -> Path:
        """The model of a training, which is kept; ``keys`` of the configuration."""
        config = TrainingConfig(
            store=store,
            output=self.runs / name,
            features=self.plan.features,
            patience=lengths["unet"].epochs,  # all folds have the same length
            bfloat16=True,
            workers=self.plan.workers,
            **lengths,
            **keys,
        )
        claim(config)
        if not (config.output / "model.pt").is_file():
            print(f"training: {name}", flush=True)
            Trainer(config, choose_device(self.device)).run()
        return exported(config.output)

    def scores(self, fold: Fold, model: Path) -> list[Score]:
        """Scores of what the fold left out and of the generated children, which are kept."""
        kept = self.runs / fold.folder / "scores.json"
        if not kept.is_file():
            options = argparse.Namespace(model=str(model), device=self.device)
            found = [*self.scan_scores(fold, options), *self.child_scores(fold, options)]
            write_text(kept, json.dumps([asdict(score) for score in found], indent=2) + "\n")
        return [Score(**values) for values in json.loads(kept.read_text(encoding="utf-8"))]

    def scan_scores(self, fold: Fold, options: argparse.Namespace) -> Iterator[Score]:
        for name in fold.left_out:
            result, truth = segment_scan(self.scans, name, options)
            yield score_of(fold, name, truth, result)

    def child_scores(self, fold: Fold, options: argparse.Namespace) -> Iterator[Score]:
        for seed in CHILDREN:
            ct, reference = self.child_files(seed)
            with TemporaryDirectory() as folder:
                result = segment_case(ct, Path(folder) / "result", options.model, options.device)
            yield score_of(fold, f"child {seed}", sitk.ReadImage(str(reference)), result)

    def child_files(self, seed: int) -> tuple[Path, Path]:
        """CT and true segments of a generated child as in ``dice_generated.py``; it takes minutes to make one."""
        folder = self.runs / "children" / str(seed)
        paths = folder / "ct.nii.gz", folder / "reference.nii.gz"
        if not paths[1].exists():
            folder.mkdir(parents=True, exist_ok=True)
            common.write_child(folder, OLDEST * np.random.default_rng([seed, 0]).random() ** 2, seed)
        return paths


def score_of(fold: Fold, patient: str, truth: sitk.Image, result) -> Score:
    """``result`` of ``segment_case``."""
    pairs = [
        [common.segment_mask(image, name) for image in (truth, result.labels.image)] for name in ("kidney", "tumor")
    ]
    kidney, tumor = (compare_masks(*pair) for pair in pairs)
    has_tumor = tumor["reference_ml"] > 0
    return Score(
        fold.shapes,
        ", ".join(fold.left_out),
        patient,
        kidney["dice"],
        kidney["hausdorff95_mm"],
        tumor["dice"] if has_tumor else float("nan"),
        tumor["prediction_ml"],
    )


def write_results(scores: list[Score], experiment: LeaveOneOut, results: Path) -> None:
    """One table of the scans, one of the generated children, and the picture of the scans."""
    scans = [score for score in scores if not score.patient.startswith("child")]
    by_scan = [
        [
            score.patient,
            score.shapes,
            f"{score.kidney:.3f}",
            f"{score.kidney_hausdorff95_mm:.1f}",
            f"{score.tumor_ml:.1f}",
        ]
        + [score.left_out]
        for score in scans
    ]
    for shapes in experiment.shapes:
        own = [score for score in scans if score.shapes == shapes]
        dice = [score.kidney for score in own]
        worst = [
            f"{common.mean_sd(dice)}, worst {min(dice):.3f}",
            "",
            f"{max(score.tumor_ml for score in own):.1f} at most",
        ]
        by_scan.append([f"all {len(own)}", shapes, *worst, ""])
    by_child = []
    for kind in dict.fromkeys((score.shapes, score.left_out) for score in scores):
        own = [s for s in scores if (s.shapes, s.left_out) == kind and s.patient.startswith("child")]
        by_child.append(
            [kind[0], kind[1], *(common.mean_sd([getattr(s, name) for s in own]) for name in ("kidney", "tumor"))]
        )
    plot(scans, results / "leave_one_out.png")
    plan = experiment.plan
    write_page(
        results / "leave_one_out.md",
        "Real scans left out",
        [
            "Real scans of adults without renal tumor, each segmented with a model that was not trained on it; so all "
            "tumor that is found is false. All trainings go on from one with "
            f"{plan.generated} generated children ({plan.start['unet'].epochs} epochs of the U-Net) and have "
            f"{plan.fold['unet'].epochs} epochs with these children, the other scans and {plan.composites} composites "
            "on each of them. The second column names the shapes of the composites. The paper has no such table.",
            machine(experiment.device),
        ],
        [
            (["scan", "shapes", "kidney Dice", "HD95, mm", "false tumor, ml", "left out of the training"], by_scan),
            (["shapes", "left out", f"kidney Dice of {len(CHILDREN)} generated children", "tumor Dice"], by_child),
        ],
    )


def plot(scores: list[Score], path: Path) -> None:
    """Kidney Dice by scan and shapes."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    panel = figure.subplots()
    names = list(dict.fromkeys(score.patient for score in scores))
    for number, shapes in enumerate(dict.fromkeys(score.shapes for score in scores)):
        own = [score for score in scores if score.shapes == shapes]
        places = [names.index(score.patient) + 0.12 * number for score in own]
        panel.plot(places, [score.kidney for score in own], "o", ms=9, color=f"C{number}", label=f"shapes: {shapes}")
    panel.set_xticks(range(len(names)), names, rotation=15)
    panel.set_ylabel("Dice of the kidneys")
    panel.set_ylim(top=1)
    panel.grid(axis="y", alpha=0.3)
    panel.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
