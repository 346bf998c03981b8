"""Real scans that a training never saw, and what the kidney shapes of a training are worth.

    python Testing/benchmarks/experiments/leave_one_out.py SCANS --shapes NAME=DIR [NAME=DIR ...]
        [--leave-out NAME[,NAME] ...] [--scale large --device cuda] [--runs FOLDER]

SCANS holds NAME.nii.gz and NAME_label.nii.gz (1 right kidney, 2 left kidney) of patients without renal tumor. DIR holds
label maps of kidneys and tumors (``training.composites.generated_shapes`` makes some that anybody may use). A first
training sees generated children alone. The others go on from it, each without one scan, or with ``--leave-out`` without
all scans of a group, and learn from generated children, the scans that are left, and composites of these with the
shapes. Scored are the scans that a training did not see, and twenty generated children that none sees. Trainings are
kept in ``--runs``, and the results show all that are there.
Writes results/leave_one_out.md, .csv and .png.
"""

import json
import shutil
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import SimpleITK as sitk
import torch
from matplotlib.figure import Figure
from pages import (
    RESULTS,
    common,
    dice_generated,
    dice_scans,
    experiment_parser,
    machine,
    scan_names,
    write_csv,
    write_page,
)
from trials import REFERENCE_MASK, claim, exported

from PediatricRenalSegLib.case import segment
from PediatricRenalSegLib.devices import choose_device
from PediatricRenalSegLib.evaluation.metrics import compare_masks
from PediatricRenalSegLib.models.bundle import ModelBundle
from PediatricRenalSegLib.models.catalogue import load_model
from PediatricRenalSegLib.output_files import write_text
from PediatricRenalSegLib.pipelines.slicewise import SlicewisePipeline
from PediatricRenalSegLib.reading import read_ct
from PediatricRenalSegLib.training.bundled_store import add_composites, add_generated, add_real
from PediatricRenalSegLib.training.data.split import write_split
from PediatricRenalSegLib.training.learn.config import StageConfig, TrainingConfig
from PediatricRenalSegLib.training.learn.trainer import Trainer
from PediatricRenalSegLib.volume import CTVolume

SEEDS = range(dice_generated.FIRST_SEED, dice_generated.FIRST_SEED + 20)
CHILD = "child "
START, NONE = "generated alone", "no scans, no composites"
"""The training from which the others go on, and what stands for its shapes."""
SCORES = "scores.json"
LEARNING_RATE = 0.005
"""Of the trainings that go on."""


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
    workers: int


