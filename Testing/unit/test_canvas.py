"""Body mask, canvas and normalization on analytic abdomens."""

import numpy as np
import pytest
import SimpleITK as sitk
from abdomens import AIR, TISSUE, abdomen

from PediatricRenalSegLib.body import body_mask
from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.models.normalization import Normalization
from PediatricRenalSegLib.pipelines.canvas import (
    DEFAULT_CANVAS,
    MARGIN,
    CanvasGrid,
    canvas_grid,
    on_canvas,
    preprocess,
    resample_back,
    resample_slices,
    resampling_matrix,
)
from PediatricRenalSegLib.volume import AIR_HU, CTVolume

CANVAS, PIXEL_MM = DEFAULT_CANVAS.size, DEFAULT_CANVAS.pixel_mm
NORMALIZATION = Normalization(low=-100.0, high=300.0, mean=50.0, std=80.0)
SPACING = (5.0, 1.0, 1.0)
SHAPE = (6, 200, 240)
SUBPIXEL_MM = 0.1


def body():
    return abdomen(SHAPE, SPACING, half_width=80, half_depth=60).image


def rows_columns(array):
    return np.ogrid[: array.shape[1], : array.shape[2]]


def wrong_share(mask, truth):
    """Misjudged voxels as a part of the true ones."""
    return (mask ^ truth).sum() / truth.sum()


# Body mask


def test_mask_is_the_body():
    image = body()
    assert wrong_share(body_mask(image, SPACING), image > -500) < 0.03


def test_mask_leaves_out_table_and_detached_arm():
    image = body()
    truth = image > -500
    y, x = rows_columns(image)
    table = (y >= 166) & (y < 171) & (x > 20) & (x < 220)
    arm = (y - 100) ** 2 + (x - 221) ** 2 <= 14**2
    image[:, table | arm] = TISSUE
    mask = body_mask(image, SPACING)
    assert not mask[:, table | arm].any()
    assert wrong_share(mask, truth) < 0.03


def test_mask_cuts_a_table_that_touches():
    """A thin table top under the body is opened away."""
    image = body()
    y, x = rows_columns(image)
    table = (y >= 160) & (y < 163) & (x > 10) & (x < 230)
    image[:, table] = TISSUE
    mask = body_mask(image, SPACING)
    far = np.broadcast_to(table & (np.abs(x - 120) > 60), mask.shape)
    assert not mask[far].any()


def test_mask_fills_gas():
    image = body()
    y, x = rows_columns(image)
    gas = (y - 90) ** 2 + (x - 130) ** 2 <= 15**2
    image[:, gas] = AIR
    assert body_mask(image, SPACING)[:, gas].all()


@pytest.mark.parametrize("value", [-1024, -1000, -400])
def test_no_body_is_refused(value):
    with pytest.raises(InputError, match="No body"):
        body_mask(np.full(SHAPE, value, np.int16), SPACING)


@pytest.mark.parametrize("pixel", [(0.5, 0.5), (0.8, 1.6), (1.7, 0.9)])
def test_mask_in_any_pixel_size(pixel):
    spacing = (5.0, *pixel)
    shape = (5, int(170 / pixel[0]), int(200 / pixel[1]))
    image = abdomen(shape, spacing).image
    mask = body_mask(image, spacing)
    assert mask.shape == shape
    assert wrong_share(mask, image > -500) < 0.05


def disc(shape, center, radius):
    """A round body, in pixels."""
    y, x = np.ogrid[: shape[1], : shape[2]]
    inside = ((y - center[0]) / radius[0]) ** 2 + ((x - center[1]) / radius[1]) ** 2 <= 1
    return np.broadcast_to(np.where(inside, TISSUE, AIR).astype(np.int16), shape)


@pytest.mark.parametrize("pixel", [0.35, 0.5, 0.7, 0.95])
def test_mask_of_a_symmetric_body_is_symmetric(pixel):
    side = round(100 / pixel / 12) * 12  # whole blocks at each of these pixel sizes
    shape = (3, side, side)
    mask = body_mask(disc(shape, ((side - 1) / 2,) * 2, (25 / pixel, 35 / pixel)), (5.0, pixel, pixel))
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    np.testing.assert_array_equal(mask, mask[:, :, ::-1])


