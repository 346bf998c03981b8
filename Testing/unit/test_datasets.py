"""Data sets of users: both forms, every fault that is found, split, resume; on analytic abdomens."""

import csv
import gzip
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from abdomens import KIDNEY, TUMOR, abdomen
from phantoms import DIRECTIONS

from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.export.segmentation import described
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.synthetic import training_scan
from PediatricRenalSegLib.training.data import prepare
from PediatricRenalSegLib.training.data.patient import TrainingPatient
from PediatricRenalSegLib.training.data.prepare import prepare_dataset
from PediatricRenalSegLib.training.data.reports import CHECK, LEFT_OUT, REPORT, STORED
from PediatricRenalSegLib.training.data.split import SPLIT, is_validation
from PediatricRenalSegLib.training.data.store import STRUCTURES, open_store, store_patient
from PediatricRenalSegLib.volume import LabelVolume

LABELS = {"background": 0, "kidney": 1, "tumor": 2}
NAMES = [f"case-{number:02}" for number in range(40)]
TRAINED = [name for name in NAMES if not is_validation(name)]
VALIDATED = next(name for name in NAMES if is_validation(name))
SPACING = (5.0, 2.0, 2.0)


def child(seed=0, **changes):
    return abdomen(spacing=SPACING, seed=seed, **changes)


def to_image(array, spacing=SPACING, direction=DIRECTIONS["axial"]):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    image.SetDirection(np.asarray(direction).ravel())
    return image


class Nnunet:
    """A data set in nnU-Net's form."""

    def __init__(self, folder, labels=LABELS, **description):
        self.folder = folder
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True)
        self.describe(labels, **description)

    def describe(self, labels, **description):
        description = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"} | description
        (self.folder / "dataset.json").write_text(json.dumps(description))

    def add(self, name, image=None, labels=None, ending=".nii.gz", **geometry):
        """Arrays ``(z, y, x)``; those of a child of its own where they are not given."""
        made = child(seed=int(name[-2:]))
        image, labels = (made.image if image is None else image), (made.labels if labels is None else labels)
        sitk.WriteImage(to_image(image, **geometry), str(self.folder / "imagesTr" / f"{name}_0000{ending}"))
        sitk.WriteImage(to_image(labels, **geometry), str(self.folder / "labelsTr" / f"{name}{ending}"))

    def label_map(self, name):
        return self.folder / "labelsTr" / f"{name}.nii.gz"


@pytest.fixture
def nnunet(tmp_path):
    return Nnunet(tmp_path / "dataset")


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def patients_in(store):
    return sorted(path.stem for path in store.glob("*.npz"))


def finding(nnunet, store, name):
    """What the report says of a patient, and that one that is left out is not stored."""
    prepared = prepare_dataset(nnunet.folder, store)
    report = next(report for report in prepared.reports if report.patient == name)
    assert (report.outcome == LEFT_OUT) == (name not in patients_in(store))
    return report


# ---------------------------------------------------------------- what is stored


def test_patient_is_stored_as_the_bundled_model_s_are(nnunet, store, tmp_path):
    nnunet.add(TRAINED[0])
    prepare_dataset(nnunet.folder, store)
    made = child(seed=int(TRAINED[0][-2:]))
    store_patient(tmp_path / "other", TrainingPatient(TRAINED[0], "real", made.image, made.labels, SPACING))
    pair = [np.load(folder / f"{TRAINED[0]}.npz") for folder in (store, tmp_path / "other")]
    assert set(pair[0].files) == {"images", "masks", "labels", "kind"}
    for name in pair[0].files:
        np.testing.assert_array_equal(pair[0][name], pair[1][name])


def test_orientation_does_not_matter(nnunet, store):
    made = child()
    nnunet.add("case-00", made.image, made.labels)
    flipped = [array[:, ::-1, ::-1] for array in (made.image + 1, made.labels)]
    nnunet.add("case-01", *flipped, direction=DIRECTIONS["flipped"])
    prepare_dataset(nnunet.folder, store)
    one, other = (np.load(store / f"{name}.npz")["labels"] for name in ("case-00", "case-01"))
    np.testing.assert_array_equal(one, other)


