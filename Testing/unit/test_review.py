"""What review needs of the library: slices to check, corrected segmentations, devices, models without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from abdomens import abdomen
from tiny_models import write_model

import PediatricRenalSegLib
from PediatricRenalSegLib import cli
from PediatricRenalSegLib.case import revise_case, segment_case
from PediatricRenalSegLib.devices import choose_device, list_devices
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.models.bundle import read_metadata
from PediatricRenalSegLib.models.catalogue import catalogue
from PediatricRenalSegLib.pipelines.canvas import CanvasGrid
from PediatricRenalSegLib.pipelines.doubt import DISTANCE_MM, MOST, Doubt, SliceToCheck, slices_to_check
from PediatricRenalSegLib.pipelines.slicewise import neighbor_sigma, to_axial
from PediatricRenalSegLib.volume import CTVolume

SIZE, SLICES, SLICE_MM = 16, 30, 2.0
RIGHT, LEFT = 1, 2
LIBRARY_ON_PATH = {"PYTHONPATH": str(Path(PediatricRenalSegLib.__file__).parents[1])}


# Slices to check


def sure(label: int) -> np.ndarray:
    """Probabilities of a slice that has one label throughout, beyond doubt."""
    return np.eye(3, dtype=np.float32)[label][:, None, None] * np.ones((1, SIZE, SIZE), np.float32)


def probabilities() -> np.ndarray:
    """A kidney in the middle of every slice."""
    stack = np.stack([sure(0)] * SLICES)
    stack[:, :, 4:12, 4:12] = sure(1)[:, 4:12, 4:12]
    return stack


def ct_of(count: int = SLICES, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)) -> CTVolume:
    image = sitk.Image([SIZE, SIZE, count], sitk.sitkInt16)
    image.SetSpacing([4.0, 4.0, SLICE_MM])
    image.SetOrigin([10.0, 20.0, 30.0])
    image.SetDirection(direction)
    return CTVolume(image, "")


def doubt_of(values: np.ndarray) -> Doubt:
    """The canvas lies on the array, all of which is body."""
    shape = (len(values), SIZE, SIZE)
    grid = CanvasGrid(SIZE, 4.0, (0.0, 0.0), shape, (SLICE_MM, 4.0, 4.0))
    return to_axial(values, grid, neighbor_sigma(np.ones(shape, bool), grid))[1]


def checked(values: np.ndarray) -> tuple[SliceToCheck, ...]:
    return slices_to_check(doubt_of(values), ct_of(len(values)))


def test_a_sure_network_leaves_no_slice_to_check():
    assert checked(probabilities()) == ()


def test_a_method_without_doubt_leaves_no_slice_to_check():
    assert slices_to_check(Doubt.none(), ct_of()) == ()


def test_unsure_pixels_are_found_where_they_are():
    values = probabilities()
    values[20, :, 8:12, 4:8] = np.array([0.5, 0.5, 0])[:, None, None]
    values[19], values[21] = values[20], values[20]
    (found,) = checked(values)
    assert found.position_mm == pytest.approx((10 + 4 * 5.5, 20 + 4 * 9.5, 30 + SLICE_MM * 20), abs=2.1)
    assert 0.5 < found.doubt_cm2 <= 2 * 16 * 0.16


def test_disagreeing_neighbors_are_found():
    values = probabilities()
    values[10] = sure(0)
    found = checked(values)
    assert len(found) == 1 and found[0].position_mm[2] == pytest.approx(30 + SLICE_MM * 10)
    doubt = doubt_of(values)
    areas = dict(enumerate(doubt.values.sum(axis=(1, 2), dtype=float), start=doubt.box[0].start))
    assert areas[10] > 2 * areas[9]


def test_doubt_lies_on_the_grid_of_the_ct():
    """Half the pixel size, a shifted canvas: doubt stays where it is in the patient, and as large."""
    values = probabilities()
    values[10] = sure(0)
    shape, spacing = (SLICES, 40, 44), (SLICE_MM, 2.0, 2.0)
    grid = CanvasGrid(SIZE, 4.0, (7.0, 11.0), shape, spacing)
    doubt = to_axial(values, grid, sigma=0.5)[1]
    whole = np.zeros(shape, np.float32)
    whole[doubt.box] = doubt.values
    rows, columns = np.nonzero(whole[10] > 0.05)
    assert rows.mean() * 2.0 == pytest.approx(7.0 + 4.0 * 7.5) and columns.mean() * 2.0 == pytest.approx(11 + 4 * 7.5)
    grid = CanvasGrid(SIZE, 4.0, (0.0, 0.0), (SLICES, SIZE, SIZE), (SLICE_MM, 4.0, 4.0))
    coarse = to_axial(values, grid, sigma=0.5)[1]
    assert whole[10].sum() * 2.0**2 == pytest.approx(coarse.values[10 - coarse.box[0].start].sum() * 4.0**2, rel=0.02)


def test_slices_keep_their_distance_and_number():
    values = probabilities()
    values[:] = np.array([0.5, 0.3, 0.2])[None, :, None, None]
    found = checked(values)
    heights = [one.position_mm[2] for one in found]
    assert heights == sorted(heights) and len(found) == SLICES * SLICE_MM / DISTANCE_MM
    assert np.diff(heights).min() >= DISTANCE_MM
    assert len(checked(np.tile(values, (8, 1, 1, 1)))) == MOST


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, -1), (0, 0, 1, 1, 0, 0, 0, 1, 0)])
def test_place_in_the_axial_array_is_that_in_the_patient(direction):
    ct = ct_of(direction=direction)
    array = np.arange(np.prod(ct.image.GetSize()), dtype=np.int16).reshape(ct.image.GetSize()[::-1])
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(ct.image)
    ct = CTVolume(image, "")
    axial, _ = ct.axial()
    index = ct.image.TransformPhysicalPointToIndex(ct.axial_point(3, 5, 7))
    assert ct.image[index] == axial[3, 5, 7]


# A corrected segmentation


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A run with an untrained model, and a label map as a person may have drawn it."""
    folder = tmp_path_factory.mktemp("case")
    phantom = abdomen((12, 96, 96), (6.0, 2.0, 2.0))
    ct = phantom.write(folder / "ct.nrrd")
    segment_case(ct, folder / "run", str(write_model(folder / "model.pt")), "cpu")
    labels = np.where(phantom.labels == 2, 3, phantom.labels).astype(np.uint8)
    labels[:, :, 48:][labels[:, :, 48:] == RIGHT] = LEFT
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(sitk.ReadImage(str(ct)))
    sitk.WriteImage(image, str(folder / "labels.nrrd"))
    return folder


