"""Models with other structures, other channels, another canvas and of another kind, all the way to the files.

The kind "threshold" is a package of its own in ``Testing/plug_in``; processes find it as they would find an installed
one, and nothing of the program is patched.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import trimesh
from abdomens import KIDNEY_HU, TUMOR_HU, abdomen
from example_models import FOLDER, LIVER, write_threshold_model
from phantoms import PATIENT, ellipsoids, grid
from tiny_models import metadata, untrained_pipeline, write_model

import PediatricRenalSegLib
from PediatricRenalSegLib import finish, load_pipeline, read_ct, segment
from PediatricRenalSegLib.body import body_mask
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.evaluation.patients import evaluate
from PediatricRenalSegLib.export.image import write_image
from PediatricRenalSegLib.export.report import read_structures
from PediatricRenalSegLib.export.segmentation import described
from PediatricRenalSegLib.export.writers import WRITERS
from PediatricRenalSegLib.models.bundle import ModelMetadata
from PediatricRenalSegLib.organs.measure import measure
from PediatricRenalSegLib.organs.sides import split_segments
from PediatricRenalSegLib.pipelines.base import Prediction
from PediatricRenalSegLib.pipelines.doubt import Doubt
from PediatricRenalSegLib.pipelines.slicewise import SlicewisePipeline
from PediatricRenalSegLib.structures import ANATOMICAL_STRUCTURE, KIDNEY, RENAL, TUMOR, Code, Structure, StructureSet
from PediatricRenalSegLib.volume import CTVolume, LabelVolume

PATH = os.pathsep.join([str(Path(PediatricRenalSegLib.__file__).parents[1]), str(FOLDER)])
WINDOWS = {"liver": (130.0, 190.0), "liver_tumor": (75.0, 125.0)}
"""The kidneys and the tumor of ``abdomens``, taken for a liver in two parts and its tumor."""


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "PediatricRenalSegLib.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": PATH})


@pytest.fixture(scope="module")
def phantom():
    return abdomen((14, 96, 96), (5.0, 2.0, 2.0), noise=4.0)


@pytest.fixture(scope="module")
def ct(phantom, tmp_path_factory):
    return phantom.write(tmp_path_factory.mktemp("ct") / "ct.nrrd")


# A tumor alone, channels in another order, another canvas


class SaysWhere(torch.nn.Module):
    """Probability of the last channel by intensity: what is brighter than the threshold (normalized) is in it."""

    def __init__(self, channels: int, threshold: float):
        super().__init__()
        self.channels, self.threshold = channels, threshold

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        probabilities = torch.zeros([image.shape[0], self.channels, image.shape[2], image.shape[3]])
        inside = (image[:, 0] > self.threshold).float()
        probabilities[:, self.channels - 1] = inside
        probabilities[:, 0] = 1 - inside
        matrices = torch.eye(2, 3).repeat(image.shape[0], 1, 1)
        return probabilities, matrices, matrices


def brighter_than(hu: float) -> float:
    normalization = metadata().normalization
    return (hu - normalization.mean) / normalization.std


@pytest.mark.parametrize(
    ("structures", "channels", "label"),
    [
        (StructureSet((TUMOR,)), ("background", "tumor"), 2),
        (RENAL, ("background", "kidney", "tumor"), 2),
        (RENAL, ("background", "tumor", "kidney"), 1),
        (StructureSet((replace(TUMOR, label=7),)), ("background", "tumor"), 7),
    ],
    ids=["tumor alone", "as shipped", "other order", "other label"],
)
def test_a_channel_is_the_structure_that_the_metadata_name(tmp_path, phantom, ct, structures, channels, label):
    network = SaysWhere(len(channels), brighter_than((KIDNEY_HU + TUMOR_HU) / 2))
    model = write_model(tmp_path / "model.pt", network, structures=structures, channels=channels)
    result = finish(segment(read_ct(ct), load_pipeline(str(model), "cpu")), tmp_path / "out", ("labelmap",))
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "labelmap.nii.gz")))
    assert set(np.unique(found)) == {0, label}
    assert np.count_nonzero((found > 0) & (phantom.labels == 1)) > 0.8 * np.count_nonzero(phantom.labels == 1)
    name = channels[-1]
    expected = {segment.id for segment in structures.segments if segment.structure.name == name}
    assert {row.segment_id for row in result.measurements.segments} == expected


@pytest.mark.parametrize("count", [2, 4])
def test_a_network_with_other_channels_than_its_metadata_name_is_refused(tmp_path, ct, count):
    model = write_model(tmp_path / "model.pt", SaysWhere(count, 0.0))
    with pytest.raises(InputError, match=f"gives {count} channels, but its metadata name 3 .background, kidney, tumor"):
        segment(read_ct(ct), load_pipeline(str(model), "cpu"))


def test_metadata_of_before_say_what_their_channels_are():
    """Format 1 had labels by name alone; {"background": 0, "tumor": 2} was painted as kidneys."""
    old = {"format": 1, "size": 256, "pixel_mm": 1.0, "crop": "half", "labels": {"background": 0, "tumor": 2}}
    told = json.loads(metadata().to_json())
    rest = {name: told[name] for name in told if name not in ("kind", "structures", "channels", "input", "format")}
    read = ModelMetadata.from_json(json.dumps({**rest, **old}))
    assert read.channels == ("background", "tumor") and read.channel_labels == (0, 2)
    assert read.structures == StructureSet((TUMOR,)) and read.kind == "stn-unet"
    assert read.input == {"size": 256, "pixel_mm": 1.0, "crop": "half"}
    with pytest.raises(InputError, match="predicts 'spleen' and does not say what that is"):
        ModelMetadata.from_json(json.dumps({**rest, **old, "labels": {"background": 0, "spleen": 3}}))


class Recording(torch.nn.Module):
    """A network that remembers what it saw."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self.seen.append((image, mask))
        return self.network(image, mask)


