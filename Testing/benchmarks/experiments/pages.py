"""What all experiments share: their options, and their pages, which are partly written by hand."""

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import matplotlib

from PediatricRenalSegLib.output_files import write_text

sys.path.append(str(Path(__file__).parents[1]))  # the benchmarks are scripts, not a package
import common  # noqa: E402  (the experiments take these from here, because they are not on their path)
import dice_generated  # noqa: E402, F401
import dice_scans  # noqa: E402

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs/experiments")
SCALES = ("small", "large")
LABEL_ENDING = dice_scans.LABEL_ENDING
BY_HAND = "## What agrees and what does not"
"""From this line on a page is written by hand, and kept when its tables are written again."""


def experiment_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="small", help="small: two processor cores; large: a GPU")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"what is kept between runs (default: {RUNS})")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps or auto")
    parser.add_argument("--threads", type=int, default=common.THREADS, help="of the processor")
    return parser


def scan_names(folder: Path) -> list[str]:
    """Scans with ``NAME.nii.gz`` and ``NAME_label.nii.gz``. Raises ``SystemExit`` when there are none."""
    names = sorted(path.name.removesuffix(LABEL_ENDING) for path in folder.glob(f"*{LABEL_ENDING}"))
    if not names:
        raise SystemExit(f"{folder} holds no NAME{LABEL_ENDING}.")
    return names


def machine(device: str) -> str:
    """Processor, memory, device and versions in one paragraph."""
    return f"{common.machine(device).removesuffix('.')}, matplotlib {matplotlib.__version__}."


def write_page(path: Path, title: str, paragraphs: list[str], tables: list[tuple[list[str], list[list]]]) -> None:
    """Write a page of tables, each a header and rows, and the picture of its name; what is written by hand stays."""
    shown = [common.markdown_table(header, rows) for header, rows in tables]
    parts = [f"# {title}", *paragraphs, *shown, f"![The numbers as a picture]({path.stem}.png)"]
    page = "\n\n".join(parts) + "\n"
    print(page)
    by_hand = f"{BY_HAND}\n\nNot written yet.\n"
    if path.is_file() and BY_HAND in (before := path.read_text(encoding="utf-8")):
        by_hand = before[before.index(BY_HAND) :]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"{page}\n{by_hand}")


def write_csv(path: Path, header: list[str], rows: Iterable[list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
