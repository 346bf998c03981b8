"""Commands about data with known labels: ``evaluate``, ``prepare``."""

import argparse
import sys
from pathlib import Path

from ..errors import InputError
from .options import Commands


def add_commands(commands: Commands) -> None:
    """Add the commands of this file to the parser's."""
    evaluate = commands.add_parser("evaluate", help="compare label maps with their references")
    evaluate.add_argument("reference", type=Path, metavar="REFERENCE", help="label map, or folder of them")
    evaluate.add_argument("prediction", type=Path, metavar="PREDICTION", help="the same patients under the same names")
    evaluate.add_argument("--compare", type=Path, metavar="OTHER", help="a second prediction, compared with the first")
    model_help = "what the labels mean (default: the report beside a label map says it, or those of the shipped models)"
    evaluate.add_argument("--model", metavar="ID|FILE", help=model_help)
    evaluate.add_argument("--csv", type=Path, metavar="FILE", help="write all scores of all patients")
    evaluate.set_defaults(run=_evaluate)

    prepare = commands.add_parser("prepare", help="turn labeled CTs into a store of slices to train on")
    prepare.add_argument("dataset", type=Path, metavar="DATASET", help="folder: nnU-Net's, or CTs with .seg.nrrd files")
    prepare.add_argument("store", type=Path, metavar="STORE", help="folder to make or to go on with")
    labels_help = "what a label or segment of the data set is: the name of a structure, or background"
    prepare.add_argument("--labels", nargs="+", default=[], metavar="NAME=STRUCTURE", help=labels_help)
    structures_help = "JSON list of what to segment, as structures.json in a store (default: kidney and tumor)"
    prepare.add_argument("--structures", type=Path, metavar="FILE", help=structures_help)
    go_on = "stopped; the same command goes on with the next patient."
    prepare.set_defaults(run=_prepare, when_cancelled=go_on)


def _evaluate(options: argparse.Namespace) -> None:
    from ..evaluation.patients import evaluate
    from ..evaluation.tables import check_csv, text_report, write_csv
    from ..models.bundle import read_metadata
    from ..models.catalogue import model_path

    if options.csv:
        check_csv(options.csv)
    structures = read_metadata(model_path(options.model)).structures if options.model else None
    paths = [options.prediction, options.compare] if options.compare else [options.prediction]
    found = {str(path): evaluate(options.reference, path, _tell, structures) for path in paths}
    for sentence in dict.fromkeys(sentence for evaluation in found.values() for sentence in evaluation.left_out):
        print(f"Left out: {sentence}", file=sys.stderr)
    if options.csv:
        write_csv(options.csv, found)
    print(text_report(*found.values()))


def _prepare(options: argparse.Namespace) -> None:
    from ..training.data.prepare import prepare_dataset
    from ..training.data.store import read_structure_file

    structures = read_structure_file(options.structures) if options.structures else None
    prepared = prepare_dataset(options.dataset, options.store, options.labels, _tell, structures)
    print(prepared.text())
    if not prepared.stored:
        raise InputError(f"No patient of {options.dataset} could be stored: correct what is said above.")


def _tell(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)
