"""Kidney Dice on real scans made smaller and turned: what the pose STN is good for.

    python Testing/benchmarks/experiments/pose_and_size.py FOLDER [--model ID|FILE ...] [--scale large]

FOLDER holds NAME.nii.gz and NAME_label.nii.gz (1 right kidney, 2 left kidney). Every scan gets the sizes 0.35 to 1, by
its spacing, and is turned about the long axis of the patient, the labels alike. The table below the patient turns too.
``--scale small`` changes either size or turn, ``large`` both together. Each model runs

- as it is;
- with the matrices of neighboring slices smoothed along the patient;
- with its pose STN switched off, which it was not trained for. A model trained without one shows more.

Scores are kept in ``--runs`` and not taken again. Writes results/pose_and_size.md, .csv and .png.
"""

import csv
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from matplotlib.figure import Figure
from pages import RESULTS, common, experiment_parser, machine, scan_names, write_csv, write_page
from scipy import ndimage
from torch import Tensor

from PediatricRenalSegLib import case
from PediatricRenalSegLib.devices import choose_device
from PediatricRenalSegLib.evaluation.metrics import dice
from PediatricRenalSegLib.models.bundle import ModelBundle
from PediatricRenalSegLib.models.catalogue import load_model
from PediatricRenalSegLib.networks.affine import compose
from PediatricRenalSegLib.pipelines.base import Prediction
from PediatricRenalSegLib.pipelines.canvas import SliceStack, preprocess
from PediatricRenalSegLib.pipelines.slicewise import BATCH_SIZE, SlicewisePipeline, neighbor_sigma, to_axial
from PediatricRenalSegLib.progress import ProgressCallback, ignore
from PediatricRenalSegLib.structures import KIDNEY
from PediatricRenalSegLib.training.data.patient import TrainingPatient
from PediatricRenalSegLib.training.data.scans import load_real
from PediatricRenalSegLib.volume import AIR_HU, CTVolume

SIZES = (0.35, 0.5, 0.65, 0.8, 1.0)
CHILD_SIZES = SIZES[:3]
DEGREES = (-30.0, -15.0, 0.0, 15.0, 30.0)
COARSEST_MM = 1.5
ALLOWED = 0.03
"""How far the Dice may fall from that of the scan as it is, at child sizes and at any turn."""
SMOOTHING_MM = 10.0
"""Standard deviation of the mean of matrices along the patient."""
AS_IT_IS, SMOOTHED, SWITCHED_OFF = "as it is", "matrices smoothed", "pose STN off (not trained so)"


@dataclass(frozen=True)
class Score:
    """One model on one scan of one size and turn."""

    model: str
    variant: str
    scan: str
    size: float
    degrees: float
    dice: float
    pose_degrees: float
    """Mean turn that the pose STN finds; it differs from ``degrees`` by the turn of the patient as scanned."""
    pose_size: float
    """Mean size that the pose STN finds, in sizes of the reference subject."""

    @property
    def key(self) -> tuple:
        return astuple(self)[:5]


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--scans", nargs="+", metavar="NAME", help="only these scans")
    parser.add_argument("--model", nargs="+", default=[None], metavar="ID|FILE", help="default: the first shipped one")
    options = parser.parse_args()
    common.use_threads(options.threads)
    names = scan_names(options.folder)
    if unknown := set(options.scans or []) - set(names):
        parser.error(f"there is no scan {sorted(unknown)[0]}")
    conditions = [
        (size, degrees)
        for size in SIZES
        for degrees in DEGREES
        if options.scale == "large" or size == 1 or degrees == 0
    ]
    device = choose_device(options.device)
    models = [load_model(name, device) for name in options.model]
    scans = [with_fine_pixels(load_real(options.folder, name)) for name in options.scans or names]
    run(models, scans, conditions, options.runs, device, RESULTS)


