"""Whether this checkout and an earlier one write the same files, byte for byte, for the same CT.

    git worktree add ../before COMMIT
    python Testing/benchmarks/identical.py ../before scan-1.nii.gz scan-2.nii.gz

Compares the demo's child, its true labels, and the label map and segmentation of the child and of every scan. Each
checkout uses its own bundled model. Writes results/identical.md; exits with 1 if a file differs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import commit_of, machine, write_tables

HERE = Path(__file__).resolve().parents[2]
CHILD = ("ct.nii.gz", "reference.nii.gz")
RESULTS = ("labelmap.nii.gz", "segmentation.seg.nrrd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkout to compare with")
    parser.add_argument("scans", type=Path, nargs="*", metavar="CT", help="files as for segment")
    options = parser.parse_args()
    trees = {"before": options.before.resolve(), "now": HERE}
    with tempfile.TemporaryDirectory() as name:
        folders = {side: Path(name, side) for side in trees}
        for side, tree in trees.items():
            _run(tree, "demo", "--ct-only", "--output", str(folders[side]))
            _run(tree, "segment", str(folders[side] / CHILD[0]), "--output", str(folders[side] / "demo"))
            for scan in options.scans:
                _run(tree, "segment", str(scan), "--output", str(folders[side] / scan.name))
        rows = [_row("demo child", [folder / file for folder in folders.values()], file) for file in CHILD]
        for case in ("demo", *(scan.name for scan in options.scans)):
            rows += [_row(case, [folder / case / file for folder in folders.values()], file) for file in RESULTS]
    paragraphs = [
        f"Before: commit {commit_of(trees['before'])}; now: commit {commit_of(HERE)} and what was not committed.",
        machine("cpu"),
    ]
    write_tables("identical.md", "The same files, byte for byte", paragraphs, [(["case", "file", "identical"], rows)])
    sys.exit(any(row[-1] != "yes" for row in rows))


def _run(tree: Path, *arguments: str) -> None:
    """A command of a checkout's own command line."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "PediatricRenalSeg")}
    command = [sys.executable, "-m", "PediatricRenalSegLib.cli", *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def _row(case: str, paths: list[Path], file: str) -> list[str]:
    first, second = (path.read_bytes() for path in paths)
    return [case, f"`{file}`", "yes" if first == second else "NO"]


if __name__ == "__main__":
    main()
