"""Surface models: STL, PLY, OBJ with MTL, and GLB.

STL, PLY and OBJ keep LPS millimeters and say ``SPACE=LPS`` in their header, which 3D Slicer reads. GLB is
meters with Y up, as glTF 2.0 demands: x toward the patient's Left, y Superior, z Anterior.
"""

import json
import struct
from pathlib import Path

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..structures import SEGMENTS, Segment

HEADER = "PediatricRenalSeg output. SPACE=LPS"

GLTF_FROM_LPS = 0.001 * np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
"""From LPS mm to glTF: a rotation and a scaling, so that triangles keep facing outward."""

FLOAT, UNSIGNED_INT = 5126, 5125
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963


def write_stl(path: Path, surface: vtk.vtkPolyData) -> None:
    """Binary STL: a header of 80 bytes, the number of triangles, and 50 bytes a triangle."""
    points, _, triangles = _arrays(surface)
    corners = points[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facets = np.zeros(len(triangles), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    facets["corners"] = corners
    facets["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    path.write_bytes(HEADER.encode().ljust(80) + struct.pack("<I", len(facets)) + facets.tobytes())


def write_ply(path: Path, surface: vtk.vtkPolyData, color: tuple[int, int, int]) -> None:
    """Binary PLY with one color (0 to 255) at all vertices."""
    points, _, triangles = _arrays(surface)
    vertices = np.zeros(len(points), [("point", "<f4", 3), ("color", "u1", 3)])
    vertices["point"], vertices["color"] = points, color
    faces = np.zeros(len(triangles), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    header = ["ply", "format binary_little_endian 1.0", f"comment {HEADER}"]
    header += [f"element vertex {len(vertices)}", *(f"property float {axis}" for axis in "xyz")]
    header += [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    path.write_bytes("\n".join(header).encode() + vertices.tobytes() + faces.tobytes())


def write_obj(path: Path, surfaces: dict[str, vtk.vtkPolyData]) -> None:
    """One OBJ with an object and a material for each segment, and the MTL of the same name beside it."""
    segments = _present(surfaces)
    materials = [f"# {HEADER}"]
    for segment in segments:
        color = " ".join(f"{channel / 255:.4f}" for channel in segment.color)
        materials += [f"newmtl {segment.id}", f"Kd {color}", "Ks 0.2 0.2 0.2"]
    path.with_suffix(".mtl").write_text("\n".join(materials) + "\n", encoding="utf-8")
    first = 1
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"# {HEADER}\nmtllib {path.with_suffix('.mtl').name}\n")
        for segment in segments:
            points, normals, triangles = _arrays(surfaces[segment.id])
            file.write(f"o {segment.id}\nusemtl {segment.id}\n")
            np.savetxt(file, points, "v %.4f %.4f %.4f")
            np.savetxt(file, normals, "vn %.4f %.4f %.4f")
            np.savetxt(file, np.repeat(triangles + first, 2, axis=1), "f %d//%d %d//%d %d//%d")
            first += len(points)


def write_glb(path: Path, surfaces: dict[str, vtk.vtkPolyData]) -> None:
    """One binary glTF 2.0 with a named node, mesh and material for each segment."""
    gltf = {"asset": {"version": "2.0", "generator": "PediatricRenalSeg"}, "scene": 0, "scenes": [{"nodes": []}]}
    gltf |= {"nodes": [], "meshes": [], "materials": [], "accessors": [], "bufferViews": []}
    binary = bytearray()
    for index, segment in enumerate(_present(surfaces)):
        points, normals, triangles = _arrays(surfaces[segment.id])
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
    path.write_bytes(_glb(json.dumps(gltf, separators=(",", ":")).encode(), bytes(binary)))


def _add_accessor(gltf: dict, binary: bytearray, values: np.ndarray, kind: str) -> int:
    """Append an array to the binary chunk and describe it; returns its index."""
    is_index = kind == "SCALAR"
    data = values.astype("<u4" if is_index else "<f4")
    view = {"buffer": 0, "byteOffset": len(binary), "byteLength": data.nbytes}
    view["target"] = INDEX_BUFFER if is_index else VERTEX_BUFFER
    accessor = {"bufferView": len(gltf["bufferViews"]), "componentType": UNSIGNED_INT if is_index else FLOAT}
    accessor |= {"count": len(data), "type": kind}
    if not is_index:
        accessor |= {"min": data.min(axis=0).tolist(), "max": data.max(axis=0).tolist()}
    binary += data.tobytes()
    gltf["bufferViews"].append(view)
    gltf["accessors"].append(accessor)
    return len(gltf["accessors"]) - 1


def _gltf_material(segment: Segment) -> dict:
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


def _present(surfaces: dict[str, vtk.vtkPolyData]) -> list[Segment]:
    return [segment for segment in SEGMENTS if segment.id in surfaces]


def _arrays(surface: vtk.vtkPolyData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points ``(n, 3)``, normals ``(n, 3)`` and point indices of the triangles ``(m, 3)``."""
    points = vtk_to_numpy(surface.GetPoints().GetData())
    normals = vtk_to_numpy(surface.GetPointData().GetNormals())
    return points, normals, vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