def run(
    models: list[ModelBundle],
    scans: list[TrainingPatient],
    conditions: list[tuple[float, float]],
    runs: Path,
    device: torch.device,
    results: Path,
) -> None:
    """``conditions``: sizes and degrees."""
    kept = runs / "pose_and_size.csv"
    known = {score.key: score for score in read_scores(kept)}
    wanted = []
    for bundle in models:
        for scan in scans:
            for size, degrees in conditions:
                keys = [(model_name(bundle), variant, scan.name, size, degrees) for variant in variants(bundle)]
                if not known.keys() >= set(keys):
                    found = measure(bundle, scan, size, degrees, device)
                    known |= {score.key: score for score in found}
                    append_scores(kept, found)
                    print(scan.name, size, degrees, *(f"{score.dice:.3f}" for score in found), flush=True)
                wanted += [known[key] for key in keys]
    write_csv(results / "pose_and_size.csv", column_names(), [list(astuple(score)) for score in wanted])
    write_results(wanted, device, results)


def variants(bundle: ModelBundle) -> tuple[str, ...]:
    """In what ways a model can run. The STN that a method does without is an identity and has no weights."""
    has_pose = any(True for _ in parts_of(bundle).pose_stn.parameters())
    return (AS_IT_IS, SMOOTHED, SWITCHED_OFF) if has_pose else (AS_IT_IS,)


def parts_of(bundle: ModelBundle) -> torch.jit.ScriptModule:
    """The network as TorchScript, which gives its STNs, its U-Net and the steps between them by name."""
    assert isinstance(bundle.network, torch.jit.ScriptModule)
    return bundle.network


def model_name(bundle: ModelBundle) -> str:
    return f"{bundle.metadata.id} {bundle.sha256[:8]}"


def measure(
    bundle: ModelBundle, scan: TrainingPatient, size: float, degrees: float, device: torch.device
) -> list[Score]:
    """The scores of all variants."""
    ct, truth = changed(scan, size, degrees)
    scores = []
    for variant in variants(bundle):
        pipeline = Variant(bundle, device, variant)
        labels = case.segment(ct, pipeline).labels
        poses = pipeline.poses
        scores.append(
            Score(
                model=model_name(bundle),
                variant=variant,
                scan=scan.name,
                size=size,
                degrees=degrees,
                dice=dice(truth, common.segment_mask(labels.image, "kidney")),
                pose_degrees=float(torch.rad2deg(torch.atan2(poses[:, 1, 0], poses[:, 0, 0])).mean()),
                pose_size=float(poses[:, :, :2].det().abs().sqrt().mean()) * pipeline.pixel_mm,
            )
        )
    return scores


class Variant(SlicewisePipeline):
    """The pipeline of a model that runs in one of ``variants``; it keeps what its pose STN found."""

    def __init__(self, bundle: ModelBundle, device: torch.device, variant: str):
        super().__init__(bundle, device)
        self.variant = variant
        self.poses, self.pixel_mm = torch.empty(0, 2, 3), self.canvas.pixel_mm

    def predict(self, ct: CTVolume, body: np.ndarray, progress: ProgressCallback = ignore) -> Prediction:
        stack = preprocess(ct, body, self.canvas, self.bundle.metadata.normalization)
        self.pixel_mm = stack.grid.pixel_mm
        with_pose = self.variant != SWITCHED_OFF
        self.poses, matrices = stn_matrices(self.bundle, stack, self.device, with_pose)
        if self.variant == SMOOTHED:
            matrices = smoothed(matrices, SMOOTHING_MM / stack.grid.axial_spacing[0])
        probabilities = segment(self.bundle, stack, matrices, self.device)
        channels, doubt = to_axial(probabilities, stack.grid, neighbor_sigma(body, stack.grid))
        return Prediction(np.array(self.bundle.metadata.channel_labels, np.uint8)[channels], doubt)


def with_fine_pixels(scan: TrainingPatient) -> TrainingPatient:
    """The scan with pixels of at most ``COARSEST_MM``: a mask of 3 mm pixels, turned there and back, agrees with
    itself to no more than 0.91."""
    parts = int(np.ceil(scan.spacing[1] / COARSEST_MM))
    if parts == 1:
        return scan
    finer = partial(ndimage.zoom, zoom=(1, parts, parts), order=1, mode="nearest", grid_mode=True)
    labels = (finer((scan.labels == KIDNEY.label).astype(np.float32)) >= 0.5) * np.uint8(KIDNEY.label)
    spacing = (scan.spacing[0], scan.spacing[1] / parts, scan.spacing[2] / parts)
    return replace(scan, image=finer(scan.image), labels=labels, spacing=spacing)


