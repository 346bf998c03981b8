"""What several commands share: the parser, options, and how a case that runs is told."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .. import NOTICE
from ..export.writers import DEFAULT_MESH, IMAGES, MESH_FORMATS, WRITERS
from ..progress import NETWORK

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..case import CaseResult
    from ..progress import Progress

PROGRAM = "pediatric-renal-seg"
EXIT_WRONG_INPUT = 2
"""That of argparse for a wrong call."""
NO_RESULT = "cancelled; no result was written."
"""What a cancelled command says that writes all or nothing."""
DEVICES = ("auto", "cpu", "cuda", "mps")

Commands = Any
"""What ``add_subparsers`` returns, which argparse has no public name for."""


class Parser(argparse.ArgumentParser):
    """One line for a wrong call, as for every other error."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit."""
        self.exit(EXIT_WRONG_INPUT, f"{PROGRAM}: {message}; see {self.prog} --help.\n")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """The patient folder, what is written into it, and how progress is told."""
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="patient folder to make")
    add_writing_options(parser)


def add_writing_options(parser: argparse.ArgumentParser) -> None:
    """What is written, and how progress is told."""
    write_help = f"write only these kinds of files, may be given again: {', '.join((*IMAGES, *MESH_FORMATS))}"
    write_help += f" (default: {', '.join(IMAGES)})"
    parser.add_argument("--write", action="append", choices=WRITERS, metavar="KIND", help=write_help)
    mesh_help = f"format of the models, may be given again: {', '.join(MESH_FORMATS)} (default: stl)"
    parser.add_argument("--mesh", action="append", choices=MESH_FORMATS, metavar="FORMAT", help=mesh_help)
    parser.add_argument("--progress", choices=("bar", "json"), default="bar", help="json: one line an event on stdout")
    add_overwrite(parser)


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Whether an earlier result may be replaced."""
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where the network runs."""
    parser.add_argument("--device", default="auto", choices=DEVICES)


def positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def chosen_writers(options: argparse.Namespace) -> tuple[str, ...]:
    """What ``--write`` and ``--mesh`` say, each for its kind; what only one of them names is all of it."""
    images = options.write or IMAGES
    meshes = options.mesh or (() if options.write else (DEFAULT_MESH,))
    return (*images, *meshes)


def run_case(options: argparse.Namespace, output: Path, run: "Callable[..., CaseResult]", *arguments: object) -> None:
    """Run a function of ``case`` with progress, and say what came out.

    run: called with ``arguments``, and by name with writers, overwrite and progress.
    """
    report, end = _json_progress() if options.progress == "json" else _bar_progress()
    started = time.monotonic()
    try:
        result = run(*arguments, writers=chosen_writers(options), overwrite=options.overwrite, progress=report)
    finally:
        end()
    for row in result.measurements.segments:
        size = f"{row.volume_ml:8.1f} ml   longest diameter {row.longest_diameter_mm:6.1f} mm"
        print(f"{row.segment_id:14} {size}", file=sys.stderr)
    for warning in result.measurements.warnings:
        print(f"Check: {warning.text}", file=sys.stderr)
    print(f"{output} written in {time.monotonic() - started:.0f} s. {NOTICE}", file=sys.stderr)


Report = Callable[["Progress"], None]
End = Callable[[], None]


def _json_progress() -> tuple[Report, End]:
    return lambda event: print(json.dumps(asdict(event)), flush=True), lambda: None


def _bar_progress() -> tuple[Report, End]:
    """A line for every stage, and for the network a bar that counts slices or patches."""
    bars: list[tqdm] = []

    def report(event: "Progress") -> None:
        if event.stage != NETWORK or event.total == 1:
            end()
            print(f"{event.stage} …", flush=True)
            return
        if not bars:
            from tqdm import tqdm  # not needed in Slicer

            # disable=None: no bar in a log file
            bars.append(tqdm(desc=event.stage, total=event.total, disable=None))
        bars[0].update(event.done - bars[0].n)

    def end() -> None:
        while bars:
            bars.pop().close()

    return report, end
