"""Reading real files: the right voxels at the right place, and one clear sentence for everything else."""

import gzip
import io
import re
import zlib
from contextlib import suppress

import bad_inputs
import dicom_files as dicom
import numpy as np
import pytest
import SimpleITK as sitk
from bad_inputs import BAD_INPUTS, BadInput, ct_array, write_image
from pydicom.dataelem import DataElement
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage, generate_uid
from scipy.ndimage import binary_erosion
from test_volume import AXIS_DIRECTIONS, assert_same_grid, points_of, rotation

from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.reading import file_headers, read_ct

OFF_CENTRE = np.array([8.0, -5.0, 3.0])


def off_center_body(points: np.ndarray) -> np.ndarray:
    """No symmetry that would hide a flip."""
    return dicom.body(points - OFF_CENTRE)


def ramp(points: np.ndarray) -> np.ndarray:
    """Hounsfield units that are linear in space: exact under linear interpolation."""
    return points @ (4.0, 3.0, 5.0) - 300


def voxels(ct) -> np.ndarray:
    return sitk.GetArrayFromImage(ct.image)


def assert_shows(ct, field) -> None:
    """Every voxel has the field's value at its place in the patient."""
    assert np.array_equal(voxels(ct), field(points_of(ct.image)))


# Refusals


@pytest.mark.filterwarnings("ignore:.*VR CS")  # pydicom's, on writing what no header may hold
@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.title)
def test_refusal_is_one_sentence_that_names_the_thing(case: BadInput, tmp_path, capfd):
    with pytest.raises(InputError) as refusal:
        read_ct(case.write(tmp_path))
    sentence = str(refusal.value)
    for name in case.names:
        assert name in sentence
    assert re.fullmatch(r'(The|There|DICOM|")[^\n]*; [^\n;]+\.', sentence)
    assert_anonymous(sentence)
    assert "".join(capfd.readouterr()) == "", "a library printed lines of its own"


def assert_anonymous(text: str) -> None:
    for identity in (
        dicom.PATIENT, "Doe", dicom.PATIENT_ID, dicom.OTHER_PATIENT_ID, dicom.STUDY_DATE, dicom.STUDY_UID,
    ):  # fmt: skip
        assert identity not in text


def damaged_copies(data: bytes, count: int):
    """The file with random bytes overwritten, every third one cut short as well."""
    random = np.random.default_rng(7)
    for index in range(count):
        copy = bytearray(data)
        for position in random.integers(0, min(len(data), 1500), random.integers(1, 6)):
            copy[position] = random.integers(256)
        yield bytes(copy[: random.integers(len(data))] if index % 3 == 0 else copy)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_randomly_damaged_files_are_read_or_refused(suffix, tmp_path):
    file = write_image(tmp_path / f"scan{suffix}", ct_array())
    for copy in damaged_copies(file.read_bytes(), 60):
        file.write_bytes(copy)
        with suppress(InputError):
            read_ct(file)


def test_randomly_damaged_dicom_slices_are_read_or_refused(tmp_path):
    file = dicom.write_series(tmp_path)[3]
    for copy in damaged_copies(file.read_bytes(), 60):
        file.write_bytes(copy)
        with suppress(InputError):
            read_ct(tmp_path)


def test_a_folder_that_may_not_be_opened_is_refused(tmp_path):
    inner = tmp_path / "locked"
    dicom.write_series(inner)
    inner.chmod(0)
    try:
        if not _may_list(inner):
            with pytest.raises(InputError, match="access"):
                read_ct(tmp_path)
    finally:
        inner.chmod(0o700)


def _may_list(folder) -> bool:
    try:
        return bool(list(folder.iterdir()))
    except PermissionError:
        return False


# NIfTI, NRRD, MetaImage


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("turn", [np.eye(3), rotation((1, 2, 3), 20)], ids=["upright", "oblique"])
@pytest.mark.parametrize("direction", AXIS_DIRECTIONS[::5])
def test_every_format_keeps_grid_and_values(suffix, turn, direction, tmp_path):
    image = sitk.GetImageFromArray(ct_array())
    image.SetSpacing((0.8, 1.5, 5.0))
    image.SetOrigin((-100, 20, -300))
    image.SetDirection((turn @ direction).ravel())
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))

    ct = read_ct(tmp_path / f"scan{suffix}")

    assert np.array_equal(voxels(ct), sitk.GetArrayFromImage(image))
    assert np.allclose(points_of(ct.image), points_of(image), atol=1e-3)
    assert suffix in ct.source and "20 × 24 × 16" in ct.source and "scan" not in ct.source


