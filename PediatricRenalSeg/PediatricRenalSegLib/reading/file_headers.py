"""What SimpleITK passes over in silence in the headers of NIfTI, NRRD and MetaImage files.

A voxel size of 0 becomes 1, a negative one flips the axis, a NIfTI file cut short is filled with zeros,
voxels of a NIfTI file that are not a number become 0, and a missing orientation becomes "supine, slices
upward": a wrong volume, or left for right. Some damaged text headers crash it. Of a MetaImage file cut short
it prints lines of its own.
"""

import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGEST_SHEAR = 1e-3
"""Cosine between two axes that still count as perpendicular (0.06 degrees)."""
LARGEST_SIZE_DIFFERENCE = 0.01
"""Relative difference between the two voxel sizes that a NIfTI header states."""
LARGEST_TURN = 0.02
"""Difference between the two directions that a NIfTI header states (about one degree)."""
LONGEST_TEXT_HEADER = 65_536
"""Bytes in which a header of text must end, or the file is none."""

_ANATOMICAL_SPACES = (
    "left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las",
)  # fmt: skip

_NIFTI1 = np.dtype(
    {
        "names": [
            "header_size", "dim", "datatype", "bitpix", "pixdim", "offset",
            "qform", "sform", "quaternion", "srow", "magic",
        ],
        "formats": ["i4", "8i2", "i2", "i2", "8f4", "f4", "i2", "i2", "3f4", "(3,4)f4", "S4"],
        "offsets": [0, 40, 70, 72, 76, 108, 252, 254, 256, 280, 344],
        "itemsize": 348,
    }
)  # fmt: skip
_NIFTI_FLOATS = {16: "f4", 64: "f8"}
_NIFTI_FIRST_VOXEL = (352, 1 << 24)
"""Where the voxels may begin: after the header, and extensions of any sensible length."""
_GZIP = 16 + zlib.MAX_WBITS
"""What tells zlib that it is the format of gzip, with header and checksum."""

_BLOCK = 1 << 20
"""Bytes that are read at once, a matter of memory alone."""
_METAIMAGE_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG": 4, "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip


def check(path: Path) -> None:
    """Refuse a header that does not say completely and plausibly how the voxels lie in the patient.

    Raises ``InputError``; ``OSError``, ``EOFError`` or ``zlib.error`` when the file is damaged.
    """
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    elif name.endswith((".nrrd", ".nhdr")):
        _check_nrrd(path)
    else:
        _check_metaimage(path)


def sheared(name: str) -> InputError:
    """The error for a grid whose axes are not perpendicular."""
    return InputError(
        f'"{name}" has a sheared grid whose axes are not perpendicular; '
        "choose the DICOM folder it was made from, or export it on an upright grid."
    )


def collapsed(path: Path) -> InputError:
    """The error for a direction matrix that is no rotation."""
    return InputError(
        f'"{path.name}" has a broken direction matrix that leaves out an axis of space; '
        "export it again from its DICOM folder."
    )


def not_finite(name: str, count: int, first: tuple[np.intp, ...]) -> InputError:
    """The error for voxels without a number. ``first``: the array index ``(z, y, x)`` of the first such voxel."""
    z, y, x = first
    return InputError(
        f'"{name}" holds {count} voxel{"s" * (count > 1)} without a number (NaN or infinite), the first at '
        f"x {x}, y {y}, slice {z}; export it again without them."
    )


def _without_orientation(path: Path) -> InputError:
    return InputError(
        f'"{path.name}" does not say how the patient lies in it, so left and right are unknown; '
        "export it again from its DICOM folder."
    )


def _check_voxel_size(path: Path, size: np.ndarray) -> None:
    if not np.all(np.isfinite(size) & (size > 0)):
        found = " × ".join(f"{value:g}" for value in size)
        raise InputError(f'"{path.name}" has a voxel size of {found} mm; export it again with its true spacing.')


# NIfTI


