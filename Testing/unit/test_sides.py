"""Components, sides and pieces on a 2 mm phantom of 160 x 100 x 80 voxels (x, y, z)."""

from functools import partial

import numpy as np
import pytest

from PediatricRenalSegLib.checks import PART_REMOVED, SIDE_UNCERTAIN, SPLIT_AT_MIDLINE
from PediatricRenalSegLib.organs.sides import split_segments
from PediatricRenalSegLib.structures import RENAL

SPACING = (2.0, 2.0, 2.0)
SHAPE = (80, 100, 160)
MIDLINE = 80
KIDNEY, TUMOR = 1, 2
RIGHT, LEFT, MASS = (segment.value for segment in RENAL.segments)


split = partial(split_segments, structures=RENAL)


def phantom():
    """Empty labels, and a body of 240 mm width around ``MIDLINE``."""
    labels = np.zeros(SHAPE, np.uint8)
    body = np.zeros(SHAPE, bool)
    body[:, 15:85, MIDLINE - 60 : MIDLINE + 61] = True
    return labels, body


def ellipsoid(labels, value, x, z=40, y=50, radii=(24, 12, 12)):
    """Paint an ellipsoid; center in voxels, radii ``(z, y, x)`` in voxels."""
    grid = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    distance = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, (z, y, x), radii, strict=True))
    labels[distance <= 1] = value
    return distance <= 1


def test_sides_follow_the_patient():
    labels, body = phantom()
    right, left = ellipsoid(labels, KIDNEY, MIDLINE - 30), ellipsoid(labels, KIDNEY, MIDLINE + 30)
    segments, notes, warnings = split(labels, body, SPACING)
    assert segments.dtype == np.uint8 and notes == warnings == []
    assert (segments[right] == RIGHT).all() and (segments[left] == LEFT).all()


@pytest.mark.parametrize(("x", "value"), [(MIDLINE - 15, RIGHT), (MIDLINE + 15, LEFT)])
def test_only_kidney_takes_its_side_from_the_midline(x, value):
    labels, body = phantom()
    kidney = ellipsoid(labels, KIDNEY, x)
    segments, *_ = split(labels, body, SPACING)
    assert set(np.unique(segments)) == {0, value} and (segments[kidney] == value).all()


def test_midline_is_that_of_the_body_not_of_the_array():
    labels, body = phantom()
    body = np.roll(body, 15, axis=2)
    ellipsoid(labels, KIDNEY, MIDLINE + 5)
    segments, *_ = split(labels, body, SPACING)
    assert set(np.unique(segments)) == {0, RIGHT}


def test_only_kidney_across_the_midline_is_one_organ():
    labels, body = phantom()
    ellipsoid(labels, KIDNEY, MIDLINE + 2)
    segments, notes, warnings = split(labels, body, SPACING)
    assert set(np.unique(segments)) == {0, LEFT} and notes == warnings == []


@pytest.mark.parametrize("sign", [1, -1])
def test_tumor_pushes_a_kidney_across_the_midline(sign):
    labels, body = phantom()
    pushed = ellipsoid(labels, KIDNEY, MIDLINE + sign * 8, radii=(24, 12, 9))
    ellipsoid(labels, TUMOR, MIDLINE - sign * 36, radii=(36, 30, 34))
    labels[pushed] = KIDNEY
    other = ellipsoid(labels, KIDNEY, MIDLINE + sign * 40)
    segments, notes, warnings = split(labels, body, SPACING)
    expected = (RIGHT, LEFT) if sign > 0 else (LEFT, RIGHT)
    assert (segments[pushed] == expected[0]).all() and (segments[other] == expected[1]).all()
    assert [warning.code for warning in warnings] == [SIDE_UNCERTAIN] and notes == []


def test_horseshoe_is_split_at_the_midline():
    labels, body = phantom()
    ellipsoid(labels, KIDNEY, MIDLINE - 28), ellipsoid(labels, KIDNEY, MIDLINE + 28)
    labels[18:26, 46:54, MIDLINE - 28 : MIDLINE + 29] = KIDNEY
    segments, notes, warnings = split(labels, body, SPACING)
    right, left = segments[..., :MIDLINE], segments[..., MIDLINE:]
    assert set(np.unique(right)) == {0, RIGHT} and set(np.unique(left)) == {0, LEFT}
    assert ((segments > 0) == (labels > 0)).all()
    assert [warning.code for warning in warnings] == [SPLIT_AT_MIDLINE] and notes == []