def test_revised_folder_holds_the_corrected_segments(case, tmp_path):
    out = tmp_path / "out"
    inputs = case / "ct.nrrd", case / "labels.nrrd", case / "run" / "report.json"
    result = revise_case(*inputs, out, ("segmentation", "stl", "glb"))
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "segmentation.seg.nrrd")))
    np.testing.assert_array_equal(written, sitk.GetArrayFromImage(sitk.ReadImage(str(case / "labels.nrrd"))))
    names = {path.name for path in (out / "models").iterdir()}
    assert names == {"kidney_right.stl", "kidney_left.stl", "tumor.stl", "structures.glb"}
    before, after = (json.loads((folder / "report.json").read_text()) for folder in (case / "run", out))
    assert before["review"] is None and after["review"] == {"edited": True, "checked": [], "seconds": 0.0}
    for kept in ("model", "input", "notes", "slices_to_check", "structures", "structure_set"):
        assert after[kept] == before[kept]
    assert after["timing_seconds"]["network"] == before["timing_seconds"]["network"]
    assert after["parameters"] == {**before["parameters"], "writers": ["segmentation", "stl", "glb"]}
    assert len(result.measurements.segments) == 3


def test_what_was_reviewed_is_kept(case, tmp_path):
    report = json.loads((case / "run" / "report.json").read_text())
    report["review"] = {"edited": False, "checked": ["tumor"], "seconds": 61.0}
    report["warnings"].append({"code": "side_uncertain", "text": "Right and left may be wrong."})
    (tmp_path / "report.json").write_text(json.dumps(report))
    revise_case(case / "ct.nrrd", case / "labels.nrrd", tmp_path / "report.json", tmp_path / "out")
    revised = json.loads((tmp_path / "out" / "report.json").read_text())
    assert revised["review"] == report["review"]
    assert "side_uncertain" in [warning["code"] for warning in revised["warnings"]]
    assert "none_found" not in [warning["code"] for warning in revised["warnings"]]


