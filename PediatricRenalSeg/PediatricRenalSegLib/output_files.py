"""Files that a command writes: not over earlier ones unless that is wanted, and whole or not at all."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .volume import InputError


def check_outputs(paths: Iterable[Path], overwrite: bool) -> None:
    """Raise ``InputError`` if one of the files is there already and may not be replaced: before the work, not after."""
    for path in paths:
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists already: choose another name or allow overwriting.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` once all of it is on the disk.

    So even after a power cut there is either the earlier file or the new one. When writing fails the earlier one stays.
    One process at a time may write a file.
    """
    # Torch writes the name into the file: with one that changes, so would the checksum.
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