@pytest.mark.parametrize("pixel", [0.35, 0.5, 0.7, 0.95])
def test_mask_is_not_shifted(pixel):
    """Wherever the body lies among the blocks, and whatever the size of the image."""
    side, shifts = round(100 / pixel) | 1, []
    for offset in range(6):
        center = side / 2 + np.array([offset, -offset])
        image = disc((1, side, side), center, (25 / pixel, 35 / pixel))
        mask = body_mask(image, (5.0, pixel, pixel))
        assert mask.shape == image.shape
        shifts.append(np.mean(np.nonzero(mask), axis=1)[1:] - np.mean(np.nonzero(image > AIR), axis=1)[1:])
    assert np.abs(np.mean(shifts, axis=0) * pixel).max() < 0.05


@pytest.mark.parametrize("size", range(200, 206))
@pytest.mark.parametrize("edge", [0, -1])
def test_mask_reaches_the_edge_of_any_size(size, edge):
    """A body cut by the border of the image is kept up to the last pixel."""
    shape = (2, size, size + 1)
    middle = size // 2
    corner = disc(shape, (size * -edge, (size + 1) * -edge), (150, 150))
    mask = body_mask(corner, (5.0, 0.35, 0.35))
    assert mask.shape == shape
    assert mask[:, edge, middle].all() and mask[:, middle, edge].all()


# Canvas


def body_box(width_mm, height_mm, spacing=SPACING, shape=(5, 500, 500)):
    mask = np.zeros(shape, bool)
    rows, columns = round(height_mm / spacing[1]), round(width_mm / spacing[2])
    mask[:, 20 : 21 + rows, 40 : 41 + columns] = True
    return mask


def test_common_pixel_size_for_children():
    grid = canvas_grid(body_box(180, 120), SPACING, DEFAULT_CANVAS)
    assert (grid.size, grid.pixel_mm) == (CANVAS, PIXEL_MM)


def test_coarser_pixels_where_a_big_body_would_not_fit():
    grid = canvas_grid(body_box(400, 250), SPACING, DEFAULT_CANVAS)
    assert grid.pixel_mm == pytest.approx(MARGIN * 400 / CANVAS)


@pytest.mark.parametrize("spacing", [(5.0, 1.0, 1.0), (3.0, 0.5, 2.0)])
def test_canvas_is_centered_on_the_body(spacing):
    mask = body_box(180, 120, spacing)
    grid = canvas_grid(mask, spacing, DEFAULT_CANVAS)
    for axis, (start, extent) in enumerate([(20 * spacing[1], 120), (40 * spacing[2], 180)]):
        assert grid.centers_mm(axis).mean() == pytest.approx(start + extent / 2)


def blob(axis_y, axis_x, center, sigma=8.0):
    squares = ((axis_y[:, None] - center[0]) ** 2 + (axis_x - center[1]) ** 2) / sigma**2
    return np.exp(-squares / 2)


def centroid_mm(image, axis_y, axis_x):
    return np.array([(image.sum(1) * axis_y).sum(), (image.sum(0) * axis_x).sum()]) / image.sum()


@pytest.mark.parametrize("spacing", [(5.0, 0.4, 0.4), (5.0, 1.0, 1.0), (5.0, 2.3, 2.3), (5.0, 0.7, 1.9)])
@pytest.mark.parametrize("pixel_mm", [1.0, 1.4])
def test_round_trip_is_sub_pixel(spacing, pixel_mm):
    shape = (2, int(180 / spacing[1]), int(200 / spacing[2]))
    grid = CanvasGrid(CANVAS, pixel_mm, (-40.3, -29.8), shape, spacing)
    center = (88.37, 101.21)
    axes = grid.axial_centers_mm(0), grid.axial_centers_mm(1)
    canvas_axes = grid.centers_mm(0), grid.centers_mm(1)
    image = np.stack([blob(*axes, center)] * 2)
    canvas = resample_slices(image, grid, outside=0)
    back = resample_back(canvas, grid, outside=0)
    assert canvas.shape == (2, CANVAS, CANVAS) and back.shape == shape
    assert np.abs(centroid_mm(canvas[1], *canvas_axes) - center).max() < SUBPIXEL_MM
    assert np.abs(centroid_mm(back[1], *axes) - center).max() < SUBPIXEL_MM
    assert np.abs(back - image).max() < 0.1


