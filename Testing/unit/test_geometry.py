"""The shipped pipeline from file to label map in every orientation of the same child.

Turning a volume's array together with its direction changes nothing about the patient, so the label map must
turn with it, voxel by voxel. Every orientation goes the whole way from a file to a file; the network runs again
only if it gets other slices than before.
"""

from dataclasses import replace
from itertools import count, permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tiny_models import shipped_model

from PediatricRenalSegLib.case import segment
from PediatricRenalSegLib.export.labelmap import structure_labels
from PediatricRenalSegLib.pipelines.slicewise import SlicewisePipeline
from PediatricRenalSegLib.reading import read_ct
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.synthetic import training_scan

AGE_YEARS, SLICES, MATRIX = 1.5, 24, 160
OBLONG = 0.7
"""Part of the pixels along y that the child keeps: a swap of x and y must not go unseen."""
FOUND_SHARE, SWAPPED_SHARE = 0.3, 0.1
ORIGIN = (31.5, -120.25, 806.0)
ORIENTATIONS = list(product(permutations(range(3)), product((1, -1), repeat=3)))
OBLIQUE = {
    "turned": sitk.VersorTransform((0.2, -0.5, 0.84), 0.3).GetMatrix(),
    "left-handed": tuple(
        np.ravel(np.reshape(sitk.VersorTransform((1, 0.4, 0.1), 0.25).GetMatrix(), (3, 3)) @ np.diag([1, 1, -1]))
    ),
}
RIGHT, LEFT, TUMOR = (segment.value for segment in RENAL.segments)


class RememberingNetwork(torch.nn.Module):
    """A network that runs again only for slices that it has not seen."""

    def __init__(self, network):
        super().__init__()
        self.network, self.known = network, {}

    def forward(self, images, masks):
        key = images.numpy().tobytes() + masks.numpy().tobytes()
        if key not in self.known:
            self.known[key] = self.network(images, masks)
        return self.known[key]


class Patient:
    """A CT in axial order with its true segments, and the memory of what the network said about it."""

    def __init__(self, image, truth):
        self.image, self.truth = image, truth
        model = shipped_model()
        remembering = replace(model, network=RememberingNetwork(model.network))
        self.pipeline = SlicewisePipeline(remembering, torch.device("cpu"))
        self.labels = None

    def segment(self, path):
        """Label volume of a CT file."""
        return segment(read_ct(path), self.pipeline).labels


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The first small generated child with both kidneys and a tumor, segmented in axial order."""
    scans = (training_scan(AGE_YEARS, seed, SLICES, MATRIX) for seed in count())
    child = next(scan for scan in scans if len(np.unique(scan.labels)) == 1 + len(RENAL.segments))
    image, truth = child.to_sitk()
    grid = sitk.Image(MATRIX, int(MATRIX * OBLONG), SLICES, sitk.sitkUInt8)
    across, down, up = image.GetSpacing()
    grid.SetSpacing((across, down / OBLONG, up))
    image = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, -1024)
    image.SetOrigin(ORIGIN)
    truth = sitk.Resample(truth, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    patient = Patient(image, sitk.GetArrayFromImage(truth))
    path = write(image, tmp_path_factory.mktemp("axial") / "ct.nrrd")
    patient.labels = sitk.GetArrayFromImage(patient.segment(path).image)
    return patient


def write(image, path):
    sitk.WriteImage(image, str(path))
    return path


def turned(image, axes, signs):
    """The same patient stored with other axes: ``axes`` are the old axes in their new order, then flips."""
    image = sitk.PermuteAxes(image, axes)
    return sitk.Flip(image, [sign < 0 for sign in signs], False)


def turned_array(array, axes, signs):
    """What ``turned`` does to the array ``(z, y, x)``."""
    order = [2 - axes[2 - position] for position in range(3)]
    return array.transpose(order)[tuple(slice(None, None, sign) for sign in reversed(signs))]


def assert_same_grid(found, expected, tolerance=0.0):
    assert found.GetSize() == expected.GetSize()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        actual, desired = (getattr(image, name)() for image in (found, expected))
        np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance, err_msg=name)


def assert_right_is_right(labels):
    """In LPS the patient's right has the smaller x."""
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(labels)
    assert shapes.GetCentroid(RIGHT)[0] < shapes.GetCentroid(LEFT)[0]


def test_both_kidneys_are_found_on_their_sides(patient):
    """Otherwise the tests below compare empty label maps."""
    for value, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
        found, true = patient.labels == value, patient.truth == value
        assert (found & true).sum() > FOUND_SHARE * true.sum()
        assert (found & (patient.truth == other)).sum() < SWAPPED_SHARE * found.sum()


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS, ids=str)
def test_orientation(patient, tmp_path, axes, signs):
    path = write(turned(patient.image, axes, signs), tmp_path / "ct.nrrd")
    labels = patient.segment(path).image
    assert_same_grid(labels, sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), turned_array(patient.labels, axes, signs))
    assert_right_is_right(labels)


@pytest.mark.parametrize("direction", OBLIQUE)
def test_oblique(patient, tmp_path, direction):
    image = sitk.Image(patient.image)
    image.SetDirection(OBLIQUE[direction])
    path = write(image, tmp_path / "ct.nrrd")
    labels = patient.segment(path).image
    assert_same_grid(labels, sitk.ReadImage(str(path)))
    assert_right_is_right(labels)
    if direction == "turned":  # the left-handed one has the feet at the head's end: another patient
        np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), patient.labels)


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_label_map_file_lies_on_the_ct_file(patient, tmp_path, ending):
    """A left-handed orientation through each file format."""
    path = write(turned(patient.image, (1, 2, 0), (1, -1, -1)), tmp_path / f"ct.{ending}")
    sitk.WriteImage(structure_labels(patient.segment(path)), str(tmp_path / "labelmap.nii.gz"))
    written, ct = (sitk.ReadImage(str(file)) for file in (tmp_path / "labelmap.nii.gz", path))
    assert_same_grid(written, ct, tolerance=1e-4)
    expected = turned_array(patient.labels, (1, 2, 0), (1, -1, -1)) > 0
    share = ((sitk.GetArrayFromImage(written) > 0) ^ expected).mean()
    assert share < 1e-4, "float32 headers may move a borderline voxel, no more"