def test_pieces_of_a_divided_kidney_stay_and_distant_ones_go():
    labels, body = phantom()
    upper = ellipsoid(labels, KIDNEY, MIDLINE - 30, z=60, radii=(10, 10, 10))
    lower = ellipsoid(labels, KIDNEY, MIDLINE - 32, z=20, radii=(8, 10, 10))
    ellipsoid(labels, TUMOR, MIDLINE - 34, z=39, radii=(12, 16, 16))
    labels[upper] = labels[lower] = KIDNEY
    left = ellipsoid(labels, KIDNEY, MIDLINE + 30)
    distant = ellipsoid(labels, KIDNEY, MIDLINE + 30, z=40, y=80, radii=(4, 4, 6))
    segments, notes, warnings = split(labels, body, SPACING)
    assert (segments[upper] == RIGHT).all() and (segments[lower] == RIGHT).all()
    assert (segments[left] == LEFT).all() and not segments[distant].any()
    assert [warning.code for warning in warnings] == [PART_REMOVED] and notes == []
    assert warnings[0].text.startswith(f"{distant.sum() * 0.008:.1f} ml of kidney away from the organ")


@pytest.mark.parametrize(("sign", "value"), [(1, LEFT), (-1, RIGHT)], ids=["left", "right"])
def test_only_kidney_divided_by_its_tumor_is_one_organ(sign, value):
    """Medial and lateral pieces beside one tumor on one side of the midline, and no other kidney."""
    labels, body = phantom()
    medial = ellipsoid(labels, KIDNEY, MIDLINE + sign * 14, radii=(20, 10, 8))
    lateral = ellipsoid(labels, KIDNEY, MIDLINE + sign * 46, radii=(20, 10, 8))
    ellipsoid(labels, TUMOR, MIDLINE + sign * 30, radii=(14, 14, 10))
    labels[medial | lateral] = KIDNEY
    segments, _, warnings = split(labels, body, SPACING)
    assert (segments[medial | lateral] == value).all()
    assert [warning.code for warning in warnings] == [SIDE_UNCERTAIN]


def test_pieces_beside_different_tumors_are_two_organs():
    labels, body = phantom()
    one, other = (ellipsoid(labels, KIDNEY, MIDLINE + x, radii=(20, 10, 8)) for x in (10, 50))
    for x in (10, 50):
        ellipsoid(labels, TUMOR, MIDLINE + x, y=68, radii=(9, 9, 9))
    labels[one | other] = KIDNEY
    segments, _, warnings = split(labels, body, SPACING)
    assert (segments[one] == RIGHT).all() and (segments[other] == LEFT).all()
    assert [warning.code for warning in warnings] == [SIDE_UNCERTAIN]


def test_two_large_pieces_do_not_move_a_smaller_kidney():
    """The divided left kidney is larger in each part than the right one, and no tumor is between its parts."""
    labels, body = phantom()
    right = ellipsoid(labels, KIDNEY, MIDLINE - 30, radii=(14, 9, 9))
    medial = ellipsoid(labels, KIDNEY, MIDLINE + 14, radii=(20, 10, 8))
    ellipsoid(labels, KIDNEY, MIDLINE + 33, radii=(20, 11, 9))
    segments, *_ = split(labels, body, SPACING)
    assert (segments[right] == RIGHT).all() and (segments[medial] == LEFT).all()


def test_only_kidney_in_two_pieces_is_one_organ():
    labels, body = phantom()
    upper = ellipsoid(labels, KIDNEY, MIDLINE - 30, z=56, radii=(12, 12, 12))
    lower = ellipsoid(labels, KIDNEY, MIDLINE - 32, z=30, radii=(12, 12, 12))
    segments, *_ = split(labels, body, SPACING)
    assert (segments[upper | lower] == RIGHT).all()


