"""Files that a command writes: not over earlier ones unless that is wanted, and whole or not at all."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


def check_outputs(paths: Iterable[Path], overwrite: bool) -> None:
    """Raise ``InputError`` if one of the files is there already and may not be replaced: before the work, not after."""
    for path in paths:
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists already: choose another place or allow overwriting.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; what is there takes the place of ``path`` once all of it is on the disk.

    So even after a power cut there is either the earlier file or the new one. When writing fails the earlier one stays.
    The path has the name of ``path``, in a folder beside it: torch writes the name into its files.
    """
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        partial = Path(folder, path.name)
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or none."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
