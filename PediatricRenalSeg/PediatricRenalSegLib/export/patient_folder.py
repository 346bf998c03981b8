"""The patient folder: everything a case yields, complete or not at all."""

import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import InputError
from .report import REPORT, write_report
from .result import Result
from .writers import DEFAULT_WRITERS, WRITERS, check_writers


def check_patient_folder(folder: Path, overwrite: bool) -> None:
    """Raise ``InputError`` if a result may not or cannot be written to ``folder``: before the work, not after."""
    try:
        folder = folder.resolve()
        if folder.exists():
            _check_existing(folder, overwrite)
        _check_writable(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another folder.") from None


def _check_existing(folder: Path, overwrite: bool) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the result.")
    if os.path.ismount(folder):
        raise InputError(f"{folder} is a whole drive: name a folder on it.")
    if not overwrite:
        raise InputError(f"{folder} exists already: choose another folder or allow overwriting.")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} may not be changed: check your access rights or choose another folder.")
    if any(folder.iterdir()) and not (folder / REPORT).is_file():
        raise InputError(f"{folder} holds other files and no earlier result: choose another folder.")


def _check_writable(folder: Path) -> None:
    """Make and remove the unfinished folder, or the same in that folder above which exists already."""
    above = next(parent for parent in folder.parents if parent.exists())
    if not above.is_dir():
        raise InputError(f"{above} is a file: choose another folder.")
    trial = above / _beside(folder, "unfinished").name
    trial.mkdir()
    trial.rmdir()


def write_patient_folder(
    folder: Path, result: Result, writers: Sequence[str] = DEFAULT_WRITERS, overwrite: bool = False
) -> None:
    """Write all files beside ``folder`` and rename at the end, so that it is never half written.

    With ``overwrite`` the new result takes the place of an earlier one. What is not ours in the earlier folder
    is copied to the new one, and so is what was ours but was changed since: as ``NAME.edited`` with its suffix.
    Raises ``InputError`` for a writer or a folder that will not do, and ``OSError`` when a file cannot be written; an
    earlier result is still there then.
    """
    check_writers(writers)
    check_patient_folder(folder, overwrite)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished, earlier = _beside(folder, "unfinished"), _beside(folder, "earlier")
    try:
        unfinished.mkdir()
        _write_files(unfinished, result, writers)
        if folder.exists():
            _copy_what_is_not_ours(folder, unfinished)
            _swap(folder, unfinished, earlier)
        else:
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a ``write_patient_folder`` that was killed left beside ``folder``; none may be under way there."""
    folder = folder.resolve()
    beside = folder.parent.glob(f".{glob.escape(folder.name)}.*.unfinished") if folder.parent.is_dir() else ()
    for path in beside:
        shutil.rmtree(path, ignore_errors=True)


def _beside(folder: Path, what: str) -> Path:
    return folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.{what}"


def _write_files(folder: Path, result: Result, writers: Sequence[str]) -> None:
    chosen = [WRITERS[name] for name in dict.fromkeys(writers)]
    with ThreadPoolExecutor(1) as pool:  # one at a time: each holds a copy of the labels
        written_beside = [pool.submit(writer.write, folder, result) for writer in chosen if not writer.draws]
        for writer in chosen:
            if writer.draws:
                writer.write(folder, result)
        for future in written_beside:
            future.result()
    written = {path.relative_to(folder).as_posix(): _sha256(path) for path in _files_below(folder)}
    write_report(folder / REPORT, result.labels.structures, result.measurements, result.run, written)


def _swap(folder: Path, finished: Path, earlier: Path) -> None:
    """Put ``finished`` in the place of ``folder``; whatever fails or interrupts, one of the two is there then."""
    try:
        folder.rename(earlier)
        finished.rename(folder)
    except BaseException:
        if not folder.exists():
            earlier.rename(folder)
        shutil.rmtree(earlier, ignore_errors=True)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _copy_what_is_not_ours(earlier: Path, new: Path) -> None:
    """Copy files and folders of other hands to ``new``; the earlier folder stays as it is until the swap."""
    ours = _files_of_report(earlier / REPORT)
    for path in sorted(earlier.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            (new / path.relative_to(earlier)).mkdir(parents=True, exist_ok=True)
    edited = []
    for path in _files_below(earlier):
        name = path.relative_to(earlier).as_posix()
        if _is_unchanged(path, ours.get(name)) or (name == REPORT and ours):
            continue
        if name in ours or os.path.lexists(new / name):
            edited.append(path)
        else:
            _copy(path, new / name)
    for path in edited:
        _copy(path, _free_name(new / path.relative_to(earlier)))


def _files_of_report(report: Path) -> dict[str, str]:
    """The files that an earlier run wrote and their SHA-256; empty if the report does not say."""
    try:
        return dict(json.loads(report.read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _is_unchanged(path: Path, sha256: str | None) -> bool:
    return sha256 is not None and not path.is_symlink() and _sha256(path) == sha256


def _free_name(path: Path) -> Path:
    """``segmentation.edited.seg.nrrd``, then ``segmentation.edited-2.seg.nrrd`` and so on."""
    stem, dot, suffix = path.name.partition(".")
    names = (f"{stem}.edited{number}{dot}{suffix}" for number in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(path.with_name(name) for name in names if not os.path.lexists(path.with_name(name)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