def _check_nifti(path: Path) -> None:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with path.open("rb") as stored:
        file = io.BufferedReader(_Unpacked(stored), _BLOCK) if zipped else stored
        header = _nifti_header(path, file.read(_NIFTI1.itemsize))
        _check_nifti_grid(path, header)
        _check_nifti_voxels(path, header, file)


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, as ``gzip.open`` gives it, but in large blocks.

    Each of its small ones would wait for Python's lock, which the import of torch holds meanwhile. Raises
    ``zlib.error`` for damage and ``EOFError`` for a file that was cut short.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._packed = file, file.read(_BLOCK)
        self._member = zlib.decompressobj(_GZIP)

    def readable(self) -> bool:
        """For ``io.BufferedReader``."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer, or what is left; 0 at the end."""
        target = memoryview(buffer)
        while not (found := self._member.decompress(self._packed, len(target))):
            if self._member.eof:  # another member, or nothing but padding
                self._packed = self._member.unused_data.lstrip(b"\0")
                while not self._packed and (block := self._file.read(_BLOCK)):
                    self._packed = block.lstrip(b"\0")
                if not self._packed:
                    return 0
                self._member = zlib.decompressobj(_GZIP)
                continue
            self._packed = self._member.unconsumed_tail or self._file.read(_BLOCK)
            if not self._packed:
                raise EOFError("cut short")
        # at the end of a member the tail is its unused data, which must not be handed over twice
        self._packed = b"" if self._member.eof else self._member.unconsumed_tail
        target[: len(found)] = found
        return len(found)


def _nifti_header(path: Path, raw: bytes) -> np.void:
    if len(raw) < _NIFTI1.itemsize:
        raise EOFError("shorter than its header")
    for layout in (_NIFTI1.newbyteorder("<"), _NIFTI1.newbyteorder(">")):
        header = np.frombuffer(raw, layout)[0]
        if header["header_size"] == 540:
            raise InputError(f'"{path.name}" is in the rare NIfTI-2 format; save it as NIfTI-1 or NRRD.')
        sound = header["magic"] == b"n+1" and 0 <= header["dim"][0] <= 7 and header["offset"] <= _NIFTI_FIRST_VOXEL[1]
        if header["header_size"] == 348 and sound:
            return header
    raise OSError("no NIfTI header")