def test_canvas_is_that_of_the_model(tmp_path, ct):
    """Half the pixels, of twice the size: the slices that the network sees."""
    canvas = {"size": 128, "pixel_mm": 2.0, "crop": "full"}
    model = write_model(tmp_path / "model.pt", untrained_pipeline("full", size=128), input=canvas)
    pipeline = load_pipeline(str(model), "cpu")
    assert isinstance(pipeline, SlicewisePipeline)
    volume = read_ct(ct)

    recording = Recording(pipeline.bundle.network)
    pipeline.bundle = replace(pipeline.bundle, network=recording)
    pipeline.predict(volume, body_mask(*volume.axial()))
    assert {image.shape[1:] for image, _ in recording.seen} == {(1, 128, 128)}
    rows = torch.cat([mask for _, mask in recording.seen]).any(dim=0)[0].any(dim=1).sum()
    assert abs(int(rows) * 2.0 - 2 * 60.0) <= 6, "the body is 120 mm deep"


# Liver and liver tumor, by a pipeline from outside


@pytest.fixture(scope="module")
def liver_case(ct, tmp_path_factory):
    """A patient folder with all files, made by the command line in a process of its own."""
    folder = tmp_path_factory.mktemp("liver")
    write_threshold_model(folder / "liver.pt", LIVER, WINDOWS)
    kinds = [option for name in WRITERS for option in ("--write", name)]
    result = run("segment", ct, "--model", folder / "liver.pt", "--output", folder / "out", *kinds)
    assert result.returncode == 0, result.stderr
    return folder, result


def test_other_structures_go_through_all_stages_and_writers(phantom, liver_case):
    folder, result = liver_case
    out = folder / "out"
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "labelmap.nii.gz")))
    for label in (1, 2):
        true = phantom.labels == label
        assert 2 * np.count_nonzero((found == label) & true) > 0.9 * (true.sum() + (found == label).sum())
    report = json.loads((out / "report.json").read_text())
    assert [row["segment_id"] for row in report["structures"]] == ["liver", "liver_tumor"]
    assert [row["segment_id"] for row in report["measurements"]["segments"]] == ["liver", "liver_tumor"]
    (contact,) = report["measurements"]["contacts"]
    assert (contact["lesion"], contact["organ"]) == ("liver_tumor", "liver")
    assert "kidney" not in (out / "report.json").read_text() and "liver_tumor" in result.stderr
    assert report["slices_to_check"], "the method says where it is unsure"
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {
        "labelmap.nii.gz", "segmentation.seg.nrrd", "preview.png", "report.json", "models/structures.obj",
        "models/structures.mtl", "models/structures.glb",
        *(f"models/{name}.{ending}" for name in ("liver", "liver_tumor") for ending in ("stl", "ply")),
    }  # fmt: skip
    scene = trimesh.load_scene(out / "models" / "structures.glb", process=False)
    assert set(scene.geometry) == {"liver", "liver_tumor"}
    header = sitk.ReadImage(str(out / "segmentation.seg.nrrd"))
    assert header.GetMetaData("Segment1_Name") == "Liver tumor" and "SCT^10200004^Liver" in header.GetMetaData(
        "Segment1_Tags"
    )


