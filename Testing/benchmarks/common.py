"""What the benchmarks share: the machine in words, peak memory, generated children, tables."""

import argparse
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import vtk

import PediatricRenalSegLib
from PediatricRenalSegLib.structures import RENAL
from PediatricRenalSegLib.synthetic import Scan, draw_anatomy, draw_settings, generate_child

RESULTS = Path(__file__).parent / "results"
THREADS = 2
RESET_PEAK = "5"
"""What the kernel wants to read in ``clear_refs`` to forget the peak of the resident memory."""


def add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="ID|FILE", help="default: the first shipped model")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps or auto")
    parser.add_argument("--threads", type=int, default=THREADS, help=f"threads of the processor (default: {THREADS})")


def use_threads(count: int) -> None:
    torch.set_num_threads(count)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)


def machine(device: str) -> str:
    """Processor, memory, device and versions in one paragraph."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB", f"{torch.get_num_threads()} threads"]
    parts.append(torch.cuda.get_device_name() if device.startswith("cuda") else f"device {device}")
    versions = {
        "PediatricRenalSeg": PediatricRenalSegLib.__version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "SimpleITK": sitk.Version.VersionString(),
        "numpy": np.__version__,
        "vtk": vtk.vtkVersion().GetVTKVersion(),
    }
    return "; ".join(parts) + ". " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def commit_of(checkout: Path) -> str:
    """Short hash of what is checked out there."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def forget_peak() -> None:
    """Start a new measurement of the peak memory (Linux; elsewhere the peak is that of the whole run)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)


def peak_mib() -> float:
    """Peak resident memory since ``forget_peak`` in MiB; NaN where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def child_of(age_years: float, seed: int, slices: int | None = None) -> Scan:
    """A generated child with a tumor, 512 × 512; with ``slices`` the whole trunk in so many."""
    if slices is None:
        return generate_child(age_years, seed)
    anatomy = draw_anatomy(age_years, seed, True)
    settings = draw_settings(anatomy, np.random.default_rng([seed, 1]))
    low, high = anatomy.z_range
    spacing = (high - low) / slices
    thickness = max(spacing, anatomy.working_mm)
    return generate_child(
        age_years, seed, settings=replace(settings, slices=slices, spacing_mm=spacing, slice_mm=thickness, z_low=low)
    )


def write_child(folder: Path, age_years: float, seed: int, slices: int | None = None) -> tuple[Path, Path]:
    """Files of the CT and of its true segments."""
    paths = folder / "ct.nii.gz", folder / "reference.nii.gz"
    for image, path in zip(child_of(age_years, seed, slices).to_sitk(), paths):
        sitk.WriteImage(image, str(path))
    return paths


def segment_mask(labels: sitk.Image, name: str) -> sitk.Image:
    """All segments of the structure ``name`` as one mask."""
    values = [segment.value for segment in RENAL.segments if segment.structure.name == name]
    array = np.isin(sitk.GetArrayViewFromImage(labels), values).astype(np.uint8)
    mask = sitk.GetImageFromArray(array)
    mask.CopyInformation(labels)
    return mask


def swapped_voxels(truth: np.ndarray, found: np.ndarray) -> int:
    """Voxels of one side's kidney that were given to the other side's; values as in ``RENAL.segments``."""
    right, left = (segment.value for segment in RENAL.segments if segment.side)
    return int(((truth == right) & (found == left)).sum() + ((truth == left) & (found == right)).sum())


def mean_sd(values: list[float]) -> str:
    spread = f"{np.nanstd(values, ddof=1):.3f}" if np.isfinite(values).sum() > 1 else "–"
    return f"{np.nanmean(values):.3f} ({spread})"


def write_tables(name: str, title: str, paragraphs: list[str], tables: list[tuple[list[str], list[list]]]) -> None:
    """Print a page of Markdown and keep it under ``results``."""
    parts = [f"# {title}", *paragraphs, *(markdown_table(header, rows) for header, rows in tables)]
    page = "\n\n".join(parts) + "\n"
    print(page)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(page, encoding="utf-8")


def markdown_table(header: list[str], rows: list[list]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
