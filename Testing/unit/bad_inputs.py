"""Every input that must be refused: how to write it, and what its sentence must name."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dicom_files as dicom
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage, generate_uid


@dataclass(frozen=True)
class BadInput:
    title: str
    names: tuple[str, ...]
    """Words that the sentence must hold: the thing, the place."""
    write: Callable[[Path], Path]
    """Writes it into an empty folder and returns the path to read."""


BAD_INPUTS: list[BadInput] = []


def bad_input(title: str, *names: str):
    """Enter the decorated writer in ``BAD_INPUTS``."""

    def enter(write: Callable[[Path], Path]):
        BAD_INPUTS.append(BadInput(title, names, write))
        return write

    return enter


# Files


def ct_array(shape=(16, 24, 20)) -> np.ndarray:
    """A body of soft tissue in air, ``(z, y, x)``, int16."""
    center = (np.array(shape) - 1) / 2
    points = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1) - center
    return dicom.body(points * 4).astype(np.int16)


def write_image(file: Path, array: np.ndarray, spacing=(2.0, 2.0, 4.0), compress: bool = False, **kinds) -> Path:
    image = sitk.GetImageFromArray(array, **kinds)
    if image.GetDimension() == 3:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(file), compress)
    return file


def cut(file: Path, keep: float = 0.6) -> Path:
    """Lose the end of a file."""
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    return file


def edit(file: Path, old: bytes, new: bytes) -> Path:
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new, 1))
    return file


def patch_nifti(file: Path, **fields) -> Path:
    """Write header fields: ``qform``, ``sform`` (codes), ``pixdim`` (3), ``quaternion`` (3), ``srow`` (12)."""
    layout = {
        "pixdim": (80, "<3f"), "qform": (252, "<h"), "sform": (254, "<h"),
        "quaternion": (256, "<3f"), "srow": (280, "<12f"),
    }  # fmt: skip
    data = bytearray(file.read_bytes())
    for name, value in fields.items():
        offset, kind = layout[name]
        struct.pack_into(kind, data, offset, *np.ravel(value))
    file.write_bytes(data)
    return file


def nifti_with(folder: Path, **fields) -> Path:
    return patch_nifti(write_image(folder / "scan.nii", ct_array(), spacing=(1, 1, 1)), **fields)


@bad_input("A path that does not exist", "no file or folder", "nowhere")
def _(folder):
    return folder / "nowhere"


@bad_input("An empty folder", "empty")
def _(folder):
    return folder


@bad_input("A folder without DICOM", "no DICOM")
def _(folder):
    (folder / "letter.txt").write_text("Dear colleague")
    return folder


@bad_input("A text file", "letter.txt", "format")
def _(folder):
    (folder / "letter.txt").write_text("Dear colleague")
    return folder / "letter.txt"


@bad_input("A zip archive", "study.zip", "unpack")
def _(folder):
    (folder / "study.zip").write_bytes(b"PK\3\4")
    return folder / "study.zip"


for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):

    @bad_input(f"A {suffix} file cut short", f"scan{suffix}", "damaged")
    def _(folder, suffix=suffix):
        return cut(write_image(folder / f"scan{suffix}", ct_array()))

    @bad_input(f"An empty {suffix} file", f"scan{suffix}", "damaged")
    def _(folder, suffix=suffix):
        (folder / f"scan{suffix}").write_bytes(b"")
        return folder / f"scan{suffix}"


for suffix in (".nrrd", ".mha"):

    @bad_input(f"A compressed {suffix} file cut short", f"scan{suffix}", "damaged")
    def _(folder, suffix=suffix):
        return cut(write_image(folder / f"scan{suffix}", ct_array(), compress=True))


@bad_input("A .nii.gz file whose last bytes are missing", "scan.nii.gz", "damaged")
def _(folder):
    return cut(write_image(folder / "scan.nii.gz", ct_array()), 0.999)


@bad_input("A .nii.gz file with a damaged middle", "scan.nii.gz", "damaged")
def _(folder):
    file = write_image(folder / "scan.nii.gz", ct_array())
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20] = bytes(20)
    file.write_bytes(data)
    return file


@bad_input("A .nii file with other content", "scan.nii", "damaged")
def _(folder):
    (folder / "scan.nii").write_bytes(b"no image" * 100)
    return folder / "scan.nii"


@bad_input("An .mhd file without its data file", "scan.mhd", "data file")
def _(folder):
    file = write_image(folder / "scan.mhd", ct_array())
    (folder / "scan.raw").unlink()
    return file


for suffix in (".nhdr", ".mhd"):

    @bad_input(f"An {suffix} file with a short data file", f"scan{suffix}", "data file")
    def _(folder, suffix=suffix):
        file = write_image(folder / f"scan{suffix}", ct_array())
        cut(folder / "scan.raw")
        return file


@bad_input("A NIfTI-2 file", "NIfTI-2")
def _(folder):
    (folder / "scan.nii").write_bytes(struct.pack("<i", 540) + b"n+2\0" + bytes(600))
    return folder / "scan.nii"


@bad_input("A header that claims far too many voxels", "99999", "more than any CT")
def _(folder):
    return edit(write_image(folder / "scan.nrrd", ct_array()), b"sizes: 20 24 16", b"sizes: 99999 99999 16")


@bad_input("A 2D picture", "2D")
def _(folder):
    return write_image(folder / "slice.nii.gz", ct_array()[8])


@bad_input("A 4D file of two phases", "4D", "2 volumes")
def _(folder):
    volume = sitk.GetImageFromArray(ct_array())
    sitk.WriteImage(sitk.JoinSeries([volume, volume]), str(folder / "phases.nii.gz"))
    return folder / "phases.nii.gz"


@bad_input("A color volume", "3 values a voxel", "color")
def _(folder):
    return write_image(folder / "color.nrrd", np.zeros((8, 8, 8, 3), np.uint8), isVector=True)


@bad_input("A file of four slices", "4 slices", "fewer than 5")
def _(folder):
    return write_image(folder / "scan.nii.gz", ct_array()[6:10])


# Grid


@bad_input("A NIfTI voxel size of zero", "voxel size", "1 × 1 × 0 mm")
def _(folder):
    return nifti_with(folder, pixdim=(1, 1, 0))


@bad_input("A NIfTI voxel size below zero", "voxel size", "-3 mm")
def _(folder):
    return nifti_with(folder, pixdim=(1, 1, -3))


@bad_input("An MHA voxel size of zero", "voxel size", "× 0 mm")
def _(folder):
    return edit(write_image(folder / "scan.mha", ct_array()), b"ElementSpacing = 2 2 4", b"ElementSpacing = 2 2 0")


@bad_input("An MHA voxel size below zero", "voxel size", "-4 mm")
def _(folder):
    return edit(write_image(folder / "scan.mha", ct_array()), b"ElementSpacing = 2 2 4", b"ElementSpacing = 2 2 -4")


@bad_input("An MHA voxel size that is no number", "scan.mha", "damaged")
def _(folder):
    return edit(write_image(folder / "scan.mha", ct_array()), b"ElementSpacing = 2 2 4", b"ElementSpacing = 2 2 four")


@bad_input("Pixels too small for a CT", "pixel size", "0.05", "0.1 to 3 mm")
def _(folder):
    return write_image(folder / "scan.nii.gz", ct_array(), spacing=(0.05, 0.05, 4))


@bad_input("Pixels too large for a CT", "pixel size", "3.5", "0.1 to 3 mm")
def _(folder):
    return write_image(folder / "scan.nii.gz", ct_array(), spacing=(3.5, 3.5, 4))


@bad_input("Slices too far apart", "slice spacing", "25 mm", "0.1 to 10 mm")
def _(folder):
    return write_image(folder / "scan.nii.gz", ct_array(), spacing=(2, 2, 25))


@bad_input("A sheared NIfTI grid", "sheared", "scan.nii")
def _(folder):
    return nifti_with(folder, sform=1, qform=0, srow=[[1, 0, 0.3, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


@bad_input("A sheared NRRD grid", "sheared", "scan.nrrd")
def _(folder):
    file = write_image(folder / "scan.nrrd", ct_array())
    return edit(file, b"(2,0,0) (0,2,0) (0,0,4)", b"(2,0,0) (0,2,0) (0,1,4)")


@bad_input("A NIfTI direction with two equal axes", "broken direction", "scan.nii")
def _(folder):
    return nifti_with(folder, sform=1, qform=0, srow=[[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]])


@bad_input("A NIfTI direction that is not a number", "broken direction", "scan.nii")
def _(folder):
    return nifti_with(folder, sform=1, qform=0, srow=[[np.nan, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


@bad_input("An NRRD direction with two equal axes", "broken direction", "scan.nrrd")
def _(folder):
    file = write_image(folder / "scan.nrrd", ct_array())
    return edit(file, b"(2,0,0) (0,2,0) (0,0,4)", b"(2,0,0) (0,2,0) (0,4,0)")


@bad_input("A NIfTI file that states two voxel sizes", "two different voxel sizes", "1 × 1 × 1", "1 × 1 × 3")
def _(folder):
    return nifti_with(folder, sform=1, qform=0, srow=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 3, 0]])


@bad_input("A NIfTI file that states two orientations", "two different orientations")
def _(folder):
    turned = [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    return nifti_with(folder, sform=1, qform=1, quaternion=(0, 0, 0), srow=turned)


@bad_input("A NIfTI file without orientation", "how the patient lies", "left and right")
def _(folder):
    return nifti_with(folder, sform=0, qform=0)


@bad_input("An NRRD file without orientation", "how the patient lies", "left and right")
def _(folder):
    file = write_image(folder / "scan.nrrd", ct_array())
    return edit(file, b"space: left-posterior-superior", b"space: scanner-xyz")


@bad_input("An MHA file without orientation", "how the patient lies", "left and right")
def _(folder):
    file = write_image(folder / "scan.mha", ct_array())
    return edit(file, b"TransformMatrix = 1 0 0 0 1 0 0 0 1\n", b"")


# Values


def write_values(folder: Path, array: np.ndarray) -> Path:
    return write_image(folder / "scan.nii.gz", array)


@bad_input("Voxels that are not a number", "2 voxels", "NaN", "x 3, y 4, slice 5")
def _(folder):
    array = ct_array().astype(np.float32)
    array[5, 4, 3] = array[9, 9, 9] = np.nan
    return write_values(folder, array)


@bad_input("An infinite voxel", "1 voxel ", "infinite")
def _(folder):
    array = ct_array().astype(np.float32)
    array[5, 4, 3] = -np.inf
    return write_values(folder, array)


@bad_input("Voxels that are not a number in an NRRD file", "1 voxel ", "x 3, y 4, slice 5")
def _(folder):
    array = ct_array().astype(np.float32)
    array[5, 4, 3] = np.nan
    return write_image(folder / "scan.nrrd", array)


@bad_input("An MR image (0 to 4000)", "not a CT", "0 to 4000", "MR")
def _(folder):
    array = np.random.default_rng(1).integers(0, 4000, (16, 24, 20), dtype=np.int16)
    array[0, 0, 0] = 4000
    array[0, 0, 1] = 0
    return write_values(folder, array)


@bad_input("A CT stored without its rescale", "not a CT", "rescale")
def _(folder):
    return write_values(folder, (ct_array() + 1024).astype(np.uint16))


@bad_input("A CT stored without its rescale, padded with -2000", "not a CT", "-2000")
def _(folder):
    array = ct_array() + 1024
    array[:, :3] = -2000
    return write_values(folder, array)


@bad_input("A label map", "not a CT", "label map")
def _(folder):
    return write_values(folder, (ct_array() > -200).astype(np.uint8))


@bad_input("An image normalized to 0 to 1", "not a CT", "normalized")
def _(folder):
    return write_values(folder, ((ct_array() + 1000) / 1040).astype(np.float32))


@bad_input("An image normalized to mean 0 and deviation 1", "not a CT", "normalized")
def _(folder):
    array = ct_array().astype(np.float32)
    return write_values(folder, (array - array.mean()) / array.std())


@bad_input("Values far beyond Hounsfield units", "not a CT", "1e+06", "far beyond")
def _(folder):
    array = ct_array().astype(np.float32)
    array[3, 3, 3] = 1e6
    return write_values(folder, array)


@bad_input("A volume of nothing but zeros", "not a CT", "0 to 0", "one value everywhere")
def _(folder):
    return write_values(folder, np.zeros((16, 24, 20), np.int16))


@bad_input("A volume of nothing but padding", "not a CT", "-3024", "one value everywhere")
def _(folder):
    return write_values(folder, np.full((16, 24, 20), -3024, np.int16))


@bad_input("A scan of air", "no body", "air")
def _(folder):
    noise = np.random.default_rng(1).normal(-1000, 15, (16, 24, 20))
    return write_values(folder, noise.astype(np.int16))


# DICOM


@bad_input("A DICOM folder of MR images", "no CT", "MR (8)")
def _(folder):
    dicom.write_series(folder, Modality="MR")
    return folder


@bad_input("A DICOM folder of scouts", "no CT", "scout (2)")
def _(folder):
    dicom.write_series(folder, dicom.slice_positions(2), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    return folder


@bad_input("A DICOM folder of screen captures", "no CT", "secondary capture (8)")
def _(folder):
    dicom.write_series(folder, SOPClassUID=SecondaryCaptureImageStorage)
    return folder


@bad_input("A DICOM folder of maximum intensity projections", "no CT", "projection (8)")
def _(folder):
    dicom.write_series(folder, ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"])
    return folder


@bad_input("A DICOM folder of spectral maps", "no CT", "spectral map (8)")
def _(folder):
    dicom.write_series(folder, RescaleType="Z_EFF")
    return folder


@bad_input("A DICOM folder of color pictures", "no CT", "color (8)")
def _(folder):
    dicom.write_series(folder, SamplesPerPixel=3)
    return folder


@bad_input("A DICOM folder of two patients", "CTs of 2 patients", "the folder of one")
def _(folder):
    dicom.write_series(folder)
    dicom.write_series(folder / "thin", dicom.slice_positions(16, 3), PatientID=dicom.OTHER_PATIENT_ID, number=4)
    return folder


@bad_input("A DICOM folder of three examinations", "CTs of 3 examinations", "the folder of one")
def _(folder):
    for number in (1, 2, 3):
        dicom.write_series(folder, StudyInstanceUID=generate_uid(), number=number)
    return folder


@bad_input("One DICOM series with slices of two patients", "CTs of 2 patients")
def _(folder):
    return dicom.write_series(
        folder, change=lambda i, ds: setattr(ds, "PatientID", dicom.OTHER_PATIENT_ID if i == 3 else dicom.PATIENT_ID)
    )[0]


@bad_input("Enhanced DICOM files of two patients", "CTs of 2 patients")
def _(folder):
    dicom.write_enhanced(folder / "one.dcm")
    dicom.write_enhanced(folder / "other.dcm", PatientID=dicom.OTHER_PATIENT_ID)
    return folder


@bad_input("A DICOM folder whose modality is a name", "no CT", "other (8)")
def _(folder):
    dicom.write_series(folder, Modality=dicom.PATIENT)
    return folder


@bad_input("A DICOM series of four slices", "series 3", "4 slices", "fewer than 5")
def _(folder):
    dicom.write_series(folder, dicom.slice_positions(4))
    return folder


@bad_input("A lone DICOM slice", "1 slice,", "fewer than 5")
def _(folder):
    return dicom.write_series(folder, dicom.slice_positions(1))[0]


@bad_input("A .dcm file with other content", "03-0004.dcm", "damaged")
def _(folder):
    dicom.write_series(folder)[3].write_bytes(b"no image" * 100)
    return folder


@bad_input("A DICOM slice cut short in its pixels", "03-0004.dcm", "damaged")
def _(folder):
    cut(dicom.write_series(folder)[3])
    return folder


@bad_input("A DICOM slice cut short in its header", "03-0004.dcm", "damaged")
def _(folder):
    cut(dicom.write_series(folder)[3], 0.06)
    return folder


@bad_input("A DICOM slice with too few pixels in a sound file", "03-0004.dcm", "damaged")
def _(folder):
    dicom.write_series(folder, change=lambda i, ds: setattr(ds, "PixelData", ds.PixelData[: 999 if i == 3 else None]))
    return folder


@bad_input("A compressed DICOM slice cut short", "03-0004.dcm", "damaged")
def _(folder):
    cut(dicom.write_series(folder, change=lambda _, ds: ds.compress(RLELossless))[3], 0.9)
    return folder


@bad_input("An enhanced DICOM file cut short", "scan.dcm", "damaged")
def _(folder):
    return cut(dicom.write_enhanced(folder / "scan.dcm"))


@bad_input("An enhanced DICOM file with another rescale in every frame", "series 5", "rescale")
def _(folder):
    return dicom.write_enhanced(folder / "scan.dcm", intercepts=range(-1024, -1016))


@bad_input("A DICOM series with a missing slice", "gap of 12.00 mm", "images 3 and 5", "-9.0 to 3.0 mm")
def _(folder):
    dicom.write_series(folder)[3].unlink()
    return folder


@bad_input("A DICOM series with two parts far from each other", "gap", "images 8 and 9")
def _(folder):
    lower = dicom.slice_positions()
    dicom.write_series(folder, lower + [position + (0, 0, 90) for position in lower], change=_acquisition_of_eight)
    return folder


def _acquisition_of_eight(index: int, dataset: Dataset) -> None:
    dataset.AcquisitionNumber = 1 + index // 8


@bad_input("A DICOM series with growing spacing", "unevenly spaced", "4.80 to 7.20 mm", "images 7 and 8")
def _(folder):
    heights = np.cumsum([0, 4.8, 5.2, 5.6, 6.0, 6.4, 6.8, 7.2])
    edge = dicom.slice_positions()[0][0]
    dicom.write_series(folder, [np.array([edge, edge, z - 20]) for z in heights])
    return folder


@bad_input("A DICOM series with one slice shifted sideways", "shifted sideways")
def _(folder):
    positions = dicom.slice_positions()
    positions[3] = positions[3] + (4, 0, 0)
    dicom.write_series(folder, positions)
    return folder


@bad_input("Two phases in one DICOM series that nothing tells apart", "same place", "images 1 and 9", "-21.0 mm")
def _(folder):
    dicom.write_series(folder, dicom.slice_positions() * 2)
    return folder


@bad_input("A DICOM series with images of two sizes", "image 4", "16 × 16 pixels", "32 × 32 pixels")
def _(folder):
    def shrink(index: int, dataset: Dataset) -> None:
        if index == 3:
            dataset.Rows = dataset.Columns = 16

    dicom.write_series(folder, change=shrink)
    return folder


@bad_input("A DICOM series with two pixel sizes", "image 4", "2 × 2 mm", "2.5 × 2.5 mm")
def _(folder):
    dicom.write_series(folder, change=lambda i, ds: setattr(ds, "PixelSpacing", [2, 2] if i == 3 else [2.5, 2.5]))
    return folder


@bad_input("A DICOM series with two orientations", "image 4", "another orientation")
def _(folder):
    def turn(index: int, dataset: Dataset) -> None:
        if index == 3:
            dataset.ImageOrientationPatient = list(dicom.CORONAL)

    dicom.write_series(folder, change=turn)
    return folder


def _without(keyword: str) -> Callable[[int, Dataset], None]:
    return lambda index, dataset: delattr(dataset, keyword) if index == 3 else None


@bad_input("A DICOM slice without position", "image 4", "where it lies")
def _(folder):
    dicom.write_series(folder, change=_without("ImagePositionPatient"))
    return folder


@bad_input("A DICOM slice without pixel spacing", "image 4", "where it lies")
def _(folder):
    dicom.write_series(folder, change=_without("PixelSpacing"))
    return folder


@bad_input("A DICOM series with a broken orientation", "image 1", "not perpendicular")
def _(folder):
    dicom.write_series(folder, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    return folder


@bad_input("A DICOM pixel spacing of zero", "image 1", "0 × 0 mm")
def _(folder):
    dicom.write_series(folder, PixelSpacing=[0, 0])
    return folder


@bad_input("A DICOM pixel spacing below zero", "image 1", "-1 × -1 mm")
def _(folder):
    dicom.write_series(folder, PixelSpacing=[-1, -1])
    return folder


@bad_input("A DICOM pixel spacing of 5 mm", "pixel size", "5 × 5 mm")
def _(folder):
    dicom.write_series(folder, PixelSpacing=[5, 5])
    return folder


@bad_input("DICOM slices 12 mm apart", "slice spacing", "12 mm")
def _(folder):
    dicom.write_series(folder, dicom.slice_positions(spacing=12))
    return folder


@bad_input("A DICOM position that is no number", "03-0001.dcm", "damaged")
def _(folder):
    for file in dicom.write_series(folder):
        edit(file, b"-38.750000\\-38.750000", b"thirtyeigh\\-38.750000")
    return folder


@bad_input("A DICOM rescale slope of zero", "image 1", "rescale slope of 0")
def _(folder):
    dicom.write_series(folder, RescaleSlope=0)
    return folder


@bad_input("A DICOM CT without rescale", "not a CT", "rescale")
def _(folder):
    def forget(_: int, dataset: Dataset) -> None:
        del dataset.RescaleSlope, dataset.RescaleIntercept

    dicom.write_series(folder, change=forget)
    return folder


@bad_input("A DICOM series of air", "no body")
def _(folder):
    dicom.write_series(folder, field=lambda points: np.full(points.shape[:-1], -1000.0))
    return folder


def gzip_of(file: Path) -> Path:
    """The same content, zipped, beside the file."""
    zipped = file.with_name(file.name + ".gz")
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    return zipped