@pytest.mark.slow
def test_other_structures_are_evaluated(phantom, liver_case, tmp_path):
    """The report beside the label map says what its labels are; for two bare files the model does."""
    folder, _ = liver_case
    reference = sitk.GetImageFromArray(phantom.labels)
    reference.SetSpacing(phantom.spacing[::-1])
    sitk.WriteImage(reference, str(tmp_path / "reference.nii.gz"))
    by_report = run("evaluate", tmp_path / "reference.nii.gz", folder / "out" / "labelmap.nii.gz")
    bare = tmp_path / "bare.nii.gz"
    bare.write_bytes((folder / "out" / "labelmap.nii.gz").read_bytes())
    by_model = run("evaluate", tmp_path / "reference.nii.gz", bare, "--model", folder / "liver.pt")
    by_names = run("evaluate", folder / "out" / "segmentation.seg.nrrd", bare, "--model", folder / "liver.pt")
    for result in (by_report, by_model, by_names):
        assert result.returncode == 0, result.stderr
        rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line}
        assert float(rows["liver"][1]) > 0.9 and float(rows["liver_tumor"][1]) > 0.9 and "kidney" not in rows
        assert "liver_tumor: 1 of 1 lesions detected" in result.stdout


@pytest.mark.slow
def test_other_structures_are_revised_and_measured(ct, liver_case, tmp_path):
    folder, _ = liver_case
    segments = sitk.ReadImage(str(folder / "out" / "segmentation.seg.nrrd"))
    sitk.WriteImage(sitk.ChangeLabel(segments, {2: 0}), str(tmp_path / "corrected.nrrd"))
    report = folder / "out" / "report.json"
    result = run("revise", ct, tmp_path / "corrected.nrrd", report, "--output", tmp_path / "out", "--write", "labelmap")
    assert result.returncode == 0, result.stderr
    assert "Check" not in result.stderr, "a liver without tumor is worth no warning: its row says so"
    measured = run("measure", ct, tmp_path / "corrected.nrrd", "--report", report)
    assert [row["segment_id"] for row in json.loads(measured.stdout)["segments"]] == ["liver"]


@pytest.mark.slow
def test_a_kind_that_nobody_offers_is_one_line(ct, liver_case, tmp_path):
    folder, _ = liver_case
    environment = {**os.environ, "PYTHONPATH": PATH.split(os.pathsep)[0]}
    command = [sys.executable, "-m", "PediatricRenalSegLib.cli", "segment", str(ct), "--output", str(tmp_path / "out")]
    result = subprocess.run(
        [*command, "--model", str(folder / "liver.pt")], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "is of the kind 'threshold', which this version does not know (stn-unet)" in result.stderr


def test_one_pipeline_serves_many_cases(ct, liver_case):
    folder, _ = liver_case
    pipeline = load_pipeline(str(folder / "liver.pt"), "cpu")
    first, second = (segment(read_ct(ct), pipeline) for _ in range(2))
    assert sitk.Hash(first.labels.image) == sitk.Hash(second.labels.image)


# A row more


URETER = Structure(3, "ureter", "Ureter", (235, 225, 120), ANATOMICAL_STRUCTURE, Code("SCT", "87953007", "Ureter"),
                   paired=True, smallest_ml=0.05, warn_if_absent=False)  # fmt: skip


def test_a_row_more_is_two_segments_more_and_changes_no_other():
    structures = StructureSet((*RENAL, URETER))
    assert [segment.id for segment in structures.segments][3:] == ["ureter_right", "ureter_left"]
    assert structures.segments[:3] == RENAL.segments
    labels = np.zeros((20, 40, 80), np.uint8)
    labels[5:15, 15:25, 10:25] = labels[5:15, 15:25, 55:70] = 1
    before = split_segments(labels, np.ones(labels.shape, bool), (5.0, 5.0, 5.0), RENAL)
    after = split_segments(labels, np.ones(labels.shape, bool), (5.0, 5.0, 5.0), structures)
    np.testing.assert_array_equal(before[0], after[0])
    labels[2:6, 18:20, 30] = 3
    found, *_ = split_segments(labels, np.ones(labels.shape, bool), (5.0, 5.0, 5.0), structures)
    assert set(np.unique(found)) == {0, 1, 2, 4}


def test_structures_survive_their_json():
    structures = StructureSet((*RENAL, URETER, *(replace(row, label=row.label + 3) for row in LIVER)))
    assert StructureSet.from_list(json.loads(json.dumps(structures.to_list()))) == structures


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((KIDNEY, replace(TUMOR, label=1)), "have one label"),
        ((KIDNEY, replace(TUMOR, name="kidney")), "have one name"),
        ((replace(KIDNEY, label=0),), "labels go from 1 to 255"),
        ((replace(KIDNEY, label=256),), "labels go from 1 to 255"),
    ],
)
def test_structures_that_cannot_be_told_apart_are_refused(rows, words):
    with pytest.raises(InputError, match=words):
        StructureSet(rows)