@pytest.mark.parametrize("report", ["absent.json", "ct.nrrd"])
def test_report_of_something_else_is_refused(case, tmp_path, report):
    with pytest.raises(InputError, match="name the report.json of a result"):
        revise_case(case / "ct.nrrd", case / "labels.nrrd", case / report, tmp_path / "out")


def test_labels_of_another_ct_are_refused(case, tmp_path):
    moved = sitk.ReadImage(str(case / "labels.nrrd"))
    moved.SetOrigin([0.0, 0.0, 5.0])
    sitk.WriteImage(moved, str(tmp_path / "moved.nrrd"))
    with pytest.raises(InputError, match="does not lie on the grid of the CT"):
        revise_case(case / "ct.nrrd", tmp_path / "moved.nrrd", case / "run" / "report.json", tmp_path / "out")


@pytest.mark.slow
def test_existing_folder_is_not_overwritten(case, tmp_path):
    inputs = (case / "ct.nrrd", case / "labels.nrrd", case / "run" / "report.json", tmp_path / "out")
    revise_case(*inputs)
    with pytest.raises(InputError, match="exists already"):
        revise_case(*inputs)
    revise_case(*inputs, overwrite=True)


def test_part_without_air_can_be_measured(case, tmp_path, capsys):
    """Slicer sends only the box around the segments."""
    parts = []
    for name in ("ct", "labels"):
        part = sitk.ReadImage(str(case / f"{name}.nrrd"))[16:80, 20:76, :]
        parts.append(tmp_path / f"{name}.nrrd")
        sitk.WriteImage(part, str(parts[-1]))
    measured = []
    for files in ((case / "ct.nrrd", case / "labels.nrrd"), parts):
        assert cli.main(["measure", *map(str, files)]) == 0
        measured.append(json.loads(capsys.readouterr().out))
    assert measured[0]["segments"] == measured[1]["segments"]


def test_commands(case, tmp_path, capsys):
    inputs = [str(case / name) for name in ("ct.nrrd", "labels.nrrd")]
    assert cli.main(["measure", *inputs]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert [row["segment_id"] for row in measured["segments"]] == ["kidney_right", "kidney_left", "tumor"]
    call = ["revise", *inputs, str(case / "run" / "report.json"), "--output", str(tmp_path / "out")]
    assert cli.main([*call, "--progress", "json"]) == 0
    events = [json.loads(line)["stage"] for line in capsys.readouterr().out.splitlines()]
    assert events == ["read", "surfaces", "measure", "write"]


def test_measuring_needs_no_torch(case):
    """In Slicer a scene can be reviewed before it is installed, and a correction is measured quickly."""
    script = f"""
import sys
sys.modules["torch"] = None
from PediatricRenalSegLib import cli
sys.exit(cli.main(["measure", {str(case / "ct.nrrd")!r}, {str(case / "labels.nrrd")!r}]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=LIBRARY_ON_PATH)
    assert run.returncode == 0 and json.loads(run.stdout)["segments"], run.stderr


# Devices and models


def test_first_device_is_the_automatic_one(capsys):
    devices = list_devices()
    assert devices[0].id == choose_device("auto").type and devices[-1].id == "cpu"
    assert cli.main(["devices", "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["id"] for one in printed] == [one.id for one in devices]
    if sys.platform == "linux":
        assert printed[-1]["free_bytes"] > 0 and "GB of memory free" in printed[-1]["text"]


def test_models_are_described_without_torch():
    script = """
import sys
sys.modules["torch"] = None
from PediatricRenalSegLib.models.bundle import read_metadata
from PediatricRenalSegLib.models.catalogue import catalogue
print([read_metadata(entry.path).id for entry in catalogue()])
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=LIBRARY_ON_PATH)
    assert run.stdout.strip() == str([entry.id for entry in catalogue()]), run.stderr


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"PK\x05\x06" + bytes(18)], ids=["empty", "text", "empty zip"]
)
def test_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="model.pt"):
        read_metadata(path)