def test_resample_back_takes_classes():
    grid = CanvasGrid(CANVAS, 1.0, (0.0, 0.0), (3, 40, 50), (5.0, 2.0, 2.0))
    canvas = np.random.default_rng(0).random((2, CANVAS, CANVAS)).astype(np.float32)
    together = resample_back(canvas, grid, outside=0)
    assert together.shape == (2, 40, 50)
    np.testing.assert_array_equal(together[1], resample_back(canvas[1], grid, outside=0))


def test_coarser_target_is_antialiased():
    """A grating finer than the target's pixels must vanish, not turn into a coarse one."""
    source, target = 0.4 * np.arange(500), 1.0 * np.arange(5, 190)
    grating = np.sin(2 * np.pi * source / 0.9)
    assert np.abs(np.interp(target, source, grating)).max() > 0.6
    assert np.abs(resampling_matrix(source, target) @ grating).max() < 0.2


def test_finer_target_is_interpolated_linearly():
    source, target = 2.0 * np.arange(20), 0.5 * np.arange(70)
    values = np.random.default_rng(0).random(20)
    np.testing.assert_allclose(resampling_matrix(source, target) @ values, np.interp(target, source, values), atol=1e-6)


def test_outside_the_image_is_air():
    array = body()
    mask = body_mask(array, SPACING)
    grid = canvas_grid(mask, SPACING, DEFAULT_CANVAS)
    hu, _ = on_canvas(array, mask, grid)
    beyond = grid.centers_mm(0) < -SPACING[1]
    assert beyond.any() and (hu[:, beyond] == AIR_HU).all()


# The whole stage


def test_normalization():
    hu = np.array([-1024, -100, 50, 130, 300, 3000])
    np.testing.assert_allclose(NORMALIZATION(hu), [-1.875, -1.875, 0, 1, 3.125, 3.125])
    assert NORMALIZATION(hu).dtype == np.float32
    assert NORMALIZATION.air == -1.875


def test_preprocess_shows_air_outside_the_body():
    volume = abdomen(SHAPE, SPACING).image
    y, x = rows_columns(volume)
    volume[:, (y >= 166) & (y < 171) & (x > 20) & (x < 220)] = TISSUE
    stack = stack_of(volume)
    assert stack.images.shape == stack.masks.shape == (SHAPE[0], CANVAS, CANVAS)
    assert stack.images.dtype == np.float32 and stack.masks.dtype == np.uint8
    np.testing.assert_allclose(stack.images[stack.masks == 0], NORMALIZATION.air, rtol=1e-6)
    inside = stack.images[:, CANVAS // 2 - 5 : CANVAS // 2 + 5, CANVAS // 2 - 5 : CANVAS // 2 + 5]
    assert inside.mean() == pytest.approx((TISSUE - NORMALIZATION.mean) / NORMALIZATION.std, abs=0.05)


def test_padding_below_air_does_no_harm():
    volume = abdomen(SHAPE, SPACING).image
    padded = np.where(volume == AIR, -3024, volume).astype(np.int16)
    plain, other = map(stack_of, (volume, padded))
    assert wrong_share(other.masks > 0, plain.masks > 0) < 0.03


def stack_of(array):
    ct = CTVolume(to_image(array), "phantom")
    return preprocess(ct, body_mask(*ct.axial()), DEFAULT_CANVAS, NORMALIZATION)


def to_image(array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    return image
