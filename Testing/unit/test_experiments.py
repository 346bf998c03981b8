"""The commands of the experiments, each in a tiny run from end to end."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from abdomens import abdomen
from tiny_models import CLASSES, NORMALIZATION, untrained_pipeline, write_model

from PediatricRenalSegLib.body import body_mask
from PediatricRenalSegLib.models.catalogue import load_model
from PediatricRenalSegLib.networks.pipeline import SegmentationPipeline
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS, preprocess
from PediatricRenalSegLib.pipelines.slicewise import run_network
from PediatricRenalSegLib.training.data.patient import TrainingPatient
from PediatricRenalSegLib.training.data.split import read_split
from PediatricRenalSegLib.training.data.store import store_patient
from PediatricRenalSegLib.training.learn.config import StageConfig

EXPERIMENTS = Path(__file__).parents[1] / "benchmarks" / "experiments"
sys.path.append(str(EXPERIMENTS))
import crop_size  # noqa: E402
import homogenization  # noqa: E402
import leave_one_out  # noqa: E402
import pages  # noqa: E402
import pose_and_size  # noqa: E402
import transfer  # noqa: E402
import trials  # noqa: E402

CPU = torch.device("cpu")
STAGE = StageConfig(epochs=1, batches=1, batch_size=2)
TINY = trials.Scale(training=2, validation=1, held_out=3, features=2, stn=STAGE, unet=STAGE, workers=0)


def child(number: int) -> TrainingPatient:
    """An analytic child: a generated one takes seconds."""
    made = abdomen((4, 96, 96), (8.0, 2.0, 2.0), 100 + number % 7, 80, seed=number % 1000)
    return TrainingPatient(trials.patient_name(number), "generated", made.image, made.labels, made.spacing)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workplace that the three experiments share, with its stores."""
    place = trials.Workplace(TINY, tmp_path_factory.mktemp("runs"), CPU)
    trials.fill_store(place.runs / trials.CHILDREN, child, range(3), 1)
    held_out = range(trials.FIRST_HELD_OUT, trials.FIRST_HELD_OUT + 3)
    trials.fill_store(place.runs / trials.HELD_OUT, child, held_out, 3)
    return place


def table_rows(page: Path) -> list[list[str]]:
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def modified(folder: Path) -> dict[Path, int]:
    """When patients, weights and scores were written."""
    kept = (".npz", ".pt", "trial.json", ".csv")
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name.endswith(kept)}


def check_results(results: Path, name: str, first_column: list[str]) -> None:
    """The page has all rows of the paper's table, and the files beside it are there."""
    assert [row[0] for row in table_rows(results / f"{name}.md")[1:]] == first_column
    assert pages.BY_HAND in (results / f"{name}.md").read_text()
    assert (results / f"{name}.png").stat().st_size > 5000


@pytest.mark.slow
@pytest.mark.parametrize("command", ["homogenization", "crop_size", "transfer", "pose_and_size", "leave_one_out"])
def test_commands_start_on_their_own(command):
    ran = subprocess.run([sys.executable, EXPERIMENTS / f"{command}.py", "--help"], capture_output=True, text=True)
    assert ran.returncode == 0 and f"results/{command}.md" in ran.stdout, ran.stderr


# Trainings


@pytest.mark.slow
def test_homogenization_has_all_methods_twice_and_trains_once(place, tmp_path, monkeypatch):
    homogenization.run(place, tmp_path)
    methods = list(homogenization.COMPARED)
    check_results(tmp_path, "homogenization", methods + methods)
    before = modified(place.runs)
    monkeypatch.setattr(trials, "Trainer", None)  # another training would fail
    homogenization.run(place, tmp_path)
    assert modified(place.runs) == before


@pytest.mark.slow
def test_crop_size_shares_trainings_and_measures_memory(place, tmp_path):
    crop_size.run(place, tmp_path)
    check_results(tmp_path, "crop_size", list(crop_size.COMPARED))
    header, *rows = table_rows(tmp_path / "crop_size.md")
    memory = {row[0]: float(row[header.index("U-Net's memory, MiB (ratio)")].split()[0]) for row in rows}
    assert memory[trials.FULL] > memory[trials.HALF] > memory[trials.QUARTER] > 0


@pytest.mark.slow
def test_transfer_starts_from_the_adults(place, tmp_path):
    transfer.run(place, tmp_path, "adults", child)
    check_results(tmp_path, "transfer", list(transfer.PAPER))
    adults = load_model(str(place.runs / "U-Net of adults" / "model.pt"), CPU).network.state_dict()
    decoder = torch.load(place.runs / f"adults, then {transfer.DECODER}" / "best.pt", weights_only=True)
    changed = {name for name, weight in adults.items() if not torch.equal(weight, decoder[name])}
    assert changed and all(name.startswith(("unet.up", "unet.decode", "unet.heads")) for name in changed)


