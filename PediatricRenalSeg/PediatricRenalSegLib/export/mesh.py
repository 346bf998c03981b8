"""Surface models: STL, PLY, OBJ with MTL, and GLB.

STL, PLY and OBJ keep LPS millimeters and say ``SPACE=LPS`` in their header, which 3D Slicer reads. GLB is
meters with Y up, as glTF 2.0 demands: x toward the patient's Left, y Superior, z Anterior.

VTK writes STL and PLY. OBJ and GLB are written here, because VTK's exporters take a rendered scene and lose what a
surgeon's viewer shows: the names of the structures, and in GLB the unit and the colors, which glTF wants linear.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkIOGeometry import vtkSTLWriter
from vtkmodules.vtkIOPLY import vtkPLYWriter

from ..structures import Segment
from .result import Result
from .vtk_log import quiet_vtk

HEADER = "PediatricRenalSeg output. SPACE=LPS"
"""Slicer reads from it that the coordinates are LPS and not its own RAS."""

GLTF_FROM_LPS = 0.001 * np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
"""From LPS mm to glTF: a rotation and a scaling, so that triangles keep facing outward."""

STL_HEADER_BYTES, STL_TRIANGLE_BYTES = 84, 50
"""Of binary STL: 80 bytes of text and a count; normal, three corners and an attribute."""

PLY_POINT_BYTES, PLY_TRIANGLE_BYTES = 15, 13
"""Of binary PLY without its header: three floats and a color; a count and three indices."""

FLOAT, UNSIGNED_INT = 5126, 5125
"""Component types of glTF 2.0."""

VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
"""Buffer targets of glTF 2.0."""


def write_stl(path: Path, result: Result, segment: Segment) -> None:
    """Binary STL."""
    writer = vtkSTLWriter()
    writer.SetHeader(HEADER)
    writer.SetFileTypeToBinary()
    surface = result.surfaces[segment.id]
    _write(writer, surface, path, STL_HEADER_BYTES + STL_TRIANGLE_BYTES * surface.GetNumberOfCells())


def write_ply(path: Path, result: Result, segment: Segment) -> None:
    """Binary PLY with the color of the segment at all vertices."""
    surface = vtkPolyData()
    surface.ShallowCopy(result.surfaces[segment.id])
    colors = numpy_to_vtk(np.tile(np.array(segment.color, np.uint8), (surface.GetNumberOfPoints(), 1)), deep=True)
    colors.SetName("RGB")
    surface.GetPointData().SetScalars(colors)
    writer = vtkPLYWriter()
    writer.AddComment(HEADER)
    writer.SetFileTypeToBinary()
    writer.SetDataByteOrderToLittleEndian()
    writer.SetArrayName("RGB")
    smallest = PLY_POINT_BYTES * surface.GetNumberOfPoints() + PLY_TRIANGLE_BYTES * surface.GetNumberOfCells()
    _write(writer, surface, path, smallest)


def _write(writer: vtkSTLWriter | vtkPLYWriter, surface: vtkPolyData, path: Path, bytes_at_least: int) -> None:
    """Write and look at the size: VTK does not notice that a disk is full. Raises ``OSError``."""
    writer.SetInputData(surface)
    writer.SetFileName(str(path))
    with quiet_vtk():
        writer.Write()
    if not path.is_file() or path.stat().st_size < bytes_at_least:
        raise OSError(f'"{path.name}" could not be written completely')


def write_obj(path: Path, result: Result) -> None:
    """One OBJ with an object and a material for each segment, and the MTL of the same name beside it."""
    segments = result.segments_with_surface
    if not segments:
        return
    materials = [f"# {HEADER}"]
    for segment in segments:
        color = " ".join(f"{channel / 255:.4f}" for channel in segment.color)
        materials += [f"newmtl {segment.id}", f"Kd {color}", "Ks 0.2 0.2 0.2"]
    path.with_suffix(".mtl").write_text("\n".join(materials) + "\n", encoding="utf-8")
    first = 1
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"# {HEADER}\nmtllib {path.with_suffix('.mtl').name}\n")
        for segment in segments:
            points, normals, triangles = _arrays(result.surfaces[segment.id])
            file.write(f"o {segment.id}\nusemtl {segment.id}\n")
            np.savetxt(file, points, "v %.4f %.4f %.4f")
            np.savetxt(file, normals, "vn %.4f %.4f %.4f")
            np.savetxt(file, np.repeat(triangles + first, 2, axis=1), "f %d//%d %d//%d %d//%d")
            first += len(points)


def write_glb(path: Path, result: Result) -> None:
    """One binary glTF 2.0 with a named node, mesh and material for each segment."""
    segments = result.segments_with_surface
    if not segments:
        return
    gltf: dict[str, Any] = {"asset": {"version": "2.0", "generator": "PediatricRenalSeg"}, "scene": 0}
    gltf |= {"scenes": [{"nodes": []}], "nodes": [], "meshes": [], "materials": [], "accessors": [], "bufferViews": []}
    binary = bytearray()
    for index, segment in enumerate(segments):
        points, normals, triangles = _arrays(result.surfaces[segment.id])
        primitive = {
            "attributes": {
                "POSITION": _add_accessor(gltf, binary, points @ GLTF_FROM_LPS.T, "VEC3"),
                "NORMAL": _add_accessor(gltf, binary, normals @ GLTF_FROM_LPS.T * 1000, "VEC3"),
            },
            "indices": _add_accessor(gltf, binary, triangles.reshape(-1), "SCALAR"),
            "material": index,
        }
        gltf["scenes"][0]["nodes"].append(index)
        gltf["nodes"].append({"name": segment.id, "mesh": index})
        gltf["meshes"].append({"name": segment.id, "primitives": [primitive]})
        gltf["materials"].append(_gltf_material(segment))
    gltf["buffers"] = [{"byteLength": len(binary)}]
    document = json.dumps(gltf, separators=(",", ":")).encode()
    path.write_bytes(_glb(document, bytes(binary)))


def _add_accessor(gltf: dict[str, Any], binary: bytearray, values: np.ndarray, kind: str) -> int:
    """Append an array to the binary chunk and describe it; returns its index."""
    is_index = kind == "SCALAR"
    data = values.astype("<u4" if is_index else "<f4")
    view = {"buffer": 0, "byteOffset": len(binary), "byteLength": data.nbytes}
    view["target"] = INDEX_BUFFER if is_index else VERTEX_BUFFER
    accessor: dict[str, Any] = {"bufferView": len(gltf["bufferViews"]), "count": len(data), "type": kind}
    accessor["componentType"] = UNSIGNED_INT if is_index else FLOAT
    if not is_index:
        accessor |= {"min": data.min(axis=0).tolist(), "max": data.max(axis=0).tolist()}
    binary += data.tobytes()
    gltf["bufferViews"].append(view)
    gltf["accessors"].append(accessor)
    return len(gltf["accessors"]) - 1


def _gltf_material(segment: Segment) -> dict[str, Any]:
    """Base color is linear in glTF, the table's is sRGB (IEC 61966-2-1)."""
    srgb = np.array(segment.color) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    surface = {"baseColorFactor": [*linear.tolist(), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.6}
    return {"name": segment.display_name, "pbrMetallicRoughness": surface}


def _glb(document: bytes, binary: bytes) -> bytes:
    """The container of glTF 2.0, chapter 4.4: header, JSON chunk padded with spaces, binary chunk."""
    document += b" " * (-len(document) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(document), b"JSON") + document
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _arrays(surface: vtkPolyData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points ``(n, 3)``, normals ``(n, 3)`` and point indices of the triangles ``(m, 3)``."""
    points = vtk_to_numpy(surface.GetPoints().GetData())
    normals = vtk_to_numpy(surface.GetPointData().GetNormals())
    return points, normals, vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