def test_labels_are_found_by_name(nnunet, store):
    """Other values, sides and spellings; what is neither kidney nor tumor is background and is said."""
    nnunet.describe({"background": 0, "liver": 1, "Renal Tumour": 2, "Left kidney": 3, "kidney_right": 4})
    made = child()
    half = np.arange(made.labels.shape[2]) < made.labels.shape[2] // 2
    values = np.select([made.labels == TUMOR, made.labels == KIDNEY], [2, np.where(half, 4, 3)], 0).astype(np.uint8)
    values[6, 64, 64] = 1
    nnunet.add("case-00", made.image, values)
    prepared = prepare_dataset(nnunet.folder, store)
    assert len(prepared.notes) == 2 and '"liver" is taken as background' in prepared.notes[0]
    report = prepared.reports[0]
    for name, label in (("kidney", KIDNEY), ("tumor", TUMOR)):
        milliliters = np.count_nonzero(made.labels == label) * np.prod(SPACING) / 1000
        assert report.milliliters[name] == pytest.approx(milliliters, abs=0.06)


def test_regions_of_several_values(nnunet, store):
    """As KiTS: the smallest region that is known decides."""
    nnunet.describe({"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2})
    made = child()
    labels = made.labels.copy()
    labels[(made.labels == KIDNEY) & (np.arange(128) < 40)] = 3
    nnunet.add("case-00", made.image, labels)
    report = prepare_dataset(nnunet.folder, store).reports[0]
    assert report.milliliters["kidney"] == pytest.approx(np.count_nonzero(made.labels == KIDNEY) * 0.02, abs=0.06)


def test_labels_can_be_given(nnunet, store):
    nnunet.describe({"background": 0, "a": 1, "b": 2})
    nnunet.add("case-00")
    with pytest.raises(InputError, match="No label of .* is known as kidney or tumor"):
        prepare_dataset(nnunet.folder, store)
    report = prepare_dataset(nnunet.folder, store, ["a=kidney", "b=background"]).reports[0]
    assert report.milliliters["kidney"] > 0 and report.milliliters["tumor"] == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [("kidney", "does not say"), ("a=liver", "background, kidney or tumor"), ("a=kidney", "no label 'a'")],
)
def test_labels_that_are_wrong_are_refused(nnunet, store, given, words):
    nnunet.add("case-00")
    with pytest.raises(InputError, match=words):
        prepare_dataset(nnunet.folder, store, [given])


def test_other_file_endings(tmp_path, store):
    nnunet = Nnunet(tmp_path / "dataset", file_ending=".nrrd")
    nnunet.add("case-00", ending=".nrrd")
    prepare_dataset(nnunet.folder, store)
    assert patients_in(store) == ["case-00"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no description"),
        ("[]", "no description"),
        ('{"labels": {"kidney": "one"}}', "no description"),
        ('{"labels": {"kidney": 300}}', "no description"),
        ('{"labels": {"kidney": 1}, "channel_names": {"0": "CT", "1": "PET"}}', "2 channels"),
        ('{"labels": {"kidney": 1}}', "imagesTr holds no"),
    ],
)
def test_broken_descriptions_are_refused(nnunet, store, text, words):
    (nnunet.folder / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=words):
        prepare_dataset(nnunet.folder, store)


@pytest.mark.parametrize(("name", "words"), [("absent", "no folder"), ("imagesTr", "is no data set")])
def test_folders_that_are_no_data_set_are_refused(nnunet, store, name, words):
    with pytest.raises(InputError, match=words):
        prepare_dataset(nnunet.folder / name, store)


# ---------------------------------------------------------------- Slicer


def slicer_patient(folder, name, ids=("Segment_1", "Segment_2", "Segment_3"), names=None, tags=None, crop=False):
    """A CT and a segmentation of right kidney, left kidney and tumor, as Slicer saves them."""
    folder.mkdir(exist_ok=True)
    made = child(seed=int(name[-2:]))
    sitk.WriteImage(to_image(made.image), str(folder / f"{name}.nii.gz"))
    middle = made.labels.shape[2] // 2
    values = np.where(made.labels == TUMOR, 3, made.labels)
    values[:, :, middle:][made.labels[:, :, middle:] == KIDNEY] = 2
    image = to_image(values.astype(np.uint8))
    image = image[20:110, 30:100, 1:11] if crop else image
    path = folder / f"{name}.seg.nrrd"
    stored = described(LabelVolume(image, RENAL))
    for number, segment_id in enumerate(ids):
        stored.SetMetaData(f"Segment{number}_ID", segment_id)
        stored.SetMetaData(f"Segment{number}_Name", names[number] if names else segment_id)
        if tags is not None:
            stored.SetMetaData(f"Segment{number}_Tags", tags)
    sitk.WriteImage(stored, str(path))
    return made