def changed(scan: TrainingPatient, size: float, degrees: float) -> tuple[CTVolume, sitk.Image]:
    """The scan and its kidneys as a mask, ``size`` times as large and turned from x toward y."""
    image, kidneys = scan.image, (scan.labels == KIDNEY.label).astype(np.float32)
    if degrees:
        image = ndimage.rotate(image, -degrees, axes=(1, 2), order=1, cval=AIR_HU)
        kidneys = ndimage.rotate(kidneys, -degrees, axes=(1, 2), order=1)
    volumes = [sitk.GetImageFromArray(array) for array in (image, (kidneys >= 0.5).astype(np.uint8))]
    for volume in volumes:
        volume.SetSpacing([size * mm for mm in scan.spacing[::-1]])
    return CTVolume(volumes[0], scan.name), volumes[1]


@torch.inference_mode()
def stn_matrices(
    bundle: ModelBundle, stack: SliceStack, device: torch.device, with_pose: bool
) -> tuple[Tensor, Tensor]:
    """Pose matrices, identities without pose STN, and their compositions with the crop matrices: ``(N, 2, 3)``."""
    network = parts_of(bundle)
    poses, composed = [], []
    for images, masks in batches(stack, device):
        pose = torch.eye(2, 3, device=device).expand(len(images), 2, 3)
        if with_pose:
            pose = network.pose_stn(images, masks)
        poses.append(pose.cpu())
        composed.append(compose(pose, network.locate(images, masks, pose)).cpu())
    return torch.cat(poses), torch.cat(composed)


def smoothed(matrices: Tensor, sigma: float) -> Tensor:
    """Mean over neighboring slices, entry by entry: neighbors differ so little that means are similarities too."""
    return torch.from_numpy(ndimage.gaussian_filter1d(matrices.numpy(), sigma, axis=0, mode="nearest"))


@torch.inference_mode()
def segment(bundle: ModelBundle, stack: SliceStack, matrices: Tensor, device: torch.device) -> np.ndarray:
    """As ``run_network`` with given matrices in the place of the two that the STNs find."""
    network, found = parts_of(bundle), []
    for (images, _), matrix in zip(batches(stack, device), matrices.to(device).split(BATCH_SIZE)):
        identity = torch.eye(2, 3, device=device).expand(len(images), 2, 3)
        logits = network.unet(network.cut(images, matrix, identity))[0]
        probabilities = network.restore(torch.softmax(logits, dim=1), matrix, identity, bundle.metadata.input["size"])
        found.append(probabilities.half().cpu().numpy())
    return np.concatenate(found)