@pytest.mark.parametrize("values", [{}, {"name": "liver"}, {"label": 1, "colour": "red"}, {"category": 3}])
def test_values_that_are_no_structure_are_refused(values):
    with pytest.raises(InputError, match="does not describe a structure"):
        StructureSet.from_list([values])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../../evil"}, "name must be of small letters"),
        ({"name": "Kidney"}, "name must be of small letters"),
        ({"name": 5}, "name must be of small letters"),
        ({"display_name": None}, "display_name must be a text"),
        ({"label": 1.5}, "label must be a whole number"),
        ({"label": True}, "label must be a whole number"),
        ({"color": "red"}, "color must be red, green and blue"),
        ({"color": [1, 2, 300]}, "color must be red, green and blue"),
        ({"paired": "no"}, "paired must be true or false"),
        ({"smallest_ml": -1}, "smallest_ml must be a number"),
        ({"plausible_ml": [0, float("inf")]}, "plausible_ml must be a lowest and a highest"),
        ({"plausible_hu": [5, 1]}, "plausible_hu must be a lowest and a highest"),
        ({"category": None}, "category must be a code"),
    ],
    ids=str,
)
def test_each_field_of_a_structure_is_checked(change, words):
    """They come with a file from anywhere, and files are called by a structure's name."""
    (values, _) = RENAL.to_list()
    with pytest.raises(InputError, match=words):
        StructureSet.from_list([{**values, **change}])


def test_segments_that_cannot_be_told_apart_are_refused():
    lung = replace(KIDNEY, name="lung")
    with pytest.raises(InputError, match="Two segments have one name"):
        StructureSet((lung, replace(lung, name="lung_right", label=2, paired=False)))
    with pytest.raises(InputError, match="There are 256 segments"):
        StructureSet(tuple(replace(KIDNEY, name=f"part_{n}", label=n) for n in range(1, 129)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": ["x"]}, "kind must be a text"),
        ({"id": None}, "id must be a text"),
        ({"input": [1]}, "input must be an object"),
        ({"channels": "background"}, "channels must be a list of names"),
        ({"channels": ["background", ["kidney"], "tumor"]}, "channels must be a list of names"),
        ({"structures": {}}, "structures must be a list"),
        ({"scores": [1]}, "scores must be numbers"),
        ({"normalization": {"low": "a", "high": 1, "mean": 0, "std": 1}}, "must be low, high, mean and std"),
        ({"normalization": {"low": 0, "high": 1, "mean": 0, "std": 0}}, "needs low below high and std above 0"),
        ({"normalization": {"low": 0, "high": 1, "mean": float("nan"), "std": 1}}, "must be low, high, mean and std"),
    ],
    ids=str,
)
def test_each_field_of_the_metadata_is_checked(change, words):
    with pytest.raises(InputError, match=words):
        ModelMetadata.from_json(json.dumps({**json.loads(metadata().to_json()), **change}))


@pytest.mark.parametrize("contract", [{}, {"size": "256", "pixel_mm": 1.0}, {"size": 256, "pixel_mm": 0}], ids=str)
def test_input_contract_that_says_nothing_is_refused(tmp_path, contract):
    with pytest.raises(InputError, match="wants slices of"):
        load_pipeline(str(write_model(tmp_path / "model.pt", input=contract)), "cpu")


