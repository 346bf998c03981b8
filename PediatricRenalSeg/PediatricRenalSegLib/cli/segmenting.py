"""Commands that make a patient folder: ``segment``, ``demo``, ``revise``."""

import argparse
import sys
from functools import partial
from pathlib import Path

from ..export.writers import LABELMAP, PREVIEW
from .options import (
    NO_RESULT,
    Commands,
    add_device,
    add_output_options,
    add_writing_options,
    positive,
    run_case,
)


def add_commands(commands: Commands) -> None:
    """Add the commands of this file to the parser's."""
    segment = commands.add_parser("segment", help="segment the kidneys and the tumor of one CT")
    segment.add_argument("input", type=Path, metavar="INPUT", help="DICOM folder or file, NIfTI, NRRD or MHA")
    _add_model_options(segment)
    add_output_options(segment)
    segment.set_defaults(run=_segment, when_cancelled=NO_RESULT)

    demo = commands.add_parser("demo", help="generate a child with a tumor and segment it")
    demo.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR", help="folder to make (default: demo)")
    demo.add_argument("--age", type=float, default=3.0, help="years, 0 to 16 (default: 3)")
    demo.add_argument("--seed", type=int, default=1, help="which child (default: 1)")
    demo.add_argument("--ct-only", action="store_true", help="generate, but do not segment")
    _add_model_options(demo)
    add_writing_options(demo)
    demo.set_defaults(run=_demo, when_cancelled=NO_RESULT)

    revise = commands.add_parser("revise", help="write the patient folder of a corrected segmentation")
    revise.add_argument("input", type=Path, metavar="INPUT", help="the CT, as for segment")
    labels_help = "label map on its grid with the values of the report's structures, such as 1 right kidney"
    revise.add_argument("corrected", type=Path, metavar="LABELS", help=labels_help)
    revise.add_argument("report", type=Path, metavar="REPORT", help="report.json of the result that was corrected")
    add_output_options(revise)
    revise.set_defaults(run=_revise, when_cancelled=NO_RESULT)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="ID|FILE", help="shipped model or model file (default: the first shipped)")
    add_device(parser)
    parser.add_argument("--batch-size", type=positive, metavar="N", help="slices at once; fewer need less memory")


def _segment(options: argparse.Namespace) -> None:
    _segment_file(options, options.input, options.output)


def _segment_file(options: argparse.Namespace, source: Path, output: Path) -> None:
    from ..case import segment_case

    log = _say_nothing if options.progress == "json" else print
    run = partial(segment_case, model=options.model, device=options.device, batch_size=options.batch_size, log=log)
    run_case(options, output, run, source, output)


def _say_nothing(_: str) -> None:
    """Standard output is for events alone."""


def _demo(options: argparse.Namespace) -> None:
    from ..demo import REFERENCE, RESULT, make_demo_child
    from ..evaluation.patients import dice_by_structure

    folder, result = options.output, options.output / RESULT
    ct = make_demo_child(folder, options.age, options.seed, options.overwrite)
    print(f"Generated a child of {options.age:g} years: {ct}", file=sys.stderr)
    if options.ct_only:
        return
    _segment_file(options, ct, result)
    if (result / LABELMAP.file).is_file():
        for name, dice in dice_by_structure(folder / REFERENCE, result / LABELMAP.file).items():
            print(f"{name}: Dice {dice:.3f} against the generated truth", file=sys.stderr)
    if (result / PREVIEW.file).is_file():
        print(f"Look at {result / PREVIEW.file}.", file=sys.stderr)


def _revise(options: argparse.Namespace) -> None:
    from ..case import revise_case

    run_case(options, options.output, revise_case, options.input, options.corrected, options.report, options.output)
