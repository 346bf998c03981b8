"""Evaluation of files and folders: who is compared with whom, the statistics, the tables."""

import csv
import math

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import DIRECTIONS, PATIENT, ellipsoids, grid
from scipy import stats

from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.evaluation.patients import evaluate, find_patients
from PediatricRenalSegLib.evaluation.statistics import bootstrap_interval, compare_paired, summarize
from PediatricRenalSegLib.evaluation.tables import COLUMNS, check_csv, text_report, write_csv
from PediatricRenalSegLib.export.image import write_image
from PediatricRenalSegLib.export.segmentation import described
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.volume import LabelVolume

SPACING = (1.0, 2.0, 3.0)
"""Millimeters along x, y, z."""


def write_segmentation(path, labels):
    write_image(path, described(labels))


def box(x=(10, 20), y=(10, 20), z=(5, 15)):
    array = np.zeros((20, 40, 60), np.uint8)
    array[slice(*z), slice(*y), slice(*x)] = 1
    return array


def write(path, array, spacing=SPACING):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return path


def shifted(by):
    """Kidney and tumor, the kidney moved by ``by`` of its ten voxels."""
    return box(x=(10 + by, 20 + by)) + 2 * box(x=(40, 50))


# ---------------------------------------------------------------- files


def test_label_map_files_by_structure(tmp_path):
    labels = box() + box(x=(30, 40)) * 2
    predicted = box() + box(x=(35, 45)) * 2
    evaluation = evaluate(write(tmp_path / "a.nii.gz", labels), write(tmp_path / "b.nrrd", predicted))
    scores = {row.structure: row.scores for row in evaluation.rows}
    assert list(scores) == ["kidney", "tumor"]
    assert scores["kidney"]["dice"] == 1 and scores["tumor"]["dice"] == pytest.approx(0.5)
    assert scores["tumor"]["detected_lesions"] == 1 and "detected_lesions" not in scores["kidney"]


def test_segmentations_are_compared_by_side(tmp_path):
    """Kidneys on swapped sides are right as kidneys and wrong as sides."""
    right, left, tumor = PATIENT
    swapped = [(2, *right[1:]), (1, *left[1:]), tumor]
    paths = tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd"
    for path, rows in zip(paths, (PATIENT, swapped), strict=True):
        write_segmentation(path, ellipsoids(grid(spacing=(2.0, 2.0, 3.0)), rows))
    scores = {row.structure: row.scores["dice"] for row in evaluate(*paths).rows}
    assert scores == {"kidney": 1, "kidney_right": 0, "kidney_left": 0, "tumor": 1}


def test_segmentation_against_label_map(tmp_path):
    labels = ellipsoids(grid(spacing=(2.0, 2.0, 3.0)), PATIENT)
    write_segmentation(tmp_path / "a.seg.nrrd", labels)
    by_structure = sitk.ChangeLabel(labels.image, {2: 1, 3: 2})
    sitk.WriteImage(by_structure, str(tmp_path / "b.nii.gz"))
    rows = evaluate(tmp_path / "a.seg.nrrd", tmp_path / "b.nii.gz").rows
    assert {row.structure: row.scores["dice"] for row in rows} == {"kidney": 1, "tumor": 1}


def cropped(image):
    """The part with labels alone, as Slicer saves it."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(image > 0)
    x, y, z, *size = shape.GetBoundingBox(1)
    return sitk.RegionOfInterest(image, size, (x, y, z))


@pytest.fixture(params=["axial", "oblique_left_handed"])
def crops(request, tmp_path):
    """One patient's reference and a prediction 8 mm beside it: whole, cropped, and a label map of the reference."""
    empty = grid(DIRECTIONS[request.param], spacing=(2.0, 2.0, 3.0))
    beside = [(value, (x + 8, y, z), radii) for value, (x, y, z), radii in PATIENT]
    for name, rows in (("reference", PATIENT), ("prediction", beside)):
        labels = ellipsoids(empty, rows)
        write_segmentation(tmp_path / f"{name}.seg.nrrd", labels)
        write_segmentation(tmp_path / f"{name}-cropped.seg.nrrd", LabelVolume(cropped(labels.image), RENAL))
    by_structure = sitk.ChangeLabel(ellipsoids(empty, PATIENT).image, {2: 1, 3: 2})
    sitk.WriteImage(by_structure, str(tmp_path / "map.nii.gz"))
    sitk.WriteImage(cropped(by_structure), str(tmp_path / "map-cropped.nii.gz"))
    return tmp_path