def test_a_path_may_be_text(tmp_path):
    assert read_ct(str(write_image(tmp_path / "scan.nrrd", ct_array()))).image.GetSize() == (20, 24, 16)


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (np.int16, sitk.sitkInt16), (np.int32, sitk.sitkInt16), (np.int64, sitk.sitkInt16),
        (np.float32, sitk.sitkFloat32), (np.float64, sitk.sitkFloat32),
    ],
)  # fmt: skip
def test_values_become_int16_or_float32(stored, read, tmp_path):
    ct = read_ct(write_image(tmp_path / "scan.nrrd", ct_array().astype(stored)))
    assert ct.image.GetPixelID() == read
    assert np.array_equal(voxels(ct), ct_array())


def test_integers_beyond_int16_become_float32(tmp_path):
    array = ct_array().astype(np.int32)
    array[8, 12, 10] = 40_000  # metal
    ct = read_ct(write_image(tmp_path / "scan.nrrd", array))
    assert ct.image.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(voxels(ct), array)


@pytest.mark.parametrize("padding", [-1025, -2000, -3024])
def test_padding_below_air_is_kept(padding, tmp_path):
    array = ct_array()
    array[:, :4] = padding
    assert voxels(read_ct(write_image(tmp_path / "scan.mha", array))).min() == padding


def test_a_windowed_ct_is_still_a_ct(tmp_path):
    assert read_ct(write_image(tmp_path / "scan.mha", ct_array().clip(-160, 240)))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_one_time_point_is_no_fourth_dimension(suffix, tmp_path):
    volume = sitk.GetImageFromArray(ct_array())
    volume.SetSpacing((2, 2, 4))
    volume.SetOrigin((1, 2, 3))
    sitk.WriteImage(sitk.JoinSeries([volume]), str(tmp_path / f"scan{suffix}"))
    if suffix == ".nrrd":  # SimpleITK writes four axes without their meaning
        bad_inputs.edit(tmp_path / "scan.nrrd", b"space dimension: 4", b"space: left-posterior-superior-time")
    assert_same_grid(read_ct(tmp_path / f"scan{suffix}").image, volume)


