"""The table of what can be written of a result: name on the command line, place in the patient folder, function.

Command line, window and documentation read it, so a new format is one row. ``report.json`` is none of them: it lists
what they wrote, and is always there. Nothing is imported to read the table.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from .result import Result


@dataclass(frozen=True)
class Writer:
    """One kind of file."""

    name: str
    """On the command line and in ``report.json``."""
    file: str
    """Place in the patient folder; ``{segment}`` stands for the id of each segment that has a surface."""
    function: str
    """Module of this folder and function: called with path and ``Result``, and with the segment where the place has
    one. It raises ``OSError`` when the disk is full."""
    needs_surfaces: bool = False
    draws: bool = False
    """Whether it uses OpenGL, which wants the main thread."""
    is_mesh: bool = False
    """Whether it is one of the formats of 3D models, of which a user chooses."""

    def write(self, folder: Path, result: "Result") -> None:
        """Write into a patient folder. Raises ``OSError`` when a file cannot be written completely."""
        module, _, name = self.function.partition(":")
        function = getattr(import_module(f".{module}", __package__), name)
        path = folder / self.file
        path.parent.mkdir(exist_ok=True)
        if "{segment}" not in self.file:
            function(path, result)
            return
        for segment in result.segments_with_surface:
            function(folder / self.file.format(segment=segment.id), result, segment)


LABELMAP = Writer("labelmap", "labelmap.nii.gz", "labelmap:write_labelmap")
SEGMENTATION = Writer("segmentation", "segmentation.seg.nrrd", "segmentation:write_segmentation")
PREVIEW = Writer("preview", "preview.png", "preview:write_preview", needs_surfaces=True, draws=True)
MESHES = (
    Writer("stl", "models/{segment}.stl", "mesh:write_stl", needs_surfaces=True, is_mesh=True),
    Writer("ply", "models/{segment}.ply", "mesh:write_ply", needs_surfaces=True, is_mesh=True),
    Writer("obj", "models/structures.obj", "mesh:write_obj", needs_surfaces=True, is_mesh=True),
    Writer("glb", "models/structures.glb", "mesh:write_glb", needs_surfaces=True, is_mesh=True),
)

WRITERS = {writer.name: writer for writer in (LABELMAP, SEGMENTATION, PREVIEW, *MESHES)}
"""All there are, by name."""

MESH_FORMATS = tuple(writer.name for writer in MESHES)
DEFAULT_MESH = "stl"
IMAGES = tuple(name for name, writer in WRITERS.items() if not writer.is_mesh)

DEFAULT_WRITERS = (*IMAGES, DEFAULT_MESH)
"""What is written unless somebody says otherwise."""


def check_writers(names: Iterable[str]) -> None:
    """Raise ``InputError`` for a name that is not in the table."""
    for name in names:
        if name not in WRITERS:
            raise InputError(f"{name!r} is no kind of file that can be written: choose from {', '.join(WRITERS)}.")


def need_surfaces(names: Iterable[str]) -> bool:
    """Whether one of these writers draws or writes the surfaces."""
    return any(WRITERS[name].needs_surfaces for name in names)
