"""Commands that only tell: ``measure``, ``models``, ``devices``."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from .options import Commands


def add_commands(commands: Commands) -> None:
    """Add the commands of this file to the parser's."""
    measure = commands.add_parser("measure", help="print volumes, diameters and warnings of a label map as JSON")
    measure.add_argument("input", type=Path, metavar="INPUT", help="file of the CT, or of a part of it")
    measure.add_argument("labels", type=Path, metavar="LABELS", help="label map on its grid, as for revise")
    report_help = "report.json that says what the labels mean (default: those of the shipped models)"
    measure.add_argument("--report", type=Path, metavar="REPORT", help=report_help)
    measure.set_defaults(run=_measure)

    models = commands.add_parser("models", help="list the shipped models")
    models.set_defaults(run=_models)

    devices = commands.add_parser("devices", help="list where the network can run, the automatic choice first")
    devices.add_argument("--json", action="store_true", help="one JSON line a device")
    devices.set_defaults(run=_devices)


def _measure(options: argparse.Namespace) -> None:
    from ..export.report import read_structures, rounded
    from ..organs.measure import measure
    from ..reading.files import read_image
    from ..reading.label_files import read_labels_on
    from ..structures import RENAL
    from ..volume import CTVolume

    structures = read_structures(options.report) if options.report else RENAL
    # Not read_ct: Slicer sends the part around the segments, which need not hold any air.
    ct = CTVolume(*read_image(options.input))
    labels = read_labels_on(ct, options.labels, structures)
    print(json.dumps(rounded(measure(labels, ct).to_dict())))


def _models(options: argparse.Namespace) -> None:
    from ..models.bundle import read_metadata
    from ..models.catalogue import catalogue, check_file

    for entry in catalogue():
        check_file(entry)
        metadata = read_metadata(entry.path)
        print(f"{entry.id}  version {metadata.version}  {entry.bytes / 2**20:.1f} MiB  {metadata.license}")
        print(f"  segments: {', '.join(row.display_name for row in metadata.structures)}")
        print(f"  trained on: {metadata.training_domain}")
        print(f"  limits: {metadata.limits}")
        for name, scores in metadata.scores.items():
            print(f"  {name}: " + ", ".join(f"{key} {value:g}" for key, value in scores.items()))


def _devices(options: argparse.Namespace) -> None:
    from ..devices import list_devices

    for device in list_devices():
        print(json.dumps({**asdict(device), "text": device.text}) if options.json else f"{device.id:5} {device.text}")
