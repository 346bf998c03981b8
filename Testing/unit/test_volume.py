"""Axis order and grid: labels must come back on exactly the voxels they were drawn on."""

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.volume import CTVolume, LabelVolume, same_grid

SIZE, SPACING, ORIGIN = (5, 6, 7), (0.7, 0.9, 2.5), (-120.5, 33.25, 810.0)

AXIS_DIRECTIONS = [
    np.eye(3)[:, order] * signs for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]
"""All 48 ways to lay image axes along the patient's, left-handed ones included."""


def rotation(axis, degrees: float) -> np.ndarray:
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


TURNS = {
    "upright": np.eye(3),
    "oblique": rotation((1, 2, -3), 25),
    "exactly 45 degrees": rotation((1, 0, 0), 45),
    "45 degrees about two axes": rotation((1, 0, 0), 45) @ rotation((0, 0, 1), 45),
    "cosines of one length": rotation((1, 1, 1), 60),
}


def grid(direction: np.ndarray) -> sitk.Image:
    """A CT whose voxels are all different."""
    image = sitk.GetImageFromArray(np.arange(np.prod(SIZE), dtype=np.int16).reshape(SIZE[::-1]))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(direction.ravel())
    return image


def points_of(image: sitk.Image) -> np.ndarray:
    """LPS position of every voxel, ``(z, y, x, 3)``."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in image.GetSize()[::-1]), indexing="ij"), axis=-1)[..., ::-1]
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return indices @ matrix.T + image.GetOrigin()


def axial_points(image: sitk.Image) -> np.ndarray:
    """LPS positions in the order of the axial array, found by the values, which are indices."""
    axial, _ = CTVolume(image, "").axial()
    return points_of(image).reshape(-1, 3)[axial]


def assert_same_grid(one: sitk.Image, other: sitk.Image) -> None:
    for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(one, what)() == getattr(other, what)()


@pytest.mark.parametrize("direction", AXIS_DIRECTIONS)
def test_axial_array_grows_to_left_posterior_superior(direction):
    points = axial_points(grid(direction))
    _, spacing = CTVolume(grid(direction), "").axial()
    for array_axis, side in ((2, 0), (1, 1), (0, 2)):
        steps = np.diff(points, axis=array_axis)
        expected = np.zeros(3)
        expected[side] = spacing[array_axis]
        assert np.allclose(steps, expected)


@pytest.mark.parametrize("direction", AXIS_DIRECTIONS)
def test_oblique_axial_array_grows_mostly_to_left_posterior_superior(direction):
    points = axial_points(grid(TURNS["oblique"] @ direction))
    for array_axis, side in ((2, 0), (1, 1), (0, 2)):
        step = np.diff(points, axis=array_axis)[0, 0, 0]
        assert step[side] == np.abs(step).max()


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("direction", AXIS_DIRECTIONS)
def test_labels_return_to_the_voxels_they_were_drawn_on(direction, turn):
    image = grid(TURNS[turn] @ direction)
    ct = CTVolume(image, "")
    axial, axial_spacing = ct.axial()

    labels = LabelVolume.from_axial(axial % 251, ct, RENAL)

    assert_same_grid(labels.image, image)
    assert labels.image.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(sitk.GetArrayFromImage(labels.image), sitk.GetArrayFromImage(image) % 251)
    back, back_spacing = labels.axial()
    assert np.array_equal(back, axial % 251)
    assert back_spacing == axial_spacing


def test_axis_order_at_45_degrees_survives_the_last_digit_of_a_header():
    exact = TURNS["exactly 45 degrees"]
    rounded = np.round(exact, 8)
    assert np.array_equal(CTVolume(grid(exact), "").axial()[0], CTVolume(grid(rounded), "").axial()[0])


@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1.0, -1.0, 1.0])], ids=["as stored", "flipped"])
def test_axial_array_is_made_once_and_cannot_be_changed(direction):
    ct = CTVolume(grid(direction), "")
    array, _ = ct.axial()
    assert ct.axial()[0] is array
    with pytest.raises(ValueError, match="read-only"):
        array[:] = 0


def test_axial_array_outlives_its_volume():
    """It may hold the image's own voxels."""
    array, _ = CTVolume(grid(np.eye(3)), "").axial()
    expected = sitk.GetArrayFromImage(grid(np.eye(3)))
    trash = [grid(np.eye(3)) * 0 + 7 for _ in range(20)]  # what takes the freed memory
    np.testing.assert_array_equal(array, expected)
    assert len(trash) == 20


def test_labels_of_another_shape_are_refused():
    ct = CTVolume(grid(AXIS_DIRECTIONS[9]), "")
    axial, _ = ct.axial()
    with pytest.raises(ValueError, match="do not fit"):
        LabelVolume.from_axial(axial[:-1], ct, RENAL)


def test_same_grid_forgives_the_rounding_of_a_header():
    one, other = grid(TURNS["oblique"]), grid(TURNS["oblique"])
    other.SetOrigin(np.add(ORIGIN, 5e-4))
    other.SetSpacing(np.array(SPACING, np.float32).astype(float))
    assert same_grid(one, other)


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("SetOrigin", (-120.5, 33.25, 810.1)),
        ("SetSpacing", (0.7, 0.9, 2.51)),
        ("SetDirection", rotation((0, 0, 1), 0.5).ravel()),
    ],
)
def test_another_place_is_another_grid(what, value):
    other = grid(np.eye(3))
    getattr(other, what)(value)
    assert not same_grid(grid(np.eye(3)), other)


def test_another_size_is_another_grid():
    assert not same_grid(grid(np.eye(3)), grid(np.eye(3))[:, :, 1:])
    assert not same_grid(grid(np.eye(3)), grid(np.eye(3))[:, :, 0])
