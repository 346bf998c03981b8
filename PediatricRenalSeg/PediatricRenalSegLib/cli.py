"""The command line: ``pediatric-renal-seg``.

Exit codes: 0 done; 2 the input or the call is wrong, or a file cannot be written (one line on stderr);
130 cancelled.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from . import NOTICE, __version__
from .structures import SEGMENTS
from .volume import InputError

EXIT_WRONG_INPUT = 2
EXIT_CANCELLED = 130
NO_RESULT = "cancelled; no result was written."


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options.run(options)
    except InputError as error:
        print(f"pediatric-renal-seg: {error}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        what = error.strerror or error
        print(f"pediatric-renal-seg: {where}{what}; check your access rights and the space left.", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt:
        print(f"pediatric-renal-seg: {options.when_cancelled}", file=sys.stderr)
        return EXIT_CANCELLED
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for every other wrong call."""
        self.exit(EXIT_WRONG_INPUT, f"pediatric-renal-seg: {message}; see {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("pediatric-renal-seg", description=f"{__doc__.splitlines()[0]} {NOTICE}")
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(when_cancelled="cancelled.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    segment = commands.add_parser("segment", help="segment the kidneys and the tumor of one CT")
    segment.add_argument("input", type=Path, metavar="INPUT", help="DICOM folder or file, NIfTI, NRRD or MHA")
    segment.add_argument("--output", type=Path, required=True, metavar="DIR", help="patient folder to make")
    _add_run_options(segment)
    segment.set_defaults(run=_segment, when_cancelled=NO_RESULT)

    demo = commands.add_parser("demo", help="generate a child with a tumor and segment it")
    demo.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR", help="folder to make (default: demo)")
    demo.add_argument("--age", type=float, default=3.0, help="years, 0 to 16 (default: 3)")
    demo.add_argument("--seed", type=int, default=1, help="which child (default: 1)")
    demo.add_argument("--ct-only", action="store_true", help="generate, but do not segment")
    _add_run_options(demo)
    demo.set_defaults(run=_demo, when_cancelled=NO_RESULT)

    revise = commands.add_parser("revise", help="write the patient folder of a corrected segmentation")
    revise.add_argument("input", type=Path, metavar="INPUT", help="the CT, as for segment")
    revise.add_argument("corrected", type=Path, metavar="LABELS", help=f"label map on its grid: {_segment_values()}")
    revise.add_argument("report", type=Path, metavar="REPORT", help="report.json of the result that was corrected")
    revise.add_argument("--output", type=Path, required=True, metavar="DIR", help="patient folder to make")
    _add_output_options(revise)
    revise.set_defaults(run=_revise, when_cancelled=NO_RESULT)

    measure = commands.add_parser("measure", help="print volumes, diameters and warnings of a label map as JSON")
    measure.add_argument("input", type=Path, metavar="INPUT", help="file of the CT, or of a part of it")
    measure.add_argument("labels", type=Path, metavar="LABELS", help="label map on its grid, as for revise")
    measure.set_defaults(run=_measure)

    models = commands.add_parser("models", help="list the shipped models")
    models.set_defaults(run=_models)

    devices = commands.add_parser("devices", help="list where the network can run, the automatic choice first")
    devices.add_argument("--json", action="store_true", help="one JSON line a device")
    devices.set_defaults(run=_devices)

    evaluate = commands.add_parser("evaluate", help="compare label maps with their references")
    evaluate.add_argument("reference", type=Path, metavar="REFERENCE", help="label map, or folder of them")
    evaluate.add_argument("prediction", type=Path, metavar="PREDICTION", help="the same patients under the same names")
    evaluate.add_argument("--compare", type=Path, metavar="OTHER", help="a second prediction, compared with the first")
    evaluate.add_argument("--csv", type=Path, metavar="FILE", help="write all scores of all patients")
    evaluate.set_defaults(run=_evaluate)

    prepare = commands.add_parser("prepare", help="turn labeled CTs into a store of slices to train on")
    prepare.add_argument("dataset", type=Path, metavar="DATASET", help="folder: nnU-Net's, or CTs with .seg.nrrd files")
    prepare.add_argument("store", type=Path, metavar="STORE", help="folder to make or to go on with")
    labels_help = "what a label or segment of the data set is: kidney, tumor or background"
    prepare.add_argument("--labels", nargs="+", default=[], metavar="NAME=STRUCTURE", help=labels_help)
    go_on = "stopped; the same command goes on with the next patient."
    prepare.set_defaults(run=_prepare, when_cancelled=go_on)

    train = commands.add_parser("train", help="train the three networks, or go on training")
    train.add_argument("config", type=Path, metavar="CONFIG", help="JSON file, see the README")
    train.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    go_on = "stopped; the same command goes on from the last epoch."
    train.set_defaults(run=_train, when_cancelled=go_on)

    fine_tune = commands.add_parser("fine-tune", help="train the U-Net of a model on with a store of your own")
    fine_tune.add_argument("model", type=Path, metavar="MODEL", help="model file (.pt)")
    fine_tune.add_argument("store", type=Path, metavar="STORE", help="folder that prepare made")
    fine_tune.add_argument("output", type=Path, metavar="OUTPUT", help="folder of the training")
    part_help = "all of the U-Net (default), its decoder, its two outer levels, or nothing: it is only validated"
    fine_tune.add_argument("--trainable", default="all", choices=("all", "decoder", "outer", "frozen"), help=part_help)
    fine_tune.add_argument("--epochs", type=_positive, default=100, metavar="N", help="at most (default: 100)")
    fine_tune.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    fine_tune.set_defaults(run=_fine_tune, when_cancelled=go_on)

    reference = commands.add_parser("reference", help="write the mask of the patient like whom all are laid")
    reference.add_argument("output", type=Path, metavar="FILE", help="mask (.npy) to write, with a picture (.png)")
    reference_help = "a patient of a store instead of a generated two-year-old"
    reference.add_argument("--patient", nargs=2, metavar=("STORE", "NAME"), help=reference_help)
    slice_help = "which slice of the patient, from 0 (default: the one with most labeled pixels)"
    reference.add_argument("--slice", type=int, metavar="N", help=slice_help)
    _add_overwrite(reference)
    reference.set_defaults(run=_reference)

    export = commands.add_parser("export", help="turn a finished training into a model file")
    export.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder of a training")
    export.add_argument("card", type=Path, metavar="CARD", help="JSON file with id, version, license, … of the model")
    export.add_argument("--output", type=Path, required=True, metavar="FILE", help="model file (.pt) to write")
    _add_overwrite(export)
    export.set_defaults(run=_export)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="ID|FILE", help="shipped model or model file (default: the first shipped)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--batch-size", type=_positive, metavar="N", help="slices at once; fewer need less memory")
    _add_output_options(parser)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    mesh_help = "models as stl, ply, obj or glb; may be given again for more (default: stl)"
    parser.add_argument("--mesh", action="append", metavar="FORMAT", help=mesh_help)
    parser.add_argument("--progress", choices=("bar", "json"), default="bar", help="json: one line an event on stdout")
    _add_overwrite(parser)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")


def _segment_values() -> str:
    return ", ".join(f"{segment.value} {segment.display_name.lower()}" for segment in SEGMENTS)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _segment(options: argparse.Namespace) -> None:
    _run_case(options, options.input, options.output)


def _demo(options: argparse.Namespace) -> None:
    from .demo import REFERENCE, RESULT, make_demo_child
    from .evaluation.patients import dice_by_structure
    from .export.patient_folder import LABELMAP, PREVIEW, check_mesh_formats

    check_mesh_formats(options.mesh or ())
    folder, result = options.output, options.output / RESULT
    ct = make_demo_child(folder, options.age, options.seed, options.overwrite)
    print(f"Generated a child of {options.age:g} years: {ct}", file=sys.stderr)
    if options.ct_only:
        return
    _run_case(options, ct, result)
    for name, dice in dice_by_structure(folder / REFERENCE, result / LABELMAP).items():
        print(f"{name}: Dice {dice:.3f} against the generated truth", file=sys.stderr)
    print(f"Look at {result / PREVIEW}.", file=sys.stderr)


def _revise(options: argparse.Namespace) -> None:
    from .case import revise_case

    _run(options, options.output, revise_case, options.input, options.corrected, options.report, options.output)


def _run_case(options: argparse.Namespace, source: Path, output: Path) -> None:
    from .case import segment_case

    log = None if options.progress == "json" else print
    given = {"batch_size": options.batch_size, "log": log}
    _run(options, output, segment_case, source, output, options.model, options.device, **_without_none(given))


def _without_none(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def _run(options: argparse.Namespace, output: Path, way: Callable, *arguments, **given) -> None:
    """Walk one of the ways of ``case`` with progress, and say what came out."""
    report, finish = _json_progress() if options.progress == "json" else _bar_progress()
    given |= _without_none({"mesh_formats": options.mesh})
    started = time.monotonic()
    try:
        result = way(*arguments, overwrite=options.overwrite, progress=report, **given)
    finally:
        finish()
    for row in result.measurements.segments:
        size = f"{row.volume_ml:8.1f} ml   longest diameter {row.longest_diameter_mm:6.1f} mm"
        print(f"{row.segment_id:14} {size}", file=sys.stderr)
    for warning in result.measurements.warnings:
        print(f"Check: {warning.text}", file=sys.stderr)
    print(f"{output} written in {time.monotonic() - started:.0f} s. {NOTICE}", file=sys.stderr)


def _json_progress() -> tuple[Callable, Callable]:
    from dataclasses import asdict

    return lambda event: print(json.dumps(asdict(event)), flush=True), lambda: None


def _bar_progress() -> tuple[Callable, Callable]:
    """A line for every stage, and for the network a bar that counts slices."""
    from tqdm import tqdm

    bars = []

    def report(event) -> None:
        if event.stage != "network":
            finish()
            print(f"{event.stage} …", flush=True)
            return
        if not bars:
            # disable=None: no bar in a log file
            bars.append(tqdm(desc=event.stage, total=event.total, unit="slice", disable=None))
        bars[0].update(event.done - bars[0].n)

    def finish() -> None:
        while bars:
            bars.pop().close()

    return report, finish


def _models(options: argparse.Namespace) -> None:
    import torch

    from .model_bundle import catalogue, load_model

    for entry in catalogue():
        metadata = load_model(entry.id, torch.device("cpu")).metadata
        print(f"{entry.id}  version {metadata.version}  {entry.bytes / 2**20:.1f} MiB  {metadata.license}")
        print(f"  trained on: {metadata.training_domain}")
        print(f"  limits: {metadata.limits}")
        for name, scores in metadata.scores.items():
            print(f"  {name}: " + ", ".join(f"{key} {value:g}" for key, value in scores.items()))


def _measure(options: argparse.Namespace) -> None:
    from .label_files import measure_files

    print(json.dumps(measure_files(options.input, options.labels).to_dict()))


def _devices(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from .devices import list_devices

    for device in list_devices():
        print(json.dumps({**asdict(device), "text": device.text}) if options.json else f"{device.id:5} {device.text}")


def _evaluate(options: argparse.Namespace) -> None:
    from .evaluation.patients import evaluate
    from .evaluation.tables import check_csv, text_report, write_csv

    if options.csv:
        check_csv(options.csv)
    paths = [options.prediction, options.compare] if options.compare else [options.prediction]
    found = {str(path): evaluate(options.reference, path, _tell) for path in paths}
    for sentence in dict.fromkeys(sentence for evaluation in found.values() for sentence in evaluation.left_out):
        print(f"Left out: {sentence}", file=sys.stderr)
    if options.csv:
        write_csv(options.csv, found)
    print(text_report(*found.values()))


def _tell(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)


def _prepare(options: argparse.Namespace) -> None:
    from .training.datasets import prepare_dataset

    prepared = prepare_dataset(options.dataset, options.store, options.labels, _tell)
    print(prepared.text())
    if not prepared.stored:
        raise InputError(f"No patient of {options.dataset} could be stored: correct what is said above.")


def _train(options: argparse.Namespace) -> None:
    from .training.config import read_config

    _run_training(options, read_config(options.config))


def _fine_tune(options: argparse.Namespace) -> None:
    from .training.fine_tuning import fine_tuning_config

    given = (options.model, options.store, options.output, options.trainable, options.epochs)
    _run_training(options, fine_tuning_config(*given))


def _run_training(options: argparse.Namespace, config) -> None:
    from .inference import choose_device
    from .training.distributed import is_first_process, joined_processes
    from .training.trainer import Trainer

    with joined_processes(choose_device(options.device)) as device:
        Trainer(config, device).run()
        if is_first_process():
            print(f"Training finished: {config.output}", file=sys.stderr)


def _reference(options: argparse.Namespace) -> None:
    from .training.reference import generated_reference, stored_reference, write_reference

    if options.patient:
        store, name = options.patient
        reference = stored_reference(Path(store), name, options.slice)
    elif options.slice is not None:
        raise InputError("--slice needs --patient: whose slice is it?")
    else:
        reference = generated_reference()
    picture = write_reference(reference, options.output, options.overwrite)
    print(f"{options.output} written; look at {picture}: does the patient lie straight?", file=sys.stderr)


def _export(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from .training.export import export_model

    entry = export_model(options.checkpoint, options.card, options.output, options.overwrite)
    print(json.dumps(asdict(entry), indent=2))
    card = options.output.with_suffix(".md")
    size = f"{entry.bytes / 2**20:.1f} MiB"
    print(f"{options.output} ({size}) and {card} written; above, the entry for a catalogue.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