def batches(stack: SliceStack, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    images, masks = torch.from_numpy(stack.images)[:, None], torch.from_numpy(stack.masks)[:, None].float()
    for pair in zip(images.split(BATCH_SIZE), masks.split(BATCH_SIZE)):
        yield tuple(part.to(device) for part in pair)


def column_names() -> list[str]:
    return [field.name for field in fields(Score)]


def read_scores(path: Path) -> list[Score]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [_score(row) for row in csv.DictReader(file)]


def _score(row: dict[str, str]) -> Score:
    return Score(
        model=row["model"],
        variant=row["variant"],
        scan=row["scan"],
        size=float(row["size"]),
        degrees=float(row["degrees"]),
        dice=float(row["dice"]),
        pose_degrees=float(row["pose_degrees"]),
        pose_size=float(row["pose_size"]),
    )


def append_scores(path: Path, scores: list[Score]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, column_names())
        if new:
            writer.writeheader()
        writer.writerows(map(asdict, scores))


def write_results(scores: list[Score], device: torch.device, results: Path) -> None:
    """Tables by size and by turn, and their picture."""
    kinds = list(dict.fromkeys((score.model, score.variant) for score in scores))
    means = {kind: mean_scores(scores, kind) for kind in kinds}
    sizes = sorted({score.size for score in scores}, reverse=True)
    turns = sorted({score.degrees for score in scores})
    by_size, by_turn = [], []
    for kind, mean in means.items():
        as_scanned = mean[1.0, 0.0].dice
        child_sizes = min(mean[size, 0.0].dice for size in sizes if size in CHILD_SIZES) - as_scanned
        turned = min(mean[1.0, degrees].dice for degrees in turns) - as_scanned
        found = [mean[1.0, degrees].pose_degrees - mean[1.0, 0.0].pose_degrees for degrees in turns]
        by_size.append([*kind, *(f"{mean[size, 0.0].dice:.3f}" for size in sizes), verdict(child_sizes)])
        by_turn.append([*kind, *(f"{mean[1.0, degrees].dice:.3f}" for degrees in turns), verdict(turned)])
        by_turn[-1].append("–" if kind[1] == SWITCHED_OFF else ", ".join(map(degree_text, found)))
    worst = [
        [*kind, score.scan, f"× {score.size:g}, {degree_text(score.degrees)}", f"{score.dice:.3f}"]
        for kind in kinds
        for score in [min((s for s in scores if (s.model, s.variant) == kind), key=lambda score: score.dice)]
    ]
    plot(scores, means, results / "pose_and_size.png")
    names = ", ".join(dict.fromkeys(score.scan for score in scores))
    write_page(
        results / "pose_and_size.md",
        "Pose and size",
        [
            f"Dice of the kidneys on real scans of adults ({names}) that were made smaller by their spacing and "
            "turned, labels alike; means over the scans. The scans are the same everywhere, so sizes and "
            "turns compare; how good a model is on scans that it was not trained on is another question. Wanted: with "
            f"the pose STN a fall of at most {ALLOWED} from × 1 at × {min(CHILD_SIZES)} to × {max(CHILD_SIZES)}, and "
            f"from 0° at any turn. The paper has no such table. Smoothing is a Gaussian of {SMOOTHING_MM:g} mm.",
            machine(str(device)),
        ],
        [
            (["model", "STNs", *(f"× {size:g}" for size in sizes), "worst child size against × 1"], by_size),
            (
                ["model", "STNs", *map(degree_text, turns), "worst turn against 0°", "turns that the STN sees"],
                by_turn,
            ),
            (["model", "STNs", "worst scan", "size and turn", "Dice"], worst),
        ],
    )


def mean_scores(scores: list[Score], kind: tuple[str, str]) -> dict[tuple[float, float], Score]:
    """Means over the scans by size and degrees."""
    groups: dict[tuple[float, float], list[Score]] = {}
    for score in scores:
        if (score.model, score.variant) == kind:
            groups.setdefault((score.size, score.degrees), []).append(score)
    return {condition: _mean_score(group) for condition, group in groups.items()}


def _mean_score(group: list[Score]) -> Score:
    return replace(
        group[0],
        scan="mean",
        dice=float(np.mean([score.dice for score in group])),
        pose_degrees=float(np.mean([score.pose_degrees for score in group])),
        pose_size=float(np.mean([score.pose_size for score in group])),
    )


def degree_text(degrees: float) -> str:
    return f"{degrees:+.0f}°" if round(degrees) else "0°"


def verdict(change: float) -> str:
    return f"{change:+.3f} ({'as wanted' if change >= -ALLOWED else 'too much'})"


def plot(scores: list[Score], means: dict[tuple[str, str], dict[tuple[float, float], Score]], path: Path) -> None:
    """Dice against size and against turn: means thick, scans thin."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for number, (kind, mean) in enumerate(means.items()):
        sizes = sorted(size for size, degrees in mean if degrees == 0)
        turns = sorted(degrees for size, degrees in mean if size == 1)
        lines = [[(size, 0.0) for size in sizes], [(1.0, degrees) for degrees in turns]]
        for panel, places, conditions in zip(panels, (sizes, turns), lines):
            for scan in dict.fromkeys(score.scan for score in scores):
                own = {(s.size, s.degrees): s.dice for s in scores if (s.model, s.variant, s.scan) == (*kind, scan)}
                panel.plot(places, [own[key] for key in conditions], color=f"C{number}", alpha=0.25, lw=1)
            label = " – ".join(kind)
            style = "o--" if kind[1] == SMOOTHED else "o-"
            panel.plot(places, [mean[key].dice for key in conditions], style, color=f"C{number}", lw=2.5, label=label)
    for panel, name in zip(panels, ("size of the scan", "turn of the scan, degrees")):
        panel.set_xlabel(name)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("Dice of the kidneys (thin: single scans)")
    panels[0].set_xticks(SIZES)
    panels[1].set_xticks(DEGREES)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", frameon=False, ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