@pytest.mark.parametrize(
    "names",
    [
        ("reference.seg.nrrd", "prediction-cropped.seg.nrrd"),
        ("reference-cropped.seg.nrrd", "prediction.seg.nrrd"),
        ("reference-cropped.seg.nrrd", "prediction-cropped.seg.nrrd"),
        ("map.nii.gz", "prediction-cropped.seg.nrrd"),
    ],
)
def test_cropped_segmentations(crops, names):
    """Slicer saves the part of a segmentation that holds segments: the scores are those of the whole."""
    whole = {
        row.structure: row.scores for row in evaluate(crops / "reference.seg.nrrd", crops / "prediction.seg.nrrd").rows
    }
    assert 0 < whole["kidney"]["dice"] < 1
    rows = evaluate(*(crops / name for name in names)).rows
    assert len(rows) == (2 if "map" in names[0] else 4)
    for row in rows:
        assert row.scores == pytest.approx(whole[row.structure])


def test_cropped_label_maps_are_refused(crops):
    """What lies outside of a label map is not known to be background."""
    for name in ("map.nii.gz", "prediction.seg.nrrd", "prediction-cropped.seg.nrrd"):
        with pytest.raises(InputError, match="different grids"):
            evaluate(crops / "map-cropped.nii.gz", crops / name)


def test_cropped_segmentation_between_the_voxels_is_refused(crops):
    path = crops / "prediction-cropped.seg.nrrd"
    image = sitk.ReadImage(str(path))
    image.SetOrigin(image.TransformContinuousIndexToPhysicalPoint((0.3, 0, 0)))
    sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match="different grids"):
        evaluate(crops / "reference.seg.nrrd", path)


@pytest.mark.parametrize("spacing", [(1.0, 2.0, 3.1), (2.0, 1.0, 3.0)])
def test_other_spacing_is_refused(tmp_path, spacing):
    paths = write(tmp_path / "a.nrrd", box()), write(tmp_path / "b.nrrd", box(), spacing)
    with pytest.raises(InputError, match="different grids"):
        evaluate(*paths)


def test_other_size_is_refused(tmp_path):
    paths = write(tmp_path / "a.nrrd", box()), write(tmp_path / "b.nrrd", box()[1:])
    with pytest.raises(InputError, match="different grids"):
        evaluate(*paths)


@pytest.mark.parametrize(
    ("name", "words"),
    [("b.nrrd", "cannot be read"), ("b.seg.nrrd", "cannot be read"), ("b.txt", "cannot be read as a label map")],
)
def test_unreadable_file_is_refused(tmp_path, name, words):
    (tmp_path / name).write_text("no image")
    with pytest.raises(InputError, match=f'"{name}" {words}'):
        evaluate(write(tmp_path / "a.nrrd", box()), tmp_path / name)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        evaluate(write(tmp_path / "a.nrrd", box()), tmp_path / "b.nrrd")


@pytest.mark.parametrize("value", [0.5, 3, 256, -1])
def test_values_that_are_no_labels_are_refused(tmp_path, value):
    """A cast to 8 bits would make other labels of some of them."""
    path = write(tmp_path / "b.nrrd", np.where(box(), value, 0).astype(np.float32))
    with pytest.raises(InputError, match=f'"b.nrrd" holds the label {value:g}'):
        evaluate(write(tmp_path / "a.nrrd", box()), path)


# ---------------------------------------------------------------- folders


@pytest.fixture
def folders(tmp_path):
    """Six patients: reference, prediction with growing errors, and a better one in patient folders."""
    for number in range(6):
        write(tmp_path / "reference" / f"child-{number}.nii.gz", shifted(0))
        write(tmp_path / "first" / f"child-{number}.nrrd", shifted(number))
        write(tmp_path / "second" / f"child-{number}" / "labelmap.nii.gz", shifted(max(number - 1, 0)))
    return tmp_path


def test_folders_are_matched_by_name(folders):
    for name in ("first", "second"):
        assert list(find_patients(folders / name)) == [f"child-{number}" for number in range(6)]
    evaluation = evaluate(folders / "reference", folders / "first")
    dice = [scores["dice"] for scores in evaluation.of("kidney").values()]
    assert dice == pytest.approx([1 - number / 10 for number in range(6)])
    assert evaluation.left_out == ()


def test_what_does_not_match_is_said(folders):
    (folders / "first" / "child-0.nrrd").rename(folders / "first" / "other.nrrd")
    write(folders / "first" / "child-1.nrrd", shifted(0)[1:])
    write(folders / "first" / "child-2.nrrd", 7 * box())
    (folders / "first" / "child-3.nrrd").write_text("no image")
    evaluation = evaluate(folders / "reference", folders / "first")
    assert list(evaluation.of("kidney")) == ["child-4", "child-5"]
    words = ['"child-0" is not in', "different grids", "holds the label 7", "cannot be read", '"other" is not in']
    assert len(evaluation.left_out) == len(words)
    for sentence, word in zip(evaluation.left_out, words, strict=True):
        assert word in sentence


def test_folders_without_a_common_patient_are_refused(folders):
    write(folders / "strangers" / "someone.nrrd", shifted(0))
    with pytest.raises(InputError, match="No patient"):
        evaluate(folders / "reference", folders / "strangers")