@pytest.mark.slow
def test_scores_are_of_the_held_out_children(place):
    trial = trials.run_trial(place, place.config(trials.UNET, trials.METHODS[trials.UNET]))
    assert {name: len(values) for name, values in trial.dice.items()} == {"kidney": 3, "tumor": 3}
    assert all(0 <= value <= 1 for values in trial.dice.values() for value in values)
    assert trial.unet_seconds > 0 and trial.stn_seconds == 0


@pytest.mark.slow
def test_a_training_with_other_settings_is_not_taken_for_this_one(place):
    trials.run_trial(place, place.config(trials.UNET, trials.METHODS[trials.UNET]))
    longer = place.config(trials.UNET, trials.METHODS[trials.UNET], epochs=2)
    with pytest.raises(SystemExit, match="other settings"):
        trials.run_trial(place, longer)


def test_same_time_is_that_of_the_augmented_baseline(place, monkeypatch):
    """A method whose STNs take 20 s and whose U-Net takes 4 s an epoch has 20 epochs in the baseline's 100 s."""
    dice = {"kidney": [0.5], "tumor": [0.5]}
    known = {trials.AUGMENTED: trials.Trial(10, 0.0, 100.0, dice), trials.POSE: trials.Trial(10, 20.0, 40.0, dice)}
    monkeypatch.setattr(homogenization, "run_trial", lambda _, config: config.unet.epochs)
    assert homogenization.same_time(place, trials.POSE, known) == 20
    assert homogenization.same_time(place, trials.AUGMENTED, known) is known[trials.AUGMENTED]


def test_missing_tumors_count_in_no_mean():
    assert trials.percent([0.5, 0.7, np.nan]) == "60.00 (14.14)"
    assert trials.percent([np.nan]) == "–"


@pytest.mark.slow
def test_generated_patients_have_tumors_and_turn():
    made, grown = trials.child(1), trials.adult(1)
    for patient in (made, grown):
        assert {1, 2} <= set(np.unique(patient.labels)) and len(patient.image) == trials.SLICES
    assert np.prod(grown.spacing) > np.prod(made.spacing)


# Leave one out


@pytest.fixture
def left_out(tmp_path):
    """The experiment on two small scans, with its generated children already made."""
    scans, shapes, runs = (tmp_path / name for name in ("scans", "shapes", "runs"))
    for seed, name in enumerate(("first", "second", "third")):
        write_scan(scans, name, abdomen((24, 96, 120), (6.0, 3.0, 3.0), 140, 110, seed=seed))
    shape = abdomen((24, 96, 120), (6.0, 3.0, 3.0), 140, 110)
    shapes.mkdir()
    shape_image = sitk.GetImageFromArray(shape.labels)
    shape_image.SetSpacing(shape.spacing[::-1])
    sitk.WriteImage(shape_image, str(shapes / "case_00000.nii.gz"))
    for number in range(30):
        made = child(number)
        store_patient(runs / "generated", replace(made, name=f"generated-{number:06d}"))
    for seed in leave_one_out.SEEDS:
        folder = runs / "children" / str(seed)
        folder.mkdir(parents=True)
        analytic = abdomen(seed=seed)
        analytic.write(folder / "ct.nii.gz")
        reference = sitk.GetImageFromArray(np.array([0, 1, 3], np.uint8)[analytic.labels])
        reference.SetSpacing(analytic.spacing[::-1])
        sitk.WriteImage(reference, str(folder / "reference.nii.gz"))
    lengths = {"pose": STAGE, "crop_stage": STAGE, "unet": STAGE}
    plan = leave_one_out.Plan(30, 1, 2, lengths, lengths, 0)
    return leave_one_out.LeaveOneOut(plan, scans, {"beans": shapes}, runs, runs / "children", CPU)


def write_scan(folder: Path, name: str, made) -> None:
    """As a real scan: no tumor, kidneys by side."""
    folder.mkdir(exist_ok=True)
    kidneys = made.labels == 1
    left = np.arange(kidneys.shape[2]) > kidneys.shape[2] / 2
    image = np.where(made.labels == 2, np.int16(40), made.image)
    for values, ending in ((image, ".nii.gz"), (kidneys * np.where(left, 2, 1).astype(np.uint8), "_label.nii.gz")):
        volume = sitk.GetImageFromArray(values)
        volume.SetSpacing(made.spacing[::-1])
        sitk.WriteImage(volume, str(folder / f"{name}{ending}"))


@pytest.mark.slow
def test_leave_one_out_keeps_scans_and_their_composites_out(left_out, tmp_path, monkeypatch):
    monkeypatch.setattr(leave_one_out, "SEEDS", leave_one_out.SEEDS[:1])
    folds = [leave_one_out.Fold("beans", group) for group in (("first",), ("second", "third"))]
    left_out.run(folds, tmp_path / "results")
    page = tmp_path / "results" / "leave_one_out.md"
    scans = sorted(2 * ["first", "second", "third"])
    assert [row[0] for row in table_rows(page)[1:9]] == [*scans, "all 3", "all 3"]
    names = {path.stem for path in (left_out.runs / folds[0].folder / "store").glob("*.npz")}
    assert {name for name in names if not name.startswith("generated")} == {
        "second", "third", "composite-000001 on second", "composite-000002 on third",
    }  # fmt: skip
    composites = left_out.runs / "composites, beans"
    assert read_split(composites) == dict.fromkeys(scans, False)  # not what chooses the best epoch
    before = modified(left_out.runs)
    monkeypatch.setattr(leave_one_out, "Trainer", None)  # another training would fail
    left_out.run(folds, tmp_path / "results")
    assert modified(left_out.runs) == before


