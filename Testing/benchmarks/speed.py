"""Command to exit and click to surfaces, of this checkout and of an earlier one side by side in one run.

    git worktree add ../before COMMIT
    python Testing/benchmarks/speed.py ../before [--runs 5]

Processes of both take turns, so that what else the machine does meets both alike; take no timing beside other work.
The CT of 120 slices is that of a generated child; the one of 1000 is the same child in thinner slices with noise of
their own, for a file that compresses as a real one does. Writes results/speed.md.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from common import commit_of, machine, write_child, write_tables

AGE_YEARS, SEED = 3.0, 1_000_000
SLICES, MANY = 120, 1000
NOISE_HU = 12.0
HERE = Path(__file__).resolve().parents[2]
CLICK = re.compile(r"^\| click to surfaces \| ([\d.]+) ", re.MULTILINE)
"""The row that slicer_module.py prints."""


LAUNCHER = """
import resource, subprocess, sys, time
started = time.monotonic()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""A process of its own, because a child's peak begins with the memory of who starts it."""


@dataclass(frozen=True)
class Run:
    """One process from start to exit."""

    seconds: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkout to compare with")
    parser.add_argument("--runs", type=int, default=5, help="of each command and checkout (default: 5)")
    options = parser.parse_args()
    trees = {"before": options.before.resolve(), "now": HERE}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_child(folder, AGE_YEARS, SEED, SLICES)
        _write_many_slices(folder / "ct.nii.gz", folder / "many.nii.gz")
        few = _take_turns(trees, folder / "ct.nii.gz", options.runs)
        many = _take_turns(trees, folder / "many.nii.gz", max(1, options.runs // 2))
        rows = [_row(f"command to exit, {SLICES} slices", few), _row(f"command to exit, {MANY} slices", many)]
    clicks = {name: _click_to_surfaces(tree) for name, tree in trees.items()}
    rows.append([f"Slicer: click to surfaces, {SLICES} slices", *(f"{clicks[name]:.1f}" for name in trees), "", ""])
    header = ["512 × 512", "before, s", "now, s", "before, GB", "now, GB"]
    commits = {name: commit_of(tree) for name, tree in trees.items()}
    paragraphs = [
        f"From the start of the command to its exit, imports included, {options.runs} runs of each in turn "
        f"({max(1, options.runs // 2)} of the long scan): median seconds and the highest peak of the resident memory. "
        "Click to surfaces: median of three runs in the headless stand-in for Slicer, from the click to the segments "
        "and their surfaces in the scene.",
        f"Before: commit {commits['before']}; now: commit {commits['now']} and what was not committed.",
        machine("cpu"),
    ]
    write_tables("speed.md", "Speed, before and now", paragraphs, [(header, rows)])


def _write_many_slices(source: Path, target: Path) -> None:
    """The same child in ``MANY`` slices, with noise of each slice's own."""
    image = sitk.ReadImage(str(source))
    size, spacing = image.GetSize(), image.GetSpacing()
    grid = ([size[0], size[1], MANY], sitk.Transform(), sitk.sitkLinear, image.GetOrigin())
    thin = sitk.Resample(
        image, *grid, [*spacing[:2], spacing[2] * size[2] / MANY], image.GetDirection(), -1024, sitk.sitkInt16
    )
    array, rng = sitk.GetArrayFromImage(thin), np.random.default_rng(SEED)
    for plane in array:
        plane[plane > -1000] += rng.normal(0, NOISE_HU, np.count_nonzero(plane > -1000)).astype(np.int16)
    noisy = sitk.GetImageFromArray(array)
    noisy.CopyInformation(thin)
    sitk.WriteImage(noisy, str(target), useCompression=True)


def _take_turns(trees: dict[str, Path], ct: Path, runs: int) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {name: [] for name in trees}
    for _ in range(runs):
        for name, tree in trees.items():
            found[name].append(_segment(tree, ct))
    return found


def _segment(tree: Path, ct: Path) -> Run:
    """Segment a file with the command line of a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "PediatricRenalSegLib.cli", "segment", str(ct), "--output", f"{folder}/result"]
        measured = subprocess.run(
            [sys.executable, "-c", LAUNCHER, *command, "--device", "cpu"],
            env={**os.environ, "PYTHONPATH": str(tree / "PediatricRenalSeg")},
            capture_output=True,
            text=True,
        )
        if measured.returncode:
            raise SystemExit(f"{tree} could not segment {ct}: run it by hand to see why.")
        seconds, kibibytes = map(float, measured.stdout.split())
        return Run(seconds, kibibytes / 1024)


def _row(title: str, found: dict[str, list[Run]]) -> list[str]:
    seconds = [f"{statistics.median(run.seconds for run in runs):.1f}" for runs in found.values()]
    return [title, *seconds, *(f"{max(run.peak_mib for run in runs) / 1024:.1f}" for runs in found.values())]


def _click_to_surfaces(tree: Path) -> float:
    """Median seconds, as the checkout's own slicer_module.py measures them."""
    script = tree / "Testing" / "benchmarks" / "slicer_module.py"
    environment = {**os.environ, "PYTHONPATH": str(tree / "PediatricRenalSeg"), "QT_QPA_PLATFORM": "offscreen"}
    result = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True)
    row = CLICK.search(result.stdout)
    if row is None:
        raise SystemExit(f"{script} printed no line on click to surfaces.")
    return float(row[1])


if __name__ == "__main__":
    main()