def test_codes_are_the_same_in_any_words(ct):
    """Lists of terms differ in their wording; the lesion stays one, in the same organ."""
    liver, lesion = LIVER
    other = replace(
        lesion,
        category=replace(lesion.category, meaning="Morphologically altered structure"),
        region=replace(liver.type, meaning="Liver structure"),
    )
    assert other.is_lesion and other.region == liver.type
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[2:5, 2:5, 2:5], labels[5:7, 2:5, 2:5] = 1, 2
    image = sitk.GetImageFromArray(labels)
    found = measure(LabelVolume(image, StructureSet((liver, other))), CTVolume(sitk.Cast(image, sitk.sitkInt16), ""))
    assert found.contacts[0].area_mm2 > 0


@pytest.mark.slow
def test_report_keeps_the_rows_of_the_model_as_they_are(tmp_path, phantom, ct):
    """Rounded, a structure of specks would be another one when the result is revised."""
    fine = StructureSet(tuple(replace(row, smallest_ml=0.004) for row in RENAL))
    windows = {"kidney": (130.0, 190.0), "tumor": (75.0, 125.0)}
    write_threshold_model(tmp_path / "fine.pt", fine, windows)
    result = run("segment", ct, "--model", tmp_path / "fine.pt", "--output", tmp_path / "out", "--write", "labelmap")
    assert result.returncode == 0, result.stderr
    assert read_structures(tmp_path / "out" / "report.json") == fine


@pytest.mark.parametrize("rows", [5, None, [], [{"name": "liver"}], [{"label": "a"}]], ids=str)
def test_report_with_broken_structures_is_refused(tmp_path, liver_case, rows):
    folder, _ = liver_case
    report = json.loads((folder / "out" / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({**report, "structure_set": rows}))
    with pytest.raises(InputError, match="is not a report|does not describe a structure"):
        read_structures(tmp_path / "report.json")


def test_segmentations_of_other_structures_are_evaluated_by_their_report(liver_case, tmp_path):
    """Without it nothing in them is kidney or tumor, and 1 for two empty masks would be no answer."""
    folder, _ = liver_case
    file = folder / "out" / "segmentation.seg.nrrd"
    rows = evaluate(file, file).rows
    assert {row.structure: row.scores["dice"] for row in rows} == {"liver": 1, "liver_tumor": 1}
    bare = tmp_path / "bare.seg.nrrd"
    bare.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="Liver, Liver tumor. is a kidney or tumor: name them so"):
        evaluate(bare, bare)


def test_segments_without_a_meaning_are_named(tmp_path):
    labels = ellipsoids(grid(spacing=(2.0, 2.0, 3.0)), PATIENT)
    write_image(tmp_path / "a.seg.nrrd", described(labels))
    strange = replace(TUMOR, name="spleen", display_name="Spleen", type=URETER.type, region=None)
    write_image(tmp_path / "b.seg.nrrd", described(LabelVolume(labels.image, StructureSet((KIDNEY, strange)))))
    found = evaluate(tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd")
    assert [sentence for sentence in found.left_out if "Spleen" in sentence and "b.seg.nrrd" in sentence]


class WrongPipeline:
    """Gives what it is told to."""

    def __init__(self, bundle, labels):
        self.bundle, self.labels, self.parameters = bundle, labels, {}

    def predict(self, ct, body, progress):
        return Prediction(self.labels, Doubt.none())


@pytest.mark.parametrize("labels", ["unknown", "of another shape", "of another type"])
def test_a_method_that_breaks_its_contract_is_refused(ct, liver_case, labels):
    """Labels that the model does not have would vanish, and with them the tumor."""
    volume = read_ct(ct)
    array = np.zeros(volume.axial()[0].shape, np.uint8)
    given = {"unknown": array + 9, "of another shape": array[1:], "of another type": array.astype(np.int32)}[labels]
    folder, _ = liver_case
    bundle = load_pipeline(str(folder / "liver.pt"), "cpu").bundle
    with pytest.raises(InputError, match="gave other labels than the model threshold has"):
        segment(volume, WrongPipeline(bundle, given))


def test_finish_reports_what_the_pipeline_was_told(ct, liver_case, tmp_path):
    folder, _ = liver_case
    segmentation = segment(read_ct(ct), load_pipeline(str(folder / "liver.pt"), "cpu"))
    result = finish(segmentation, tmp_path / "out", ("labelmap",))
    assert result.run.parameters == {"device": "cpu", "writers": ["labelmap"]}
