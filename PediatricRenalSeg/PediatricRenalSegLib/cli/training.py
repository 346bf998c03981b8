"""Commands that make models: ``train``, ``fine-tune``, ``reference``, ``export``."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .options import Commands, add_device, add_overwrite, positive

if TYPE_CHECKING:
    from ..training.learn.config import TrainingConfig

GO_ON = "stopped; the same command goes on from the last epoch."
"""What a cancelled training says: its checkpoint is that of the last epoch."""


def add_commands(commands: Commands) -> None:
    """Add the commands of this file to the parser's."""
    train = commands.add_parser("train", help="train the three networks, or go on training")
    train.add_argument("config", type=Path, metavar="CONFIG", help="JSON file, see docs/training.md")
    add_device(train)
    train.set_defaults(run=_train, when_cancelled=GO_ON)

    fine_tune = commands.add_parser("fine-tune", help="train the U-Net of a model on with a store of your own")
    fine_tune.add_argument("model", type=Path, metavar="MODEL", help="model file (.pt)")
    fine_tune.add_argument("store", type=Path, metavar="STORE", help="folder that prepare made")
    fine_tune.add_argument("output", type=Path, metavar="OUTPUT", help="folder of the training")
    part_help = "all of the U-Net (default), its decoder, its two outer levels, or nothing: it is only validated"
    fine_tune.add_argument("--trainable", default="all", choices=("all", "decoder", "outer", "frozen"), help=part_help)
    fine_tune.add_argument("--epochs", type=positive, default=100, metavar="N", help="at most (default: 100)")
    add_device(fine_tune)
    fine_tune.set_defaults(run=_fine_tune, when_cancelled=GO_ON)

    reference = commands.add_parser("reference", help="write the mask of the patient like whom all are laid")
    reference.add_argument("output", type=Path, metavar="FILE", help="mask (.npy) to write, with a picture (.png)")
    reference_help = "a patient of a store instead of a generated two-year-old"
    reference.add_argument("--patient", nargs=2, metavar=("STORE", "NAME"), help=reference_help)
    slice_help = "which slice of the patient, from 0 (default: the one with most labeled pixels)"
    reference.add_argument("--slice", type=int, metavar="N", help=slice_help)
    add_overwrite(reference)
    reference.set_defaults(run=_reference)

    export = commands.add_parser("export", help="turn a finished training into a model file")
    export.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder of a training")
    export.add_argument("card", type=Path, metavar="CARD", help="JSON file with id, version, license, … of the model")
    export.add_argument("--output", type=Path, required=True, metavar="FILE", help="model file (.pt) to write")
    add_overwrite(export)
    export.set_defaults(run=_export)


def _train(options: argparse.Namespace) -> None:
    from ..training.learn.config import read_config

    _run_training(options, read_config(options.config))


def _fine_tune(options: argparse.Namespace) -> None:
    from ..training.learn.fine_tuning import fine_tuning_config

    given = (options.model, options.store, options.output, options.trainable, options.epochs)
    _run_training(options, fine_tuning_config(*given))


def _run_training(options: argparse.Namespace, config: "TrainingConfig") -> None:
    from ..devices import choose_device
    from ..training.learn.distributed import is_first_process, joined_processes
    from ..training.learn.trainer import Trainer

    with joined_processes(choose_device(options.device)) as device:
        Trainer(config, device).run()
        if is_first_process():
            print(f"Training finished: {config.output}", file=sys.stderr)


def _reference(options: argparse.Namespace) -> None:
    from ..training.learn.reference import generated_reference, stored_reference, write_reference

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
    from ..training.learn.model_file import export_model

    entry = export_model(options.checkpoint, options.card, options.output, options.overwrite)
    print(json.dumps(asdict(entry), indent=2))
    card = options.output.with_suffix(".md")
    size = f"{entry.bytes / 2**20:.1f} MiB"
    print(f"{options.output} ({size}) and {card} written; above, the entry for a catalogue.", file=sys.stderr)