def _check_nifti_voxels(path: Path, header: np.void, file: io.BufferedIOBase) -> None:
    """All there, and all numbers. Reads to the end: gzip finds damage only by unpacking all of it."""
    shape = np.maximum(header["dim"][1 : 1 + header["dim"][0]], 1).astype(int)[::-1]
    needed = np.prod(shape, dtype=float) * header["bitpix"] / 8
    kind = _NIFTI_FLOATS.get(int(header["datatype"]))
    found, broken, first = 0, 0, 0
    file.read(max(_NIFTI_FIRST_VOXEL[0], int(header["offset"])) - _NIFTI1.itemsize)
    while block := file.read(_BLOCK):
        if kind and found < needed:
            numbers = np.dtype(kind).newbyteorder(header.dtype["datatype"].byteorder)
            bad = ~np.isfinite(np.frombuffer(block, numbers, len(block) // numbers.itemsize))
            if not broken and bad.any():
                first = found // numbers.itemsize + int(np.argmax(bad))
            broken += int(np.count_nonzero(bad))
        found += len(block)
    if found < needed:
        raise EOFError(f"{found} of {needed:.0f} bytes")
    if broken:
        raise not_finite(path.name, broken, np.unravel_index(first, shape)[-3:])


def _check_nifti_grid(path: Path, header: np.void) -> None:
    axes = min(3, int(header["dim"][0]))  # a 2D picture is refused later, for what it is
    if axes < 3:
        return
    pixdim = header["pixdim"][1:4].astype(float)
    _check_voxel_size(path, pixdim)
    if header["sform"] <= 0 and header["qform"] <= 0:
        raise _without_orientation(path)
    if header["sform"] > 0:
        _check_sform(path, header, pixdim)


def _check_sform(path: Path, header: np.void, pixdim: np.ndarray) -> None:
    matrix = header["srow"][:, :3].astype(float)
    lengths = np.linalg.norm(matrix, axis=0)
    if not np.all(np.isfinite(header["srow"])) or np.any(lengths == 0) or np.linalg.matrix_rank(matrix / lengths) < 3:
        raise collapsed(path)
    direction = matrix / lengths
    if np.any(np.abs(direction.T @ direction - np.eye(3)) > LARGEST_SHEAR):
        raise sheared(path.name)
    if np.any(np.abs(lengths / pixdim - 1) > LARGEST_SIZE_DIFFERENCE):
        sizes = (" × ".join(f"{value:g}" for value in size) for size in (pixdim, lengths))
        raise InputError(
            f'"{path.name}" states two different voxel sizes, {" and ".join(sizes)} mm; '
            "export it again from its DICOM folder."
        )
    if header["qform"] > 0 and np.any(np.abs(direction - _qform_direction(header)) > LARGEST_TURN):
        raise InputError(
            f'"{path.name}" states two different orientations of the patient (qform and sform); '
            "export it again from its DICOM folder."
        )


def _qform_direction(header: np.void) -> np.ndarray:
    """Rotation matrix of the header's quaternion; the third axis turned round where ``pixdim[0]`` is -1."""
    b, c, d = header["quaternion"].astype(float)
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    rotation[:, 2] *= -1 if header["pixdim"][0] < 0 else 1
    return rotation


# NRRD and MetaImage: lines of text before the voxels


def _check_nrrd(path: Path) -> None:
    magic, _, text = _text_header(path).split("\n\n")[0].partition("\n")
    fields = _fields(text, ":")
    axes = len(fields.get("sizes", "").split())
    if not magic.startswith("NRRD") or fields.get("dimension") != str(axes):
        raise OSError("no NRRD header")
    if "spacings" in fields:
        _check_voxel_size(path, _numbers(fields["spacings"]))
    if axes >= 3:  # fewer: a picture, refused later for what it is
        space = fields.get("space", "").lower().removesuffix("-time")
        if space not in _ANATOMICAL_SPACES or "space directions" not in fields:
            raise _without_orientation(path)


def _check_metaimage(path: Path) -> None:
    header, _, rest = _text_header(path).partition("ElementDataFile")
    fields = _fields(header, "=")
    if fields.get("ndims") != str(len(fields.get("dimsize", "").split())):
        raise OSError("no MetaImage header")
    for key in ("elementspacing", "elementsize"):
        if key in fields:
            _check_voxel_size(path, _numbers(fields[key]))
    if not any(key in fields for key in ("transformmatrix", "rotation", "orientation")):
        raise _without_orientation(path)
    data_file = rest.partition("\n")[0].strip(" \t=")
    if data_file == "LOCAL":
        _check_metaimage_voxels(fields, path.stat().st_size - len(header))
    elif data_file != "LIST" and "%" not in data_file:  # else: a file a slice
        _check_metaimage_voxels(fields, (path.parent / data_file).stat().st_size)


def _check_metaimage_voxels(fields: dict[str, str], found: int) -> None:
    """All there: SimpleITK too refuses a file cut short, but prints lines of its own."""
    if fields.get("compresseddata", "").lower() == "true":
        needed = _numbers(fields.get("compresseddatasize", ""))
    else:
        size = _METAIMAGE_BYTES.get(fields.get("elementtype", ""), 0)
        needed = size * _numbers(fields.get("elementnumberofchannels", "1")) * np.prod(_numbers(fields["dimsize"]))
    if np.any(found < needed):
        raise EOFError(f"{found} of {needed} bytes")


def _text_header(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LONGEST_TEXT_HEADER).decode("latin-1").replace("\r\n", "\n")


def _fields(text: str, separator: str) -> dict[str, str]:
    """Values by lower-case key; ``OSError`` where a line is no field, as voxels are not."""
    fields = {}
    for line in text.rstrip("\n").split("\n"):
        key, found, value = line.partition(separator)
        if any(character < " " and character != "\t" for character in line) or not (found or line.startswith("#")):
            raise OSError("not a line of a header")
        fields[key.strip().lower()] = value.strip()
    return fields


def _numbers(text: str) -> np.ndarray:
    try:
        return np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise OSError("not a number in the header") from error