PLANS = {
    "small": Plan(
        634,
        180,
        24,
        {"pose": StageConfig(24, 50, 16), "crop_stage": StageConfig(8, 50, 16), "unet": StageConfig(80, 60, 12)},
        {"pose": StageConfig(6, 50, 16), "crop_stage": StageConfig(4, 50, 16), "unet": StageConfig(30, 60, 12)},
        0,
    ),
    "large": Plan(
        2000,
        400,
        24,
        {"pose": StageConfig(50, 100, 16), "crop_stage": StageConfig(50, 100, 16), "unet": StageConfig(150, 100, 16)},
        {"pose": StageConfig(20, 100, 16), "crop_stage": StageConfig(20, 100, 16), "unet": StageConfig(100, 100, 16)},
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
        return START if self.shapes == NONE else f"{self.shapes} without {self.label}"

    @property
    def label(self) -> str:
        """What was left out, in words."""
        return "all" if self.shapes == NONE else ", ".join(self.left_out)


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
    device = choose_device(options.device)
    LeaveOneOut(
        PLANS[options.scale], options.scans, shapes, options.runs / options.scale, dice_generated.CHILDREN, device
    ).run([Fold(name, group) for name in shapes for group in groups], RESULTS)


@dataclass(frozen=True)
class LeaveOneOut:
    """The experiment in its folders."""

    plan: Plan
    scans: Path
    shapes: dict[str, Path]
    runs: Path
    children: Path
    """Of ``dice_generated``."""
    device: torch.device

    def run(self, folds: list[Fold], results: Path) -> None:
        generated = add_generated(self.runs / "generated", range(self.plan.generated))
        start = self.trained(START, self.runs / "generated", self.plan.start, reference_mask=REFERENCE_MASK)
        self.score(Fold(NONE, tuple(scan_names(self.scans))), start)
        for fold in folds:
            store = self.store_of(fold, generated)
            model = self.trained(
                fold.folder, store, self.plan.fold, start=start, keep="last", learning_rate=LEARNING_RATE
            )
            self.score(fold, model)
        scores = [
            Score(**values)
            for kept in sorted(self.runs.glob(f"*/{SCORES}"))
            for values in json.loads(kept.read_text(encoding="utf-8"))
        ]
        header = [field.name for field in fields(Score)]
        write_csv(results / "leave_one_out.csv", header, [list(astuple(score)) for score in scores])
        write_results(scores, self, results)

    def store_of(self, fold: Fold, generated: list[Path]) -> Path:
        """The store of a fold: links to its patients, made anew. Scans are for training, whatever their names say."""
        names = scan_names(self.scans)
        kept = [name for name in names if name not in fold.left_out]
        files = [*generated, *map(self.real_scan, kept), *self.composites(fold, names)]
        store = self.runs / fold.folder / "store"
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir(parents=True)
        for file in files:
            (store / file.name).symlink_to(file.resolve())
        write_split(store, dict.fromkeys(kept, False))
        return store

    def real_scan(self, name: str) -> Path:
        path = self.runs / "scans" / f"{name}.npz"
        if not path.exists():
            add_real(path.parent, self.scans, [name])
        return path

    def composites(self, fold: Fold, names: list[str]) -> list[Path]:
        """Composites on the scans that the fold keeps; number n is on scan n modulo their count."""
        store = self.runs / f"composites, {fold.shapes}"
        numbers = [
            number
            for number in range(self.plan.composites * len(names))
            if names[number % len(names)] not in fold.left_out
        ]
        return add_composites(store, self.scans, names, self.shapes[fold.shapes], numbers)

    def trained(self, name: str, store: Path, lengths: dict[str, StageConfig], **keys) -> Path:
        """The model of a training, which is kept; ``keys`` of the configuration."""
        config = TrainingConfig(
            store=store,
            output=self.runs / name,
            features=self.plan.features,
            patience=lengths["unet"].epochs,
            bfloat16=True,
            restored="probabilities",  # as the bundled model's
            workers=self.plan.workers,
            pose=lengths["pose"],
            crop_stage=lengths["crop_stage"],
            unet=lengths["unet"],
            **keys,
        )
        claim(config)
        if not (config.output / "model.pt").is_file():
            print(f"training: {name}", flush=True)
            Trainer(config, self.device).run()
        return exported(config.output)

    def score(self, fold: Fold, model: Path) -> None:
        """Score what the fold left out and the generated children, unless that was done."""
        kept = self.runs / fold.folder / SCORES
        if not kept.is_file():
            bundle = load_model(str(model), self.device)
            found = [self.score_of_scan(fold, name, bundle) for name in fold.left_out]
            found += [self.score_of_child(fold, seed, bundle) for seed in SEEDS]
            write_text(kept, json.dumps([asdict(score) for score in found], indent=2) + "\n")

    def score_of_scan(self, fold: Fold, name: str, bundle: ModelBundle) -> Score:
        ct = read_ct(self.scans / f"{name}.nii.gz")
        return score_of(
            fold, name, dice_scans.true_kidneys(self.scans, name, ct.image), segmented(ct, bundle, self.device)
        )

    def score_of_child(self, fold: Fold, seed: int, bundle: ModelBundle) -> Score:
        ct, reference = dice_generated.child_files(self.children, seed)
        return score_of(
            fold, f"{CHILD}{seed}", sitk.ReadImage(str(reference)), segmented(read_ct(ct), bundle, self.device)
        )


def segmented(ct: CTVolume, bundle: ModelBundle, device: torch.device) -> sitk.Image:
    """The segments, as ``segment_case`` finds them."""
    return segment(ct, SlicewisePipeline(bundle, device)).labels.image


def score_of(fold: Fold, patient: str, truth: sitk.Image, found: sitk.Image) -> Score:
    """Both images with the values of ``RENAL.segments``."""
    kidney, tumor = (
        compare_masks(*(common.segment_mask(image, name) for image in (truth, found))) for name in ("kidney", "tumor")
    )
    has_tumor = tumor["reference_ml"] > 0
    return Score(
        fold.shapes,
        fold.label,
        patient,
        kidney["dice"],
        kidney["hausdorff95_mm"],
        tumor["dice"] if has_tumor else float("nan"),
        tumor["prediction_ml"],
    )


def write_results(scores: list[Score], experiment: LeaveOneOut, results: Path) -> None:
    """One table of the scans, one of the generated children, and the picture of the scans."""
    children = [score for score in scores if score.patient.startswith(CHILD)]
    scans = [score for score in scores if not score.patient.startswith(CHILD)]
    plot(scans, results / "leave_one_out.png")
    plan = experiment.plan
    write_page(
        results / "leave_one_out.md",
        "Real scans left out",
        [
            "Real scans of adults without renal tumor, each segmented with a model that was not trained on it; so all "
            "tumor that is found is false. The first training saw generated children alone "
            f"({plan.generated}, {plan.start['unet'].epochs} epochs of the U-Net). The others go on from it for "
            f"{plan.fold['unet'].epochs} epochs with these children, the scans that are not left out and "
            f"{plan.composites} composites on each of them, with the shapes of the second column. The paper has no "
            "such table.",
            machine(str(experiment.device)),
        ],
        [
            (["scan", "shapes", "kidney Dice", "HD95, mm", "false tumor, ml", "left out"], scan_rows(scans)),
            (
                ["shapes", "left out", f"kidney Dice of {len(SEEDS)} generated children", "tumor Dice"],
                child_rows(children),
            ),
        ],
    )


def scan_rows(scores: list[Score]) -> list[list[str]]:
    """One a scan, and one of all scans for every set of shapes."""
    rows = [
        [s.patient, s.shapes, f"{s.kidney:.3f}", f"{s.kidney_hausdorff95_mm:.1f}", f"{s.tumor_ml:.1f}", s.left_out]
        for s in sorted(scores, key=lambda score: score.patient)
    ]
    for shapes in dict.fromkeys(score.shapes for score in scores):
        own = [score for score in scores if score.shapes == shapes]
        dice, false_ml = [score.kidney for score in own], max(score.tumor_ml for score in own)
        summary = f"mean (sd) {common.mean_sd(dice)}, worst {min(dice):.3f}"
        rows.append([f"all {len(own)}", shapes, summary, "", f"at most {false_ml:.1f}", ""])
    return rows


def child_rows(scores: list[Score]) -> list[list[str]]:
    """One a training."""
    kinds = dict.fromkeys((score.shapes, score.left_out) for score in scores)
    groups = [[score for score in scores if (score.shapes, score.left_out) == kind] for kind in kinds]
    return [
        [*kind, *(common.mean_sd([getattr(score, name) for score in group]) for name in ("kidney", "tumor"))]
        for kind, group in zip(kinds, groups)
    ]


def plot(scores: list[Score], path: Path) -> None:
    """Kidney Dice by scan and shapes."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    panel = figure.subplots()
    names = sorted({score.patient for score in scores})
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
