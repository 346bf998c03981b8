"""Measurements of analytic shapes, and the warnings."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import DIRECTIONS, PATIENT, ct_of, ellipsoids, grid

from PediatricRenalSegLib.organs.measure import measure
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.volume import LabelVolume


def measured(rows, **geometry):
    labels = ellipsoids(grid(**geometry), rows)
    return measure(labels, ct_of(labels))


def codes(measurements):
    return [warning.code for warning in measurements.warnings]


@pytest.mark.parametrize("name", DIRECTIONS)
def test_ellipsoid_in_every_geometry(name):
    result = measured([(1, (-30, 0, 0), (15, 20, 30))], direction=DIRECTIONS[name]).of("kidney_right")
    assert result.volume_ml == pytest.approx(4 / 3 * np.pi * 15 * 20 * 30 / 1000, rel=0.02)
    assert result.longest_diameter_mm == pytest.approx(60, abs=1.5)
    assert result.mean_hu == 100
    if not name.startswith("oblique"):
        assert result.longest_axial_diameter_mm == pytest.approx(40, abs=1.5)
        assert result.extent_mm == pytest.approx((30, 40, 60), abs=1.5)


def test_thick_slices():
    result = measured([(2, (30, 0, 0), (20, 20, 40))], spacing=(0.5, 0.5, 5.0)).of("kidney_left")
    assert result.volume_ml == pytest.approx(4 / 3 * np.pi * 20 * 20 * 40 / 1000, rel=0.02)
    assert result.longest_diameter_mm == pytest.approx(80, abs=5)
    assert result.longest_axial_diameter_mm == pytest.approx(40, abs=1)


def test_one_voxel_is_as_long_as_it_is():
    array = np.zeros((5, 5, 5), np.uint8)
    array[2, 2, 2] = 3
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 2.0, 4.0))
    result = measure(LabelVolume(image, RENAL), ct_of(LabelVolume(image, RENAL))).of("tumor")
    assert result is not None
    assert result.longest_diameter_mm == 4 and result.longest_axial_diameter_mm == 2


def test_lesions_are_measured_one_by_one():
    result = measured([(3, (-40, 0, 0), (10, 10, 10)), (3, (40, 0, 0), (15, 15, 15))]).of("tumor")
    assert result.parts == 2
    assert result.longest_diameter_mm == pytest.approx(30, abs=1.5)
    assert result.longest_axial_diameter_mm == pytest.approx(30, abs=1.5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5)])
def test_contact_area_of_a_sphere_inside_a_kidney(spacing):
    around, apart = (2, (0, 0, 0), (45, 45, 45)), (1, (-56, 0, 0), (3, 20, 20))
    result = measured([around, (3, (0, 0, 0), (25, 25, 25)), apart], spacing=spacing)
    areas = {contact.organ: contact.area_mm2 for contact in result.contacts}
    assert areas["kidney_left"] == pytest.approx(4 * np.pi * 25**2, rel=0.05)
    assert areas["kidney_right"] == 0


def test_contact_area_of_a_slanted_plane():
    z, _, x = np.ogrid[:60, :40, :60]
    array = np.where(x + 2 * z < 90, 1, 3) * np.ones((60, 40, 60))
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    result = measure(LabelVolume(image, RENAL), ct_of(LabelVolume(image, RENAL)))
    assert result.contacts[0].area_mm2 == pytest.approx(40 * 30 * np.sqrt(5), rel=0.05)


@pytest.mark.parametrize("name", ["axial", "flipped", "left_handed", "mirrored", "sagittal"])
@pytest.mark.parametrize(
    ("offset", "side"),
    [
        ((0, 0, 55), "upper"),
        ((0, 0, -55), "lower"),
        ((-60, 0, 0), "right"),
        ((60, 0, 0), "left"),
        ((0, -50, 0), "front"),
        ((0, 50, 0), "back"),
    ],
)
def test_border_is_named_from_the_patient(name, offset, side):
    extent = (120.0, 100.0, 110.0) if name != "sagittal" else (100.0, 110.0, 120.0)
    result = measured([(1, offset, (20, 20, 20))], direction=DIRECTIONS[name], extent=extent)
    assert result.of("kidney_right").touches_border == (side,)
    text = next(warning.text for warning in result.warnings if warning.code == "touches_border")
    assert text == f"Right kidney touches the {side} border of the scan and may be incomplete."


def test_complete_patient_has_no_warnings():
    assert codes(measured(PATIENT)) == []


def test_nothing_found():
    result = measured([])
    assert result.segments == () and result.contacts == ()
    assert [warning.text for warning in result.warnings] == ["No kidney was found.", "No renal tumor was found."]


def test_one_kidney_found():
    result = measured([PATIENT[1], PATIENT[2]])
    assert codes(result) == ["one_found"] and "left kidney" in result.warnings[0].text


def test_implausible_volumes():
    result = measured([(1, (-40, 0, 0), (8, 8, 8)), (2, (20, 0, 0), (38, 45, 50)), (3, (-45, 30, 0), (5, 5, 5))])
    texts = [warning.text for warning in result.warnings if warning.code == "implausible_volume"]
    assert [text.split(" has")[0] for text in texts] == ["Right kidney", "Left kidney", "Renal tumor"]


def test_to_dict_is_json():
    values = json.loads(json.dumps(measured(PATIENT).to_dict()))
    assert [row["segment_id"] for row in values["segments"]] == ["kidney_right", "kidney_left", "tumor"]
    assert set(values) == {"segments", "contacts", "warnings"}