@pytest.mark.parametrize(
    ("ids", "names", "tags"),
    [
        (("kidney_right", "kidney_left", "tumor"), ("rechte Niere", "linke Niere", "Wilms"), ""),
        (("Segment_1", "Segment_2", "Segment_3"), ("Right kidney", "Kidney, left", "kidney tumour"), ""),
        (("Segment_1", "Segment_2", "Segment_3"), None, None),
    ],
    ids=["id", "name", "terminology"],
)
def test_segments_are_found(tmp_path, store, ids, names, tags):
    made = slicer_patient(tmp_path / "slicer", "case-00", ids, names, tags)
    report = prepare_dataset(tmp_path / "slicer", store).reports[0]
    for name, label in (("kidney", KIDNEY), ("tumor", TUMOR)):
        assert report.milliliters[name] == pytest.approx(np.count_nonzero(made.labels == label) * 0.02, abs=0.06)


def test_cropped_segmentation_lies_where_it_was(tmp_path, store):
    """Slicer saves the part with segments alone."""
    ids = ("kidney_right", "kidney_left", "tumor")
    for folder, crop in (("whole", False), ("cropped", True)):
        slicer_patient(tmp_path / folder, "case-00", ids, crop=crop)
        prepare_dataset(tmp_path / folder, store / folder)
    one, other = (np.load(store / folder / "case-00.npz")["labels"] for folder in ("whole", "cropped"))
    np.testing.assert_array_equal(one, other)


def test_overlapping_segments_in_layers(tmp_path, store):
    """The tumor is painted over its kidney, in a layer of its own."""
    made = slicer_patient(tmp_path / "slicer", "case-00")
    kidney = sitk.Cast(to_image((made.labels > 0).astype(np.uint8)), sitk.sitkUInt8)
    tumor = to_image((made.labels == TUMOR).astype(np.uint8))
    image = sitk.Compose(kidney, tumor)
    for number, name in enumerate(("Kidneys", "Tumor")):
        fields = {"ID": f"Segment_{number}", "Name": name, "LabelValue": "1", "Layer": str(number)}
        for field, value in fields.items():
            image.SetMetaData(f"Segment{number}_{field}", value)
    sitk.WriteImage(image, str(tmp_path / "slicer" / "case-00.seg.nrrd"))
    report = prepare_dataset(tmp_path / "slicer", store).reports[0]
    assert report.milliliters["kidney"] == pytest.approx(np.count_nonzero(made.labels == KIDNEY) * 0.02, abs=0.06)
    assert report.milliliters["tumor"] == pytest.approx(np.count_nonzero(made.labels == TUMOR) * 0.02, abs=0.06)


def test_unknown_segments(tmp_path, store):
    folder = tmp_path / "slicer"
    slicer_patient(folder, "case-00", ("a", "b", "c"), tags="")
    report = prepare_dataset(folder, store).reports[0]
    assert report.outcome == LEFT_OUT and "a, b, c" in report.findings and "--labels" in report.findings
    prepared = prepare_dataset(folder, store, ["a=kidney", "b=kidney"])
    assert prepared.reports[0].milliliters["kidney"] > 0 and '"c" is taken as background' in prepared.notes[0]


def test_incomplete_patients(tmp_path, store):
    folder = tmp_path / "slicer"
    for name in ("case-00", "case-01", "case-02", "case-03"):
        slicer_patient(folder, name, ("kidney_right", "kidney_left", "tumor"))
    (folder / "case-00.seg.nrrd").unlink()
    (folder / "case-01.nii.gz").unlink()
    (folder / "case-02.seg.nrrd").write_text("no image")
    found = {report.patient: report.findings for report in prepare_dataset(folder, store).reports}
    assert "has no segmentation" in found["case-00"] and "has no CT" in found["case-01"]
    assert '"case-02.seg.nrrd" cannot be read' in found["case-02"]
    assert patients_in(store) == ["case-03"]