def test_nifti_rescale_is_applied(tmp_path):
    file = write_image(tmp_path / "scan.nii", (ct_array() + 1000) // 2)
    data = bytearray(file.read_bytes())
    data[112:120] = np.array([2, -1000], "<f4").tobytes()
    file.write_bytes(data)
    assert np.array_equal(voxels(read_ct(file)), ct_array())


def test_nifti_with_qform_alone_is_read(tmp_path):
    file = bad_inputs.nifti_with(tmp_path, sform=0, qform=1, pixdim=(1, 1, 2))
    assert read_ct(file).image.GetSpacing() == (1, 1, 2)
    assert read_ct(bad_inputs.gzip_of(file)).image.GetSpacing() == (1, 1, 2)


# DICOM


@pytest.mark.parametrize(
    "turn",
    [
        np.eye(3),
        np.diag([-1, -1, 1]),  # prone
        np.diag([-1, 1, -1]),  # feet first
        np.diag([1, -1, -1]),
        rotation((0, 0, 1), 90),  # lying on one side
        rotation((0, 0, 1), -90),
        rotation((3, 1, 2), 18),  # oblique
    ],
)
def test_dicom_slices_lie_where_they_were_in_the_patient(turn, tmp_path):
    positions = [turn @ position for position in dicom.slice_positions()]
    orientation = (turn @ np.array([[1, 0], [0, 1], [0, 0]])).T.ravel()
    dicom.write_series(tmp_path, positions, orientation=orientation, field=off_center_body)

    ct = read_ct(tmp_path)

    assert ct.image.GetPixelID() == sitk.sitkInt16
    values, points = voxels(ct), points_of(ct.image)
    near_edge = np.abs(np.linalg.norm(points - OFF_CENTRE, axis=-1)[..., None] - (25, 30)).min(axis=-1) < 1e-3
    assert np.array_equal(values[~near_edge], off_center_body(points)[~near_edge])
    assert np.allclose(ct.image.GetSpacing(), (2.5, 2.5, 6.0))
    assert "axial" in ct.source and "8 slices" in ct.source


def test_slices_are_sorted_by_place_not_by_name(tmp_path):
    order = [5, 2, 7, 0, 3, 6, 1, 4]
    dicom.write_series(tmp_path, [dicom.slice_positions()[index] for index in order], field=off_center_body)
    assert_shows(read_ct(tmp_path), off_center_body)


def test_positions_may_jitter_by_hundredths_of_a_millimeter(tmp_path):
    jitter = np.random.default_rng(3).uniform(-0.03, 0.03, (8, 3))
    dicom.write_series(tmp_path, [p + j for p, j in zip(dicom.slice_positions(), jitter, strict=True)])
    assert np.isclose(read_ct(tmp_path).image.GetSpacing()[2], 6, atol=0.01)


def test_positions_may_be_rounded_to_a_tenth(tmp_path):
    positions = [position.round(1) for position in dicom.slice_positions(40, 0.625)]
    dicom.write_series(tmp_path, positions, field=lambda points: dicom.body(points * 2))
    assert np.isclose(read_ct(tmp_path).image.GetSpacing()[2], 0.625, atol=0.005)


def test_fractional_rescale_gives_float32(tmp_path):
    dicom.write_series(tmp_path, RescaleSlope=0.5, RescaleIntercept=-500)
    ct = read_ct(tmp_path)
    assert ct.image.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(voxels(ct), (dicom.body(points_of(ct.image)) + 1024) / 2 - 500)


def test_each_slice_has_its_own_rescale(tmp_path):
    def shift(index, dataset):
        dataset.RescaleIntercept = -1024 + index
        stored = np.frombuffer(dataset.PixelData, "<i2") - index
        dataset.PixelData = stored.astype("<i2").tobytes()

    dicom.write_series(tmp_path, change=shift)
    assert_shows(read_ct(tmp_path), dicom.body)


def test_dicom_padding_is_kept(tmp_path):
    def pad(_, dataset):
        stored = np.frombuffer(dataset.PixelData, "<i2").reshape(32, 32).copy()
        stored[0] = -2000
        dataset.PixelData = stored.tobytes()

    dicom.write_series(tmp_path, change=pad)
    assert voxels(read_ct(tmp_path)).min() == -3024


def test_compressed_slices_are_read(tmp_path):
    dicom.write_series(tmp_path, change=lambda _, dataset: dataset.compress(RLELossless), field=off_center_body)
    assert_shows(read_ct(tmp_path), off_center_body)


def test_the_axial_series_with_most_slices_is_chosen(tmp_path):
    dicom.write_series(tmp_path, dicom.slice_positions(2), number=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    dicom.write_series(tmp_path / "thick", dicom.slice_positions(6, 8), number=2)
    dicom.write_series(tmp_path / "thin" / "deep", dicom.slice_positions(12, 4), number=3)
    dicom.write_series(tmp_path, coronal_positions(20), orientation=dicom.CORONAL, number=4)
    dicom.write_series(tmp_path, dicom.slice_positions(30, 2), number=5, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    dicom.write_series(tmp_path, dicom.slice_positions(40, 1), number=6, SOPClassUID=SecondaryCaptureImageStorage)
    dicom.write_series(tmp_path, dicom.slice_positions(40, 1), number=7, Modality="MR")
    (tmp_path / "readme.txt").write_text("not DICOM")
    (tmp_path / "._03-0001.dcm").write_bytes(b"left behind by a file manager")

    ct = read_ct(tmp_path)

    assert ct.image.GetSize() == (32, 32, 12)
    chosen, left_out = ct.source.split("; not used: ")
    assert "series 3 (CT axial, 12 images)" in chosen
    assert left_out.split("; ") == [
        "series 1 (CT scout, 2 images)", "series 2 (CT axial, 6 images)", "series 4 (CT coronal, 20 images)",
        "series 5 (derived CT axial, 30 images)", "series 6 (secondary capture, 40 images)", "series 7 (MR, 40 images)",
    ]  # fmt: skip
    assert_anonymous(ct.source)


def test_only_the_ct_series_must_be_of_one_patient_and_examination(tmp_path):
    dicom.write_series(tmp_path)
    others, their_study = dicom.OTHER_PATIENT_ID, generate_uid()
    dicom.write_series(tmp_path, number=4, Modality="MR", PatientID=others, StudyInstanceUID=their_study)
    assert "series 3" in read_ct(tmp_path).source


def test_one_slice_stands_for_its_series_among_those_of_other_patients(tmp_path):
    dicom.write_series(tmp_path, PatientID=dicom.OTHER_PATIENT_ID, number=4)
    assert "series 3" in read_ct(dicom.write_series(tmp_path)[0]).source


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_a_missing_identity_is_that_of_the_others(keyword, tmp_path):
    dicom.write_series(tmp_path, change=lambda i, dataset: delattr(dataset, keyword) if i == 2 else None)
    positions = dicom.slice_positions(6)
    dicom.write_series(tmp_path, positions, number=4, change=lambda _, dataset: setattr(dataset, keyword, ""))
    assert_shows(read_ct(tmp_path), dicom.body)


@pytest.mark.filterwarnings("ignore:.*VR CS")
@pytest.mark.parametrize("modality", [dicom.PATIENT, "DOE JANE", "MRÄ", "M", "X" * 17])
def test_a_modality_that_is_none_is_not_repeated(modality, tmp_path):
    dicom.write_series(tmp_path)
    dicom.write_series(tmp_path, number=4, Modality=modality)
    assert read_ct(tmp_path).source.endswith("; not used: series 4 (other, 8 images)")


@pytest.mark.parametrize(
    "keyword", ["SeriesNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "InstanceNumber"]
)
def test_a_number_declared_as_text_is_not_repeated(keyword, tmp_path):
    def declare(index, dataset):
        text = f"{dicom.PATIENT} {index // 8}" if keyword != "SeriesNumber" else dicom.PATIENT
        dataset.add(DataElement(keyword, "LO", text))

    positions = dicom.slice_positions()
    dicom.write_series(tmp_path, positions if keyword == "SeriesNumber" else positions * 2, change=declare)
    try:
        text = read_ct(tmp_path).source
        assert "series without number" in text
    except InputError as refusal:
        text = str(refusal)
    assert_anonymous(text)


def coronal_positions(count: int) -> list[np.ndarray]:
    return [np.array([-38.75, 2.5 * (index - count / 2), 38.75]) for index in range(count)]


def test_a_scout_inside_the_series_is_left_out(tmp_path):
    uid = generate_uid()
    dicom.write_series(tmp_path, uid=uid)
    dicom.write_series(
        tmp_path, coronal_positions(1), orientation=dicom.CORONAL, uid=uid, first_instance=50,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )  # fmt: skip
    assert_shows(read_ct(tmp_path), dicom.body)


def test_a_coronal_series_is_taken_when_there_is_no_other(tmp_path):
    dicom.write_series(tmp_path, coronal_positions(20), orientation=dicom.CORONAL, field=off_center_body)
    ct = read_ct(tmp_path)
    assert "coronal" in ct.source
    assert_shows(ct, off_center_body)
    assert ct.axial()[0].shape == (32, 20, 32)


def test_a_derived_series_is_taken_when_there_is_no_other(tmp_path):
    dicom.write_series(tmp_path, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    assert "derived" in read_ct(tmp_path).source


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TemporalPositionIdentifier"])
def test_phases_in_one_series_are_told_apart(keyword, tmp_path):
    def phase(index, dataset):
        setattr(dataset, keyword, 1 + index // 8)
        if index >= 8:
            dataset.RescaleIntercept = -1000

    dicom.write_series(tmp_path, dicom.slice_positions() * 2, change=phase)
    ct = read_ct(tmp_path)
    assert_shows(ct, dicom.body)
    assert re.search(r"(acquisition|temporal position) 1 alone", ct.source)


def test_a_file_that_lies_there_twice_counts_once(tmp_path):
    first, *_ = dicom.write_series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes(first.read_bytes())
    assert read_ct(tmp_path).image.GetSize() == (32, 32, 8)


def test_one_slice_stands_for_its_series(tmp_path):
    files = dicom.write_series(tmp_path)
    dicom.write_series(tmp_path, dicom.slice_positions(20, 2), number=9)
    ct = read_ct(files[4])
    assert ct.image.GetSize() == (32, 32, 8)
    assert "not used" not in ct.source


@pytest.mark.parametrize("intercepts", [None, [-1024] * 8], ids=["shared rescale", "rescale in every frame"])
def test_enhanced_multi_frame_ct(intercepts, tmp_path):
    file = dicom.write_enhanced(
        tmp_path / "scan.dcm", dicom.slice_positions()[::-1], field=off_center_body, intercepts=intercepts
    )
    dicom.write_enhanced(tmp_path / "other.dcm", dicom.slice_positions(6))
    for path in (file, tmp_path):
        ct = read_ct(path)
        assert ct.image.GetSize() == (32, 32, 8)
        assert_shows(ct, off_center_body)
        assert_anonymous(ct.source)


# Gantry tilt


def write_tilted(folder, field, degrees: float = 20, count: int = 40, **elements) -> None:
    """Slices tilted about the patient's left-right axis while the table moves along the long axis."""
    turn = rotation((1, 0, 0), degrees)
    first = turn @ np.array([-50.0, -50.0, 0])
    positions = [first + (0, 0, 3.0 * (index - (count - 1) / 2)) for index in range(count)]
    orientation = np.concatenate([turn[:, 0], turn[:, 1]])
    dicom.write_series(folder, positions, orientation=orientation, size=51, pixel=2.0, field=field, **elements)


@pytest.mark.parametrize("degrees", [-25, 8, 20])
def test_a_tilted_scan_comes_back_upright_and_exact(degrees, tmp_path):
    write_tilted(tmp_path, ramp, degrees)

    ct = read_ct(tmp_path)

    assert f"gantry tilt of {abs(degrees):.1f}° corrected" in ct.source
    assert np.allclose(np.reshape(ct.image.GetDirection(), (3, 3)), np.eye(3), atol=1e-6)
    assert np.allclose(ct.image.GetSpacing(), (2, 2, 3))
    values = voxels(ct)
    scanned = values > -1024
    assert 0.6 < scanned.mean() < 1
    within = binary_erosion(scanned)  # at the rim there is nothing to interpolate with
    assert np.allclose(values[within], ramp(points_of(ct.image))[within], atol=1)


@pytest.mark.parametrize(
    "solid",
    [
        lambda points: np.linalg.norm(points - OFF_CENTRE, axis=-1) < 24,
        lambda points: np.all(np.abs(points - OFF_CENTRE) < (20, 15, 25), axis=-1),
    ],
    ids=["ball", "box"],
)
def test_a_solid_in_a_tilted_scan_keeps_its_place_and_size(solid, tmp_path):
    write_tilted(tmp_path, lambda points: np.where(solid(points), 40.0, -1000.0))

    ct = read_ct(tmp_path)

    points, inside = points_of(ct.image), voxels(ct) > -480
    half_a_voxel = np.array(ct.image.GetSpacing()) / 2
    assert np.all(np.abs(points[inside].mean(axis=0) - OFF_CENTRE) < half_a_voxel / 2)
    for bound in (np.min, np.max):
        expected, found = bound(points[solid(points)], axis=0), bound(points[inside], axis=0)
        assert np.all(np.abs(found - expected) <= 2 * half_a_voxel)
    assert np.isclose(inside.sum(), solid(points).sum(), rtol=0.03)


def test_a_tilt_in_the_header_alone_is_told_not_corrected(tmp_path):
    dicom.write_series(tmp_path, GantryDetectorTilt=15)
    ct = read_ct(tmp_path)
    assert "taken as corrected by the scanner" in ct.source
    assert_shows(ct, dicom.body)


# Packed files


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"a" * 3_000_000) + gzip.compress(b"b" * 10),
        gzip.compress(b"a") + bytes(3 << 20) + gzip.compress(b"b"),
        gzip.compress(b"a") + bytes(3 << 20),
        gzip.compress(np.random.default_rng(0).bytes(5 << 20)),
    ],
    ids=["two members", "much padding between", "padding at the end", "several blocks"],
)
def test_packed_files_are_unpacked_as_by_python(packed, tmp_path):
    (tmp_path / "file.gz").write_bytes(packed)
    with (tmp_path / "file.gz").open("rb") as stored:
        found = io.BufferedReader(file_headers._Unpacked(stored)).read()
    assert found == gzip.decompress(packed)


@pytest.mark.parametrize("damage", ["cut", "checksum"])
def test_damage_of_packed_files_is_found(damage, tmp_path):
    packed = bytearray(gzip.compress(np.random.default_rng(0).bytes(3 << 20)))
    if damage == "cut":
        packed = packed[:-9]
    else:
        packed[-8] ^= 1
    (tmp_path / "file.gz").write_bytes(packed)
    with (tmp_path / "file.gz").open("rb") as stored, pytest.raises((EOFError, zlib.error)):
        io.BufferedReader(file_headers._Unpacked(stored)).read()
