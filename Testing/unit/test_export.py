"""Every format is read back by a reader that is not ours."""

import errno
import gzip
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import trimesh
import vtk
from dicom_files import PATIENT as PATIENT_NAME
from dicom_files import PATIENT_ID, STUDY_DATE, slice_positions, write_series
from phantoms import CENTER, DIRECTIONS, PATIENT, ct_of, ellipsoids, grid
from PIL import Image
from tiny_models import write_model
from vtk.util.numpy_support import vtk_to_numpy

from PediatricRenalSegLib.case import segment_case
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.export import mesh, patient_folder
from PediatricRenalSegLib.export.labelmap import write_labelmap
from PediatricRenalSegLib.export.patient_folder import check_patient_folder, write_patient_folder
from PediatricRenalSegLib.export.preview import BACKGROUND, GAP, LEGEND, PANEL, contours, write_preview
from PediatricRenalSegLib.export.report import RunRecord
from PediatricRenalSegLib.export.result import Result
from PediatricRenalSegLib.export.segmentation import write_segmentation
from PediatricRenalSegLib.export.vtk_log import quiet_vtk
from PediatricRenalSegLib.export.writers import WRITERS
from PediatricRenalSegLib.organs.measure import measure
from PediatricRenalSegLib.organs.surfaces import closed_surfaces
from PediatricRenalSegLib.structures import RENAL, StructureSet
from PediatricRenalSegLib.volume import LabelVolume

RUN = RunRecord(
    "1.2.3", "demo-model", "ab" * 32, "phantom", {"network": 1.23456}, {"device": "cpu"}, ("3 specks removed",)
)


@pytest.fixture(scope="module")
def case():
    labels = ellipsoids(grid(DIRECTIONS["oblique_left_handed"], (1.0, 1.0, 2.0)), PATIENT)
    ct = ct_of(labels)
    return Result(ct, labels, closed_surfaces(labels), measure(labels, ct), RUN)


def result_of(labels, surfaces=None):
    ct = ct_of(labels)
    return Result(ct, labels, closed_surfaces(labels) if surfaces is None else surfaces, measure(labels, ct), RUN)


TUMOR = RENAL.segments[2]


def assert_same_grid(image, reference):
    assert image.GetSize() == reference.GetSize()
    for got, expected in (
        (image.GetSpacing(), reference.GetSpacing()),
        (image.GetOrigin(), reference.GetOrigin()),
        (image.GetDirection(), reference.GetDirection()),
    ):
        assert got == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_labelmap_has_structure_labels_on_the_grid_of_the_ct(tmp_path, name):
    labels = ellipsoids(grid(DIRECTIONS[name], (1.0, 1.0, 2.0)), PATIENT)
    write_labelmap(tmp_path / "labelmap.nii.gz", result_of(labels, {}))
    image = sitk.ReadImage(str(tmp_path / "labelmap.nii.gz"))
    assert_same_grid(image, labels.image)
    expected = np.array([0, 1, 1, 2])[sitk.GetArrayFromImage(labels.image)]
    assert image.GetPixelID() == sitk.sitkUInt8 and (sitk.GetArrayFromImage(image) == expected).all()


def test_segmentation_header_is_that_of_slicer(tmp_path, case):
    labels = case.labels
    write_segmentation(tmp_path / "segmentation.seg.nrrd", case)
    image = sitk.ReadImage(str(tmp_path / "segmentation.seg.nrrd"))
    assert_same_grid(image, labels.image)
    assert (sitk.GetArrayFromImage(image) == sitk.GetArrayFromImage(labels.image)).all()
    assert image.GetMetaData("Segmentation_MasterRepresentation") == "Binary labelmap"
    assert image.GetMetaData("Segmentation_ContainedRepresentationNames") == "Binary labelmap|"
    for index, segment in enumerate(RENAL.segments):
        assert image.GetMetaData(f"Segment{index}_ID") == segment.id
        assert image.GetMetaData(f"Segment{index}_Name") == segment.display_name
        assert image.GetMetaData(f"Segment{index}_LabelValue") == str(segment.value)
        assert image.GetMetaData(f"Segment{index}_Layer") == "0"
    assert image.GetMetaData("Segment0_Color") == "0.72549 0.4 0.32549"
    assert image.GetMetaData("Segment0_Tags") == (
        "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
        "~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney~SCT^24028007^Right"
        "~Anatomic codes - DICOM master list~^^~^^|"
    )
    tumor = "~SCT^108369006^Neoplasm~^^~Anatomic codes - DICOM master list~SCT^64033007^Kidney~^^|"
    assert image.GetMetaData("Segment2_Tags").endswith(tumor)