def test_two_cts_of_one_name_are_refused(tmp_path, store):
    slicer_patient(tmp_path / "slicer", "case-00")
    shutil.copy(tmp_path / "slicer" / "case-00.nii.gz", tmp_path / "slicer" / "case-00.nii")
    with pytest.raises(InputError, match="have one name"):
        prepare_dataset(tmp_path / "slicer", store)


# ---------------------------------------------------------------- what is wrong


@pytest.mark.slow
def test_nothing_is_wrong_with_a_generated_child(nnunet, store):
    nnunet.describe({"background": 0, **{segment.display_name: segment.value for segment in RENAL.segments}})
    scan = training_scan(4.0, 1, slices=24)
    nnunet.add("case-00", scan.image, scan.labels, spacing=scan.spacing)
    report = finding(nnunet, store, "case-00")
    assert report.outcome == STORED and report.milliliters["kidney"] > 20 and report.milliliters["tumor"] > 0


def test_unreadable_files(nnunet, store):
    nnunet.add("case-00")
    nnunet.add("case-01")
    nnunet.label_map("case-00").write_bytes(nnunet.label_map("case-00").read_bytes()[:200])
    (nnunet.folder / "imagesTr" / "case-01_0000.nii.gz").write_text("no image")
    assert '"case-00.nii.gz" cannot be read' in finding(nnunet, store, "case-00").findings
    assert '"case-01_0000.nii.gz" cannot be read' in finding(nnunet, store, "case-01").findings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image.SetSpacing((2, 2, 4)), "spacing 2 × 2 × 4 instead of 2 × 2 × 5 mm"),
        (lambda image: image.SetOrigin((0, 30, 0)), "shifted by 30 mm"),
        (lambda image: image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1)), "turned or mirrored"),
    ],
    ids=["spacing", "shift", "direction"],
)
def test_other_grid(nnunet, store, change, words):
    nnunet.add("case-00")
    image = to_image(child().labels)
    change(image)
    sitk.WriteImage(image, str(nnunet.label_map("case-00")))
    assert words in finding(nnunet, store, "case-00").findings


def test_missing_slices(nnunet, store):
    nnunet.add("case-00")
    sitk.WriteImage(to_image(child().labels[1:]), str(nnunet.label_map("case-00")))
    assert "128 × 128 × 11 instead of 128 × 128 × 12 voxels" in finding(nnunet, store, "case-00").findings


def mirrored_upside_down(made):
    """As when the rows were counted from the other end: kidneys come to lie before the body."""
    return np.roll(made.labels, 45, axis=1)


def darker(made):
    return np.where(made.labels == KIDNEY, -80, made.image).astype(np.int16)