def test_file_against_folder_is_refused(folders):
    with pytest.raises(InputError, match='first" is a folder and'):
        evaluate(folders / "reference" / "child-0.nii.gz", folders / "first")


def test_folder_without_label_maps_is_refused(folders):
    (folders / "empty").mkdir()
    with pytest.raises(InputError, match="holds no label map"):
        evaluate(folders / "reference", folders / "empty")


def test_two_label_maps_of_one_patient_are_refused(folders):
    write(folders / "first" / "child-0.mha", shifted(0))
    with pytest.raises(InputError, match='two label maps of "child-0"'):
        evaluate(folders / "reference", folders / "first")


# ---------------------------------------------------------------- statistics


def test_summary_leaves_out_and_counts_what_is_missing():
    values = [1.0, 2.0, math.nan, 3.0, 4.0, 10.0]
    summary = summarize(values)
    assert (summary.count, summary.missing, summary.mean, summary.median) == (5, 1, 4, 3)
    assert summary.sd == pytest.approx(np.std([1, 2, 3, 4, 10], ddof=1))
    assert summary.mean_interval[0] < 4 < summary.mean_interval[1]
    assert summary == summarize(values), "the same scores give the same intervals"


def test_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(1).normal(0, 1, 400)
    low, high = bootstrap_interval(np.mean, values)
    assert (low - values.mean(), high - values.mean()) == pytest.approx((-1.96 / 20, 1.96 / 20), abs=0.02)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("score", [0.0, 0.1, 0.5])
def test_equal_scores_have_an_interval_of_no_width(score):
    summary = summarize([score] * 6)
    assert summary.mean_interval == pytest.approx((score, score)) == summary.median_interval


def test_few_patients_have_no_interval():
    assert np.isnan(summarize([0.5, 0.6, 0.7, 0.8]).mean_interval).all()
    nothing = summarize([math.nan, math.nan])
    assert nothing.count == 0 and nothing.missing == 2 and math.isnan(nothing.mean)


def test_paired_difference():
    first, second = [0.5, 0.6, 0.7, 0.8, 0.9, 0.4], [0.6, 0.71, 0.82, 0.93, 0.95, math.nan]
    found = compare_paired(first, second)
    assert found.count == 5 and found.mean == pytest.approx(0.102)
    assert found.interval[0] < 0.102 < found.interval[1]
    assert found.p == pytest.approx(stats.wilcoxon(first[:5], second[:5]).pvalue)


def test_equal_predictions_do_not_differ():
    found = compare_paired([0.5, 0.6], [0.5, 0.6])
    assert (found.mean, found.p) == (0, 1)
    assert compare_paired([math.nan], [0.5]).count == 0


# ---------------------------------------------------------------- tables


def test_text_of_several_patients(folders):
    evaluations = [evaluate(folders / "reference", folders / name) for name in ("first", "second")]
    text = text_report(*evaluations)
    summary = next(line for line in text.splitlines() if line.startswith("kidney") and "Dice" in line)
    assert summary.split()[2:6] == ["6", "0", "0.750", "(0.187)"]
    assert "tumor: 6 of 6 lesions detected (100 %, 100 to 100), 0 false, in 6 patients" in text
    difference = [line for line in text.splitlines() if line.startswith("kidney") and " Dice " in line][1]
    assert difference.split()[2:4] == ["6", "0.083"]


def test_undefined_distances_are_counted(folders):
    write(folders / "first" / "child-5.nrrd", box())
    text = text_report(evaluate(folders / "reference", folders / "first"))
    distances = next(line for line in text.splitlines() if line.startswith("tumor") and "HD95" in line)
    assert distances.split()[3:5] == ["5", "1"]
    assert "tumor: 5 of 6 lesions detected" in text


def test_csv_holds_every_score(folders):
    write(folders / "first" / "child-5.nrrd", box())
    evaluations = {name: evaluate(folders / "reference", folders / name) for name in ("first", "second")}
    before = set(folders.iterdir())
    write_csv(folders / "scores.csv", evaluations)
    assert set(folders.iterdir()) - before == {folders / "scores.csv"}
    with (folders / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 6 * 2 and set(COLUMNS) < set(rows[0])
    missing = next(row for row in rows if (row["patient"], row["structure"]) == ("child-5", "tumor"))
    assert missing["prediction"] == "first" and missing["dice"] == "0.0" and missing["hausdorff95_mm"] == ""
    assert float(rows[0]["volume_error_ml"]) == 0 and rows[0]["reference_lesions"] == ""


def test_csv_overwrites_nothing(tmp_path):
    (tmp_path / "scores.csv").write_text("mine")
    for name, words in (("scores.csv", "exists already"), ("absent/scores.csv", "no folder")):
        with pytest.raises(InputError, match=words):
            check_csv(tmp_path / name)