def test_stl(tmp_path, case):
    path = tmp_path / "tumor.stl"
    mesh.write_stl(path, case, TUMOR)
    content = path.read_bytes()
    assert b"SPACE=LPS" in content[:80] and not content.startswith(b"solid")
    model = trimesh.load_mesh(path)
    assert model.is_watertight and model.volume > 0
    assert model.center_mass == pytest.approx(CENTER + (35, -12, 15), abs=0.6)


def test_ply(tmp_path, case):
    path = tmp_path / "kidney_left.ply"
    mesh.write_ply(path, case, RENAL.segments[1])
    assert b"SPACE=LPS" in path.read_bytes()[:300]
    reader = vtk.vtkPLYReader()
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetOutput().GetNumberOfCells() == case.surfaces["kidney_left"].GetNumberOfCells()
    assert vtk_to_numpy(reader.GetOutput().GetPointData().GetArray("RGB"))[0, :3].tolist() == [185, 102, 83]


def test_obj(tmp_path, case):
    path = tmp_path / "structures.obj"
    mesh.write_obj(path, case)
    assert "SPACE=LPS" in path.read_text().splitlines()[0]
    scene = trimesh.load_scene(path, process=False)
    assert set(scene.geometry) == set(case.surfaces)
    tumor = scene.geometry["tumor"]
    assert tumor.bounds.mean(axis=0) == pytest.approx(CENTER + (35, -12, 15), abs=2)
    assert tumor.visual.material.diffuse[:3] == pytest.approx((144, 238, 144), abs=1)
    importer = vtk.vtkOBJReader()
    importer.SetFileName(str(path))
    importer.Update()
    assert importer.GetOutput().GetNumberOfCells() == sum(s.GetNumberOfCells() for s in case.surfaces.values())


def test_glb_is_meters_with_y_up(tmp_path, case):
    path = tmp_path / "structures.glb"
    mesh.write_glb(path, case)
    content = path.read_bytes()
    assert content[:4] == b"glTF" and int.from_bytes(content[8:12], "little") == len(content)
    scene = trimesh.load_scene(path, process=False)
    assert set(scene.graph.nodes_geometry) == set(case.surfaces)
    x, y, z = CENTER + (35, -12, 15)
    for name, model in scene.geometry.items():
        assert trimesh.Trimesh(model.vertices, model.faces).is_watertight and model.volume > 0, name
    tumor = scene.geometry["tumor"]
    assert tumor.center_mass == pytest.approx(np.array([x, z, -y]) / 1000, abs=6e-4)
    assert (np.einsum("ij,ij->i", tumor.vertex_normals, tumor.vertices - tumor.center_mass) > 0).mean() > 0.99
    reader = vtk.vtkGLTFReader()
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetOutput().GetNumberOfPoints() == sum(s.GetNumberOfPoints() for s in case.surfaces.values())


def panel(picture, column, row):
    left, top = column * (PANEL + 6), row * (PANEL + 6)
    return picture[top : top + PANEL, left : left + PANEL].astype(int)


def greenness(pixels):
    """Pixels in which the tumor's green outweighs red."""
    return pixels[..., 1] - pixels[..., 0] > 25


def test_preview_shows_right_at_left_and_superior_up(tmp_path, case):
    """The tumor of the phantom lies left, anterior and superior."""
    write_preview(tmp_path / "preview.png", case)
    picture = np.asarray(Image.open(tmp_path / "preview.png"))
    for place, title in {(0, 0): "axial", (1, 0): "coronal", (0, 1): "sagittal", (1, 1): "model"}.items():
        rows, columns = np.nonzero(greenness(panel(picture, *place)))
        assert len(rows) > 1000, title
        assert columns.mean() < PANEL / 2 if title == "sagittal" else columns.mean() > PANEL / 2, title
        assert rows.mean() < PANEL / 2, title


def test_preview_of_thick_slices_is_to_scale(tmp_path):
    labels = ellipsoids(grid(spacing=(0.5, 0.5, 5.0)), [(3, (0, 0, 0), (30, 30, 30))])
    write_preview(tmp_path / "preview.png", result_of(labels))
    picture = np.asarray(Image.open(tmp_path / "preview.png"))
    for place in ((0, 0), (1, 0), (0, 1), (1, 1)):
        rows, columns = np.nonzero(greenness(panel(picture, *place)))
        assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.1), place


def test_contours_are_closed_lines_around_each_part():
    """A ring has two, a disc at the edge of the picture one."""
    y, x = np.mgrid[0:60, 0:80].astype(float)
    share = np.zeros((60, 80), np.float32)
    share += np.clip(np.abs(np.hypot(x - 40, y - 30) - 15) < 4, 0, 1)
    share += np.hypot(x - 79, y - 5) < 6
    lines = contours(share)
    assert len(lines) == 3 and all((line[0] == line[-1]).all() for line in lines)
    widths = sorted(float(np.ptp(line[:, 0])) for line in lines)
    assert widths == pytest.approx([6.0, 22.0, 38.0], abs=1.0)
    assert max(line[:, 0].max() for line in lines) == pytest.approx(79.5)
    assert contours(np.zeros((5, 5), np.float32)) == []