def test_specks_go_and_bilateral_tumors_stay():
    labels, body = phantom()
    masses = ellipsoid(labels, TUMOR, MIDLINE - 30, radii=(9, 9, 9))
    masses |= ellipsoid(labels, TUMOR, MIDLINE + 30, radii=(5, 5, 5))
    for x in (30, 60, 110):
        labels[5:8, 50:53, x : x + 3] = TUMOR
    segments, notes, warnings = split(labels, body, SPACING)
    assert (segments[masses] == MASS).all() and (segments > 0).sum() == masses.sum()
    assert notes == ["Renal tumor: 3 specks below 0.5 ml removed"] and warnings == []


@pytest.mark.parametrize("kidneys", ["both", "one", "one small", "none"])
def test_mass_far_from_both_kidneys_is_no_renal_tumor(kidneys):
    labels, body = phantom()
    if kidneys != "none":
        ellipsoid(labels, KIDNEY, MIDLINE - 35)
    if kidneys == "both":
        ellipsoid(labels, KIDNEY, MIDLINE + 35)
    if kidneys == "one small":
        ellipsoid(labels, KIDNEY, MIDLINE + 35, radii=(8, 8, 8))
    near = ellipsoid(labels, TUMOR, MIDLINE - 35, y=30, radii=(10, 6, 8))
    far = ellipsoid(labels, TUMOR, MIDLINE, y=30, radii=(10, 10, 10))
    segments, _, warnings = split(labels, body, SPACING)
    assert (segments[near] == MASS).all()
    if kidneys == "both":
        assert not segments[far].any()
        assert [warning.code for warning in warnings] == [PART_REMOVED]
        milliliters = far.sum() * np.prod(SPACING) / 1000
        assert warnings[0].text.startswith(f"{milliliters:.1f} ml of renal tumor away from both kidneys")
    else:
        assert (segments[far] == MASS).all() and warnings == [], "a consumed kidney may lie beneath it"


@pytest.mark.parametrize("elsewhere", ["nothing", "tumor at the other kidney", "mass at the false piece of kidney"])
def test_mass_that_touches_no_kidney_stays_only_where_no_tumor_touches_one(elsewhere):
    """Beside the right kidney lies a mass with 6 mm between: the stomach, or a tumor whose rim was missed."""
    labels, body = phantom()
    ellipsoid(labels, KIDNEY, MIDLINE - 35, z=50, radii=(20, 12, 12))
    ellipsoid(labels, KIDNEY, MIDLINE + 35, z=50, radii=(20, 12, 12))
    beside = ellipsoid(labels, TUMOR, MIDLINE - 35, z=20, radii=(7, 10, 10))
    if elsewhere == "tumor at the other kidney":
        touching = ellipsoid(labels, TUMOR, MIDLINE + 35, y=34, z=50, radii=(8, 6, 8))
        part_of_it = ellipsoid(labels, TUMOR, MIDLINE + 35, y=22, z=50, radii=(4, 3, 4))
    if elsewhere == "mass at the false piece of kidney":
        ellipsoid(labels, KIDNEY, MIDLINE + 18, z=12, radii=(6, 7, 6))
        ellipsoid(labels, TUMOR, MIDLINE + 34, z=12, radii=(8, 8, 10))
    segments, _, warnings = split(labels, body, SPACING)
    if elsewhere == "tumor at the other kidney":
        np.testing.assert_array_equal(segments == MASS, touching | part_of_it)
        assert [warning.code for warning in warnings] == [PART_REMOVED]
    else:
        assert (segments[beside] == MASS).all()


@pytest.mark.parametrize("millimeters", [3.0, 8.0])
def test_a_gap_of_one_slice_still_touches(millimeters):
    """Thick slices: the tumor is on the kidney's pole, one slice above it, and another tumor touches."""
    labels, body = phantom()
    ellipsoid(labels, KIDNEY, MIDLINE - 35, z=40, radii=(12, 12, 12))
    ellipsoid(labels, KIDNEY, MIDLINE + 35, z=40, radii=(12, 12, 12))
    labels[53:60, 42:58, MIDLINE - 43 : MIDLINE - 27] = TUMOR
    ellipsoid(labels, TUMOR, MIDLINE + 35, y=34, z=40, radii=(5, 6, 8))
    segments, *_ = split(labels, body, (millimeters, 2.0, 2.0))
    np.testing.assert_array_equal(segments == MASS, labels == TUMOR)