FAULTS = {
    "unknown label": (dict(labels=lambda made: 7 * made.labels), "holds the label 7"),
    "no labels": (dict(labels=lambda made: 0 * made.labels), "No voxel is labeled"),
    "no kidney": (dict(labels=lambda made: made.labels * (made.labels == TUMOR)), "No kidney is labeled"),
    "outside": (dict(labels=mirrored_upside_down), "lie outside the body"),
    "intensity": (dict(image=darker), "median of the kidney is -80 HU"),
    "no rescale": (dict(image=lambda made: (made.image + 1024).astype(np.int16)), "Hounsfield"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_leave_a_patient_out(nnunet, store, fault):
    changes, words = FAULTS[fault]
    made = child()
    nnunet.add("case-00", **{name: change(made) for name, change in changes.items()})
    nnunet.add("case-01")
    report = finding(nnunet, store, "case-00")
    assert report.outcome == LEFT_OUT and words in report.findings
    assert patients_in(store) == ["case-01"], "the others are stored"


DOUBTS = {
    "skipped slices": (
        lambda made: made.labels * (np.arange(12) % 2)[:, None, None].astype(np.uint8),
        "label them all",
    ),
    "one side": (lambda made: made.labels * (np.arange(128) > 64).astype(np.uint8), "on the left side only"),
    "large": (lambda made: (made.image > -500).astype(np.uint8), "more than 700"),
    "small": (lambda made: made.labels * (np.arange(128) % 16 == 0).astype(np.uint8), "less than 5"),
}


@pytest.mark.parametrize("doubt", DOUBTS)
def test_doubts_are_stored_and_said(nnunet, store, doubt):
    change, words = DOUBTS[doubt]
    nnunet.add("case-00", labels=change(child()))
    report = finding(nnunet, store, "case-00")
    assert report.outcome == CHECK and words in report.findings


def test_kidneys_with_much_fat(nnunet, store):
    """A quarter of the kidney voxels lies on fat, as after a shift."""
    made = child()
    fat = (made.labels == KIDNEY) & (np.arange(128) % 4 == 0)
    nnunet.add("case-00", np.where(fat, -80, made.image).astype(np.int16), made.labels)
    report = finding(nnunet, store, "case-00")
    assert report.outcome == CHECK and "25 % of the kidney is as dark as fat or gas" in report.findings


def test_the_same_image_under_two_names(nnunet, store):
    """Also where it was saved in another orientation; otherwise a patient may be trained and validated on."""
    made = child()
    nnunet.add("case-00", made.image, made.labels)
    arrays = [array[:, ::-1, ::-1] for array in (made.image, made.labels)]
    nnunet.add("case-01", *arrays, direction=DIRECTIONS["flipped"])
    assert 'The image is that of "case-00"' in finding(nnunet, store, "case-01").findings
    assert patients_in(store) == ["case-00"]


def test_the_same_name_in_two_data_sets(nnunet, store, tmp_path):
    nnunet.add("case-00")
    prepare_dataset(nnunet.folder, store)
    other = Nnunet(tmp_path / "other")
    other.add("case-00", child(seed=5).image)
    prepared = prepare_dataset(other.folder, store)
    assert [report.outcome for report in prepared.reports] == ["stored", LEFT_OUT]
    assert "another patient of this name" in prepared.reports[1].findings


# ---------------------------------------------------------------- split, report, resume


def test_split_is_by_patient_and_fixed(nnunet, store):
    for name in (*TRAINED[:2], VALIDATED):
        nnunet.add(name)
    prepare_dataset(nnunet.folder, store)
    assert set(open_store(store, validation=True).patients) == {VALIDATED}
    assert set(open_store(store, validation=False).patients) == set(TRAINED[:2])


def test_one_patient_at_least_validates_and_goes_on_doing_so(nnunet, store):
    for name in TRAINED[:3]:
        nnunet.add(name)
    prepare_dataset(nnunet.folder, store)
    chosen = set(open_store(store, validation=True).patients)
    assert len(chosen) == 1
    nnunet.add(VALIDATED)
    prepare_dataset(nnunet.folder, store)
    assert set(open_store(store, validation=True).patients) == chosen | {VALIDATED}


def test_split_can_be_edited(nnunet, store):
    for name in TRAINED[:2]:
        nnunet.add(name)
    prepare_dataset(nnunet.folder, store)
    (store / SPLIT).write_text(json.dumps({"training": [TRAINED[0]], "validation": [TRAINED[1]]}))
    prepare_dataset(nnunet.folder, store)
    assert set(open_store(store, validation=True).patients) == {TRAINED[1]}
    (store / SPLIT).write_text("[]")
    with pytest.raises(InputError, match=SPLIT):
        open_store(store, validation=True)


def test_report_in_the_store(nnunet, store):
    nnunet.add("case-00")
    nnunet.add("case-01", labels=0 * child().labels)
    prepared = prepare_dataset(nnunet.folder, store)
    with (store / REPORT).open(newline="") as file:
        rows = {row["patient"]: row for row in csv.DictReader(file)}
    assert rows["case-00"]["outcome"] == "stored" and float(rows["case-00"]["kidney_ml"]) > 0
    assert int(rows["case-00"]["slices"]) == len(np.load(store / "case-00.npz")["images"])
    assert rows["case-01"]["findings"] == prepared.reports[1].findings
    assert "left out: case-01: No voxel is labeled" in prepared.text()
    assert prepared.stored == 1


def test_a_broken_run_goes_on(nnunet, store, monkeypatch):
    """Stopped while the second patient is written: the first is kept, the second is made again."""
    for name in TRAINED[:2]:
        nnunet.add(name)
    write = prepare.store_slices

    def stop_at_the_second(folder, patient, *arguments):
        if patient.name == TRAINED[1]:
            raise KeyboardInterrupt
        write(folder, patient, *arguments)

    monkeypatch.setattr(prepare, "store_slices", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(nnunet.folder, store)
    assert patients_in(store) == [TRAINED[0]]
    monkeypatch.undo()
    before = (store / f"{TRAINED[0]}.npz").stat().st_mtime_ns
    read: list[str] = []
    prepared = prepare_dataset(nnunet.folder, store, progress=read.append)
    assert read == [TRAINED[1]] and prepared.stored == 2 and patients_in(store) == sorted(TRAINED[:2])
    assert (store / f"{TRAINED[0]}.npz").stat().st_mtime_ns == before
    patients = {f"{name}.npz" for name in TRAINED[:2]}
    assert {path.name for path in store.iterdir()} == patients | {REPORT, SPLIT, STRUCTURES}


def content(store):
    """Bytes of the stored patients, and when each was written."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in store.glob("*.npz")}


def stored_labels(store, name):
    return set(np.unique(np.load(store / f"{name}.npz")["labels"]))


def test_unchanged_patients_are_kept(nnunet, store):
    nnunet.add(TRAINED[0])
    nnunet.add(TRAINED[1], labels=child().labels * (np.arange(128) > 64).astype(np.uint8))
    first = prepare_dataset(nnunet.folder, store)
    assert [report.outcome for report in first.reports] == [STORED, CHECK]
    before = content(store)
    read: list[str] = []
    assert prepare_dataset(nnunet.folder, store, progress=read.append).reports == first.reports
    assert read == [] and content(store) == before


@pytest.mark.parametrize("one_side", [False, True], ids=["stored", "check"])
def test_corrected_labels_are_taken_in(nnunet, store, one_side):
    """Those of the others stay, and the patient's line is replaced."""
    made = child()
    nnunet.add("case-00", labels=made.labels * (np.arange(128) > 64).astype(np.uint8) if one_side else None)
    nnunet.add("case-01")
    prepare_dataset(nnunet.folder, store)
    before = content(store)
    read: list[str] = []
    nnunet.add("case-00", labels=made.labels * (made.labels == KIDNEY))
    prepared = prepare_dataset(nnunet.folder, store, progress=read.append)
    assert read == ["case-00"] and content(store)["case-01.npz"] == before["case-01.npz"]
    assert [(report.patient, report.outcome) for report in prepared.reports] == [
        ("case-00", STORED),
        ("case-01", STORED),
    ]
    assert prepared.reports[0].milliliters["tumor"] == 0 and stored_labels(store, "case-00") == {0, KIDNEY}


def test_other_labels_given_are_taken_in(nnunet, store):
    nnunet.describe({"background": 0, "kidney": 1, "cyst": 2})
    nnunet.add("case-00")
    runs = [prepare_dataset(nnunet.folder, store, given) for given in ([], ["cyst=kidney"], [])]
    milliliters = [prepared.reports[0].milliliters["kidney"] for prepared in runs]
    assert milliliters[1] > milliliters[0] == milliliters[2]


def test_other_labels_given_for_segments_are_taken_in(tmp_path, store):
    slicer_patient(tmp_path / "slicer", "case-00", ("a", "b", "c"), tags="")
    for given, labels in ((["a=kidney", "b=kidney"], {0, KIDNEY}), (["a=kidney", "c=tumor"], {0, KIDNEY, TUMOR})):
        prepare_dataset(tmp_path / "slicer", store, given)
        assert stored_labels(store, "case-00") == labels


def test_another_image_under_a_known_name_is_refused(nnunet, store, tmp_path):
    """The folder of another data set may have the same name."""
    nnunet.add("case-00")
    prepare_dataset(nnunet.folder, store)
    before = content(store)
    other = Nnunet(tmp_path / "elsewhere" / nnunet.folder.name)
    other.add("case-00", child(seed=5).image)
    prepared = prepare_dataset(other.folder, store)
    assert [report.outcome for report in prepared.reports] == [STORED, LEFT_OUT]
    assert "another patient of this name" in prepared.reports[1].findings
    assert content(store) == before and prepared.stored == 1
    assert prepare_dataset(nnunet.folder, store).reports == prepared.reports[:1] and content(store) == before


def test_the_same_image_saved_in_another_way_is_the_same_patient(nnunet, store):
    nnunet.add("case-00")
    prepare_dataset(nnunet.folder, store)
    image = nnunet.folder / "imagesTr" / "case-00_0000.nii.gz"
    image.write_bytes(gzip.compress(gzip.decompress(image.read_bytes()), 1))
    assert [report.outcome for report in prepare_dataset(nnunet.folder, store).reports] == [STORED]


def test_faulty_changes_leave_the_store_as_it_was(nnunet, store):
    for name in ("case-00", "case-01"):
        nnunet.add(name)
    prepare_dataset(nnunet.folder, store)
    before = content(store)
    nnunet.add("case-00", labels=0 * child().labels)
    nnunet.label_map("case-01").unlink()
    for _ in range(2):
        prepared = prepare_dataset(nnunet.folder, store)
        findings = {report.patient: report.findings for report in prepared.reports if report.outcome == LEFT_OUT}
        assert "No voxel is labeled" in findings["case-00"] and "has no label map" in findings["case-01"]
        assert all("The store keeps what it holds" in sentence for sentence in findings.values())
        assert content(store) == before and prepared.stored == 2
    nnunet.add("case-00")
    nnunet.add("case-01")
    assert [report.outcome for report in prepare_dataset(nnunet.folder, store).reports] == 2 * [STORED]


def test_a_run_broken_at_a_corrected_patient_does_not_pass_the_old_one_for_it(nnunet, store, monkeypatch):
    nnunet.add("case-00")
    prepare_dataset(nnunet.folder, store)
    made = child()
    nnunet.add("case-00", labels=made.labels * (made.labels == KIDNEY))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "store_slices", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(nnunet.folder, store)
    monkeypatch.undo()
    assert prepare_dataset(nnunet.folder, store).stored == 1
    assert stored_labels(store, "case-00") == {0, KIDNEY}


def test_stores_without_digests_of_the_files_go_on(nnunet, store):
    """As earlier versions wrote them: their patients are prepared again, once."""
    nnunet.add("case-00")
    prepared = prepare_dataset(nnunet.folder, store)
    with (store / REPORT).open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "source_sha256"} for row in csv.DictReader(file)]
    with (store / REPORT).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    for expected in (["case-00"], []):
        read: list[str] = []
        assert prepare_dataset(nnunet.folder, store, progress=read.append).reports == prepared.reports
        assert read == expected


def test_voxels_beside_a_header_are_read_each_time(tmp_path, store):
    """The header stays the same when they change."""
    nnunet = Nnunet(tmp_path / "dataset", file_ending=".mhd")
    nnunet.add("case-00", ending=".mhd")
    prepare_dataset(nnunet.folder, store)
    made = child()
    nnunet.add("case-00", labels=made.labels * (made.labels == KIDNEY), ending=".mhd")
    prepare_dataset(nnunet.folder, store)
    assert stored_labels(store, "case-00") == {0, KIDNEY}


def test_corrected_patients_join(nnunet, store):
    nnunet.add("case-00", labels=0 * child().labels)
    assert prepare_dataset(nnunet.folder, store).stored == 0
    nnunet.add("case-00")
    assert prepare_dataset(nnunet.folder, store).stored == 1


def test_patients_of_the_generator_are_left_alone(nnunet, store):
    made = child(seed=9)
    store_patient(store, TrainingPatient("generated-000001", "generated", made.image, made.labels, SPACING))
    nnunet.add("case-00")
    prepared = prepare_dataset(nnunet.folder, store)
    assert patients_in(store) == ["case-00", "generated-000001"] and len(prepared.reports) == 1


def test_report_that_was_changed_is_refused(nnunet, store):
    nnunet.add("case-00")
    prepare_dataset(nnunet.folder, store)
    (store / REPORT).write_text("name\ncase-00\n")
    with pytest.raises(InputError, match="was changed"):
        prepare_dataset(nnunet.folder, store)
    shutil.rmtree(store)
    assert prepare_dataset(nnunet.folder, store).stored == 1