def test_long_contour_stays_whole():
    """VTK's filter cuts lines at 1000 points if it is not told otherwise."""
    comb = np.zeros((120, 120), np.float32)
    comb[10:110:4, 10:110] = comb[10:110, 10] = 1.0
    (line,) = contours(comb)
    assert len(line) > 2000 and (line[0] == line[-1]).all()


def test_preview_without_structures(tmp_path):
    labels = ellipsoids(grid(), [])
    write_preview(tmp_path / "preview.png", result_of(labels))
    picture = np.asarray(Image.open(tmp_path / "preview.png"))
    assert (panel(picture, 1, 1)[PANEL // 2, PANEL // 2] == BACKGROUND).all()


@pytest.mark.slow
def test_legend_of_many_structures_has_rows(tmp_path):
    """Three of them to a row: more would be written over one another."""
    many = StructureSet(tuple(replace(RENAL.rows[1], name=f"mass_{n}", label=n) for n in range(1, 9)))
    labels = LabelVolume(ellipsoids(grid(), [(n, (12 * n - 54, 0, 0), (5, 9, 9)) for n in range(1, 9)]).image, many)
    write_preview(tmp_path / "preview.png", result_of(labels))
    assert Image.open(tmp_path / "preview.png").height == 2 * PANEL + 2 * GAP + 3 * LEGEND


def test_vtk_speaks_again_when_the_last_thread_has_done():
    before = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    first, second = quiet_vtk(), quiet_vtk()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert vtk.vtkLogger.GetCurrentVerbosityCutoff() == vtk.vtkLogger.VERBOSITY_OFF
    second.__exit__(None, None, None)
    assert vtk.vtkLogger.GetCurrentVerbosityCutoff() == before


def write(folder, case, **options):
    write_patient_folder(folder, case, **options)


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


RESULT = {"labelmap.nii.gz", "segmentation.seg.nrrd", "report.json", "preview.png"}
STL = {f"models/{segment.id}.stl" for segment in RENAL.segments}


def test_patient_folder_and_report(tmp_path, case):
    write(tmp_path / "new" / "case", case)
    assert files_in(tmp_path / "new") == {f"case/{name}" for name in RESULT | STL}
    report = json.loads((tmp_path / "new" / "case" / "report.json").read_text())
    assert "research use" in report["notice"]
    assert report["version"] == "1.2.3" and report["model"] == {"id": "demo-model", "sha256": "ab" * 32}
    assert [row["segment_id"] for row in report["structures"]] == ["kidney_right", "kidney_left", "tumor"]
    assert report["input"] == "phantom" and report["parameters"] == {"device": "cpu"}
    assert report["measurements"]["segments"][2]["volume_ml"] == round(case.measurements.of("tumor").volume_ml, 2)
    assert set(report["files"]) == (RESULT | STL) - {"report.json"}
    assert report["timing_seconds"] == {"network": 1.23} and report["notes"] == ["3 specks removed"]


def test_all_mesh_formats(tmp_path, case):
    write(tmp_path / "case", case, writers=WRITERS)
    scene = {f"models/structures.{ending}" for ending in ("obj", "mtl", "glb")}
    assert files_in(tmp_path / "case") == RESULT | STL | {name.replace("stl", "ply") for name in STL} | scene
    with pytest.raises(InputError, match="vrml"):
        write(tmp_path / "other", case, writers=("vrml",))
    assert not (tmp_path / "other").exists()


def test_existing_folder_is_refused(tmp_path, case):
    (tmp_path / "case").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "case", case)
    (tmp_path / "case" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        write(tmp_path / "case", case, overwrite=True)
    assert files_in(tmp_path) == {"case/thesis.txt"}


@pytest.mark.slow
def test_overwriting_removes_ours_and_keeps_other_files(tmp_path, case):
    folder = tmp_path / "case"
    write(folder, case)
    (folder / "notes.txt").write_text("mine")
    (folder / "models" / "planned.stl").write_text("mine")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("notes.txt")
    kidneys = {name: surface for name, surface in case.surfaces.items() if name != "tumor"}
    write(folder, replace(case, surfaces=kidneys), overwrite=True)
    expected = (RESULT | STL | {"notes.txt", "link", "models/planned.stl"}) - {"models/tumor.stl"}
    assert files_in(folder) == expected and (folder / "empty").is_dir() and (folder / "link").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


@pytest.mark.slow
def test_overwriting_keeps_what_was_edited(tmp_path, case):
    """Each overwrite keeps the edits of before: those made in place and those kept by an earlier overwrite."""
    folder = tmp_path / "case"
    write(folder, case)
    for text in ("first", "second"):
        (folder / "segmentation.seg.nrrd").write_text(text)
        if text == "first":
            (folder / "models" / "tumor.stl").write_text(text)
        write(folder, case, overwrite=True)
    edited = {
        "segmentation.edited.seg.nrrd": "first",
        "segmentation.edited-2.seg.nrrd": "second",
        "models/tumor.edited.stl": "first",
    }
    assert files_in(folder) == RESULT | STL | set(edited)
    assert {name: (folder / name).read_text() for name in edited} == edited
    assert sitk.ReadImage(str(folder / "segmentation.seg.nrrd")).GetSize() == case.labels.image.GetSize()


@pytest.mark.slow
def test_overwriting_keeps_everything_where_the_report_is_not_ours(tmp_path, case):
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "report.json").write_text("[]")
    (folder / "preview.png").write_text("mine")
    write(folder, case, overwrite=True)
    assert files_in(folder) == RESULT | STL | {"report.edited.json", "preview.edited.png"}


def test_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file"):
        check_patient_folder(tmp_path / "file" / "case", overwrite=False)
    with pytest.raises(InputError, match="cannot be written"):
        check_patient_folder(tmp_path / ("x" * 300), overwrite=False)
    check_patient_folder(tmp_path / "new" / "case", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)  # not chmod: that does not stop root
    with pytest.raises(InputError, match=r"case cannot be written \(Permission denied\)"):
        check_patient_folder(tmp_path / "case", overwrite=False)


def test_whole_drive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(patient_folder.os.path, "ismount", lambda path: path == tmp_path)
    with pytest.raises(InputError, match="whole drive"):
        check_patient_folder(tmp_path, overwrite=True)


@pytest.mark.slow
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
def test_interrupted_swap_leaves_one_complete_result(tmp_path, case, monkeypatch, number, done):
    """Stopped just before or just after either of the two renames."""
    folder = tmp_path / "case"
    write(folder, case)
    (folder / "notes.txt").write_text("mine")
    before = (folder / "report.json").stat().st_mtime_ns
    renames = []
    rename = Path.rename

    def interrupted(path, target):
        renames.append(target)
        if len(renames) != number:
            return rename(path, target)
        if done:
            rename(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(folder, case, overwrite=True)
    assert files_in(folder) == RESULT | STL | {"notes.txt"}
    is_new = (folder / "report.json").stat().st_mtime_ns > before
    assert is_new == (number == 2 and done)
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit for the size of files")
@pytest.mark.parametrize("kind", WRITERS)
def test_full_disk_is_noticed(tmp_path, case, kind):
    """ITK's NIfTI writer keeps silent when the disk is full."""
    import resource

    writer = WRITERS[kind]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError):
            writer.write(tmp_path, case)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.slow
def test_failure_leaves_the_earlier_result_and_nothing_else(tmp_path, case, monkeypatch):
    folder = tmp_path / "case"
    write(folder, case)
    before = {name: (folder / name).read_bytes() for name in files_in(folder)}

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(patient_folder, "write_report", fail)
    for target in (folder, tmp_path / "second"):
        with pytest.raises(OSError, match="disk full"):
            write(target, case, overwrite=True)
    assert {name: (folder / name).read_bytes() for name in files_in(folder)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


def test_metadata_of_the_ct_does_not_leak(tmp_path, case):
    for image in (case.ct.image, case.labels.image):
        image.SetMetaData("0010|0010", "DOE^JANE")
    write(tmp_path / "case", case)
    for name in ("labelmap.nii.gz", "segmentation.seg.nrrd"):
        image = sitk.ReadImage(str(tmp_path / "case" / name))
        assert not any("DOE" in image.GetMetaData(key) for key in image.GetMetaDataKeys())


@pytest.mark.slow
def test_identity_in_dicom_files_is_in_no_file_of_the_result(tmp_path):
    """From the series to the patient folder; what is compressed is searched too."""
    birth_date = "20170523"
    words = [word.encode() for word in (PATIENT_NAME, PATIENT_ID, STUDY_DATE, birth_date)]
    series = write_series(tmp_path / "scan", slice_positions(count=12), PatientBirthDate=birth_date)
    source = series[0].read_bytes()
    assert all(word in source for word in words)
    model = write_model(tmp_path / "model.pt")
    result = segment_case(tmp_path / "scan", tmp_path / "case", str(model), "cpu", writers=list(WRITERS))
    assert result.measurements.segments, "an empty result would prove less"
    names = files_in(tmp_path / "case")
    assert names > RESULT
    for name in names:
        content = (tmp_path / "case" / name).read_bytes()
        content += gzip.decompress(content) if name.endswith(".gz") else b""
        assert [word for word in words if word in content] == [], name
