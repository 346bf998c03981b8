"""Closed surfaces of analytic shapes in every geometry, checked with trimesh."""

import numpy as np
import pytest
import trimesh
from phantoms import CENTER, DIRECTIONS, PATIENT, ellipsoids, grid
from vtk.util.numpy_support import vtk_to_numpy

from PediatricRenalSegLib.organs import surfaces as surfaces_module
from PediatricRenalSegLib.organs.surfaces import closed_surfaces

ISOTROPIC, THICK = (1.0, 1.0, 1.0), (0.5, 0.5, 5.0)


def as_trimesh(surface) -> trimesh.Trimesh:
    points = vtk_to_numpy(surface.GetPoints().GetData())
    triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return trimesh.Trimesh(points, triangles, process=False)


def voxel_volume(labels, value) -> float:
    array, spacing = labels.axial()
    return float((array == value).sum() * np.prod(spacing))


def assert_closed(mesh):
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0


@pytest.mark.parametrize("spacing", [ISOTROPIC, THICK], ids=["isotropic", "thick"])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_place_volume_and_orientation_in_every_geometry(name, spacing):
    extent = (120.0, 100.0, 110.0) if name != "sagittal" else (100.0, 110.0, 120.0)
    labels = ellipsoids(grid(DIRECTIONS[name], spacing, extent), PATIENT)
    result = closed_surfaces(labels)
    assert list(result) == ["kidney_right", "kidney_left", "tumor"]
    for value, surface in enumerate(result.values(), start=1):
        mesh = as_trimesh(surface)
        assert_closed(mesh)
        assert mesh.volume == pytest.approx(voxel_volume(labels, value), rel=0.02)
    right, tumor = as_trimesh(result["kidney_right"]), as_trimesh(result["tumor"])
    assert right.center_mass == pytest.approx(CENTER + (-35, 0, 0), abs=0.5)
    assert tumor.center_mass == pytest.approx(CENTER + (35, -12, 15), abs=0.5)


@pytest.mark.parametrize("name", ["axial", "left_handed"])
def test_point_normals_face_outward(name):
    labels = ellipsoids(grid(DIRECTIONS[name]), [(1, (0, 0, 0), (20, 20, 20))])
    surface = closed_surfaces(labels)["kidney_right"]
    outward = vtk_to_numpy(surface.GetPoints().GetData()) - CENTER
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    assert ((vtk_to_numpy(surface.GetPointData().GetNormals()) * outward).sum(axis=1) > 0.9).all()


@pytest.mark.parametrize(("spacing", "worst"), [(ISOTROPIC, 0.6), (THICK, 2.0)], ids=["isotropic", "thick"])
def test_sphere_is_round_without_a_staircase(spacing, worst):
    """The treads of a staircase of 5 mm slices would turn normals by up to 90 degrees."""
    labels = ellipsoids(grid(spacing=spacing), [(1, (0, 0, 0), (25, 25, 25))])
    mesh = as_trimesh(closed_surfaces(labels)["kidney_right"])
    rays = mesh.vertices - CENTER
    radii = np.linalg.norm(rays, axis=1)
    tilt = np.degrees(np.arccos((mesh.vertex_normals * rays).sum(axis=1) / radii))
    assert np.abs(radii - 25).max() < worst and np.percentile(tilt, 99) < 15
    assert mesh.area == pytest.approx(4 * np.pi * 25**2, rel=0.02)


@pytest.mark.parametrize("milliliters", [1.0, 2.0])
@pytest.mark.parametrize("spacing", [ISOTROPIC, THICK], ids=["isotropic", "thick"])
def test_small_tumors_keep_their_volume(milliliters, spacing):
    radius = (milliliters * 1000 * 3 / 4 / np.pi) ** (1 / 3)
    labels = ellipsoids(grid(spacing=spacing), [(3, (0, 0, 0), (radius,) * 3), (3, (30, 0, 0), (25, 30, 30))])
    labels_apart = ellipsoids(grid(spacing=spacing), [(3, (-30, 0, 0), (radius,) * 3), (3, (25, 0, 0), (25, 30, 30))])
    for volume in (labels, labels_apart):
        mesh = as_trimesh(closed_surfaces(volume)["tumor"])
        assert_closed(mesh)
        assert mesh.volume == pytest.approx(voxel_volume(volume, 3), rel=0.02)
    small = min(mesh.split(), key=lambda part: part.volume)
    alone = ellipsoids(grid(spacing=spacing), [(3, (-30, 0, 0), (radius,) * 3)])
    assert small.volume == pytest.approx(voxel_volume(alone, 3), rel=0.02)


def test_structure_at_the_border_of_the_scan_is_closed():
    labels = ellipsoids(grid(), [(1, (-60, 0, 55), (25, 25, 25))])
    mesh = as_trimesh(closed_surfaces(labels)["kidney_right"])
    assert_closed(mesh)
    assert mesh.volume == pytest.approx(voxel_volume(labels, 1), rel=0.02)


def test_absent_segments_and_single_voxels_have_no_surface():
    labels = ellipsoids(grid(), [(2, (30, 0, 0), (20, 20, 20)), (3, (0, 0, 0), (0.9, 0.9, 0.9))])
    assert list(closed_surfaces(labels)) == ["kidney_left"]


def test_decimation_keeps_the_surface_closed(monkeypatch):
    labels = ellipsoids(grid(), PATIENT)
    monkeypatch.setattr(surfaces_module, "TRIANGLES", 2000)
    for surface in closed_surfaces(labels).values():
        assert surface.GetNumberOfCells() <= 2100
        assert_closed(as_trimesh(surface))


@pytest.mark.slow
def test_full_size_case_has_light_surfaces():
    image = grid(spacing=(0.6, 0.6, 2.0), extent=(307.2, 307.2, 240.0))
    kidneys = [(1, (-60, 0, 0), (25, 25, 50)), (2, (50, 0, 0), (25, 25, 50))]
    labels = ellipsoids(image, [*kidneys, (3, (60, -30, 20), (70, 60, 70))])
    assert labels.image.GetSize() == (512, 512, 120)
    result = closed_surfaces(labels)
    assert all(0 < surface.GetNumberOfCells() <= 40_000 for surface in result.values())