def test_mass_and_piece_far_from_both_kidneys_do_not_keep_one_another():
    labels, body = phantom()
    kidneys = [ellipsoid(labels, KIDNEY, MIDLINE + x, z=55, radii=(20, 12, 12)) for x in (-35, 35)]
    mass = ellipsoid(labels, TUMOR, MIDLINE, z=12, radii=(10, 10, 10))
    piece = ellipsoid(labels, KIDNEY, MIDLINE + 18, z=12, radii=(6, 7, 6)) & ~mass
    segments, _, warnings = split(labels, body, SPACING)
    assert [segments[kidney].min() for kidney in kidneys] == [RIGHT, LEFT]
    assert not segments[mass | piece].any()
    assert [warning.code for warning in warnings] == [PART_REMOVED, PART_REMOVED]


def test_remnant_of_a_kidney_keeps_its_tumor_though_bowel_is_larger():
    """The left kidney is half consumed, and a loop of bowel far from it was taken for kidney."""
    labels, body = phantom()
    ellipsoid(labels, KIDNEY, MIDLINE - 35, z=50, radii=(20, 12, 12))
    tumor = ellipsoid(labels, TUMOR, MIDLINE + 35, z=60, radii=(12, 16, 16))
    remnant = ellipsoid(labels, KIDNEY, MIDLINE + 35, z=44, radii=(6, 11, 11)) & ~tumor
    labels[tumor] = TUMOR
    bowel = ellipsoid(labels, KIDNEY, MIDLINE + 35, z=14, radii=(12, 9, 10))
    assert remnant.sum() < bowel.sum()
    segments, *_ = split(labels, body, SPACING)
    assert (segments[tumor] == MASS).all() and (segments[remnant] == LEFT).all()


@pytest.mark.parametrize(("pole", "second"), [(7, 13), (4, 16)])
def test_second_tumor_at_the_far_pole_of_a_divided_kidney_stays(pole, second):
    """It is near neither kidney's largest component, but near the pole, large or small, beyond the first tumor."""
    labels, body = phantom()
    ellipsoid(labels, KIDNEY, MIDLINE + 35, z=50, radii=(16, 11, 11))
    for value, z, radius in ((TUMOR, 44, 10), (KIDNEY, 62, 10), (KIDNEY, 28, pole), (TUMOR, second, 7)):
        ellipsoid(labels, value, MIDLINE - 35, z=z, radii=(radius, 10, 10))
    segments, _, warnings = split(labels, body, SPACING)
    np.testing.assert_array_equal(segments == MASS, labels == TUMOR)
    np.testing.assert_array_equal(segments > 0, labels > 0)
    assert warnings == []


def test_diagonal_neighbors_are_connected():
    labels, body = phantom()
    labels[10:14, 50:54, 40:43] = labels[14:18, 54:58, 43:46] = TUMOR
    segments, notes, warnings = split(labels, body, SPACING)
    assert (segments > 0).sum() == 96 and notes == warnings == []


def test_nothing_found_and_no_body():
    labels, body = phantom()
    segments, notes, warnings = split(labels, body, SPACING)
    assert not segments.any() and notes == warnings == []
    ellipsoid(labels, KIDNEY, 20)
    assert set(np.unique(split(labels, np.zeros_like(body), SPACING)[0])) == {0, RIGHT}


def test_specks_all_over_a_full_size_scan_are_removed():
    labels = np.zeros((120, 512, 512), np.uint8)
    labels[40:80, 200:300, 100:200] = labels[40:80, 200:300, 310:400] = KIDNEY
    noise = np.random.default_rng(0).integers(0, labels.shape, (5000, 3))
    labels[tuple(noise.T)] = TUMOR
    segments, *_ = split(labels, np.ones(labels.shape, bool), (1.0, 0.5, 0.5))
    assert set(np.unique(segments)) == {0, RIGHT, LEFT}