# Pages


def test_what_is_written_by_hand_stays(tmp_path):
    path = tmp_path / "page.md"
    pages.write_page(path, "Title", ["Text"], [(["a"], [[1]])])
    path.write_text(path.read_text().replace("Not written yet.", "All agrees."))
    pages.write_page(path, "Title", ["Text"], [(["a"], [[2]])])
    text = path.read_text()
    assert "| 2 |" in text and "| 1 |" not in text and text.endswith("All agrees.\n")


# Pose and size


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Untrained models with and without pose STN."""
    folder = tmp_path_factory.mktemp("models")
    without = SegmentationPipeline(DEFAULT_CANVAS.size, CLASSES, "full", 2, NORMALIZATION.air, method="unet").eval()
    full = {"size": DEFAULT_CANVAS.size, "pixel_mm": DEFAULT_CANVAS.pixel_mm, "crop": "full"}
    paths = (
        write_model(folder / "with.pt", untrained_pipeline(features=2), id="with"),
        write_model(folder / "without.pt", without, id="without", input=full),
    )
    return [load_model(str(path), CPU) for path in paths]


@pytest.mark.slow
def test_pose_and_size_has_all_variants_and_measures_once(models, tmp_path, monkeypatch):
    conditions = [(1.0, 0.0), (0.5, 0.0), (1.0, 30.0)]
    arguments = (models, [child(0)], conditions, tmp_path / "runs", CPU, tmp_path / "results")
    pose_and_size.run(*arguments)
    variants = [pose_and_size.AS_IT_IS, pose_and_size.SMOOTHED, pose_and_size.SWITCHED_OFF, pose_and_size.AS_IT_IS]
    rows = table_rows(tmp_path / "results" / "pose_and_size.md")
    assert [row[1] for row in rows] == 3 * ["STNs", *variants]
    assert len(pose_and_size.read_scores(tmp_path / "results" / "pose_and_size.csv")) == len(variants) * len(conditions)
    before = modified(tmp_path / "runs")
    monkeypatch.setattr(pose_and_size, "measure", None)  # another measurement would fail
    pose_and_size.run(*arguments)
    assert modified(tmp_path / "runs") == before


def test_given_matrices_are_those_of_the_network(models):
    """The parts of the network, called one by one, give what the whole gives."""
    ct, _ = pose_and_size.changed(child(0), 1.0, 0.0)
    stack = preprocess(ct, body_mask(*ct.axial()), DEFAULT_CANVAS, NORMALIZATION)
    poses, matrices = pose_and_size.stn_matrices(models[0], stack, CPU, with_pose=True)
    images, masks = next(pose_and_size.batches(stack, CPU))
    with torch.inference_mode():
        torch.testing.assert_close(poses[: len(images)], models[0].network(images, masks)[1])
    parts = pose_and_size.segment(models[0], stack, matrices, CPU)
    whole = run_network(models[0].network, stack, CPU)  # in bfloat16 where there is any
    np.testing.assert_allclose(parts.astype(float), whole.astype(float), atol=0.1)


def test_smoothing_is_along_the_patient():
    matrices = torch.eye(2, 3).repeat(9, 1, 1)
    matrices[4, 0, 2] = 1.0
    smooth = pose_and_size.smoothed(matrices, 1.0)
    assert smooth[4, 0, 2] < 0.5 and smooth[3, 0, 2] > 0.1
    torch.testing.assert_close(smooth[:, :, :2], matrices[:, :, :2])


def test_scans_get_the_size_and_turn_that_were_asked_for():
    """A quarter turn from x toward y brings what lies on the left to the back."""
    scan = child(0)
    ct, kidneys = pose_and_size.changed(scan, 0.5, 90.0)
    assert ct.image.GetSpacing() == tuple(0.5 * mm for mm in scan.spacing[::-1])
    expected = np.rot90(scan.labels == 1, -1, axes=(1, 2))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(kidneys), expected)
    left = np.zeros_like(scan.labels)
    left[:, 48, 80] = 1
    _, moved = pose_and_size.changed(replace(scan, labels=left), 1.0, 90.0)
    y, x = np.argwhere(sitk.GetArrayFromImage(moved)[0])[0]
    assert y > 70 and abs(x - 48) <= 1


def test_coarse_pixels_are_divided():
    scan = replace(child(0), spacing=(3.0, 3.0, 3.0))
    fine = pose_and_size.with_fine_pixels(scan)
    assert fine.spacing == (3.0, 1.5, 1.5) and fine.image.shape == (4, 192, 192)
    volume = [np.count_nonzero(patient.labels == 1) * np.prod(patient.spacing) for patient in (scan, fine)]
    assert volume[1] == pytest.approx(volume[0], rel=0.02)
