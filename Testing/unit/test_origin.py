"""A CT remembers which DICOM image each of its slices came from; nothing of it is written unasked."""

import gzip
from pathlib import Path

import dicom_files as dicom
import numpy as np
import pydicom
import pytest
from abdomens import abdomen
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage
from tiny_models import write_model

from PediatricRenalSegLib.case import segment_case
from PediatricRenalSegLib.export.writers import WRITERS
from PediatricRenalSegLib.reading import read_ct
from PediatricRenalSegLib.volume import CTVolume, Instance


def place_of_slice(ct: CTVolume, index: int) -> tuple[float, ...]:
    """LPS mm of the first voxel of a slice."""
    return ct.image.TransformIndexToPhysicalPoint((0, 0, index))


def read(instance: Instance) -> pydicom.Dataset:
    return pydicom.dcmread(instance.file)


@pytest.mark.parametrize("order", ["feet first", "head first", "shuffled"])
def test_each_slice_has_the_image_that_lies_where_it_does(order, tmp_path):
    positions = dicom.slice_positions(count=12)
    if order == "head first":
        positions = positions[::-1]
    if order == "shuffled":
        np.random.default_rng(0).shuffle(positions)
    dicom.write_series(tmp_path, positions)
    ct = read_ct(tmp_path)
    assert ct.origin and len(ct.origin.instances) == ct.image.GetDepth() == 12
    assert set(ct.origin.files) == set(tmp_path.iterdir())
    for index, instance in enumerate(ct.origin.instances):
        dataset = read(instance)
        assert tuple(dataset.ImagePositionPatient) == pytest.approx(place_of_slice(ct, index), abs=1e-3)
        assert (instance.sop_class_uid, instance.sop_instance_uid) == (CTImageStorage, dataset.SOPInstanceUID)
        assert instance.frame == 0


def test_images_of_other_series_are_not_among_them(tmp_path):
    wanted = dicom.write_series(tmp_path, dicom.slice_positions(count=12), number=2)
    dicom.write_series(tmp_path, dicom.slice_positions(count=6), number=7)
    ct = read_ct(tmp_path)
    assert ct.origin and set(ct.origin.files) == {instance.file for instance in ct.origin.instances} == set(wanted)


def test_frames_of_an_enhanced_file(tmp_path):
    positions = dicom.slice_positions(count=9)
    file = dicom.write_enhanced(tmp_path / "ct.dcm", positions[::-1])
    ct = read_ct(file)
    assert ct.origin and ct.origin.files == (file,)
    uid = pydicom.dcmread(file).SOPInstanceUID
    assert {instance.sop_instance_uid for instance in ct.origin.instances} == {uid}
    assert {instance.sop_class_uid for instance in ct.origin.instances} == {EnhancedCTImageStorage}
    for index, instance in enumerate(ct.origin.instances):
        assert positions[::-1][instance.frame] == pytest.approx(place_of_slice(ct, index), abs=1e-3)


def test_a_scan_that_was_resampled_names_its_files_alone(tmp_path):
    """Its slices lie on a grid of their own: no image belongs to one of them."""
    angle = np.radians(20)
    tilted = (1.0, 0.0, 0.0, 0.0, np.cos(angle), -np.sin(angle))
    files = dicom.write_series(tmp_path, dicom.slice_positions(count=30, spacing=3.0), orientation=tilted)
    ct = read_ct(tmp_path)
    assert "gantry tilt" in ct.source and ct.origin
    assert ct.origin.instances == () and set(ct.origin.files) == set(files)


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_a_file_is_its_own_origin(ending, tmp_path):
    file = abdomen(shape=(8, 64, 64), spacing=(8.0, 3.0, 3.0)).write(tmp_path / f"ct.{ending}")
    ct = read_ct(file)
    assert ct.origin and ct.origin.files == (file,) and ct.origin.instances == ()


@pytest.mark.slow
def test_nothing_of_it_is_written(tmp_path):
    """Neither UIDs nor names of files: both lead back to the patient in a hospital's archive."""
    files = dicom.write_series(tmp_path / "Doe Jane", dicom.slice_positions(count=12))
    dataset = pydicom.dcmread(files[0])
    words = ["Doe", files[0].name, dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID]
    model = write_model(tmp_path / "model.pt")
    segment_case(tmp_path / "Doe Jane", tmp_path / "out", str(model), "cpu", writers=list(WRITERS))
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) >= 5
    for path in written:
        assert found_in(path, words) == [], path.name


def found_in(path: Path, words: list[str]) -> list[str]:
    content = path.read_bytes()
    content += gzip.decompress(content) if path.suffix == ".gz" else b""
    return [word for word in words if word.encode() in content]
