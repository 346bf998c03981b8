"""The command line: ``pediatric-renal-seg``, a file for each family of commands.

Exit codes: 0 done; 2 the input or the call is wrong, or a file cannot be written (one line on stderr);
130 cancelled.
"""

import argparse
import signal
import sys
from types import FrameType, ModuleType
from typing import NoReturn

from .. import NOTICE, __version__
from ..errors import InputError
from . import evaluating, information, segmenting, training
from .options import EXIT_WRONG_INPUT, PROGRAM, Parser

EXIT_CANCELLED = 130
"""What a shell gives a command that Ctrl-C ended: 128 and the number of SIGINT."""

FAMILIES: tuple[ModuleType, ...] = (segmenting, information, evaluating, training)
"""Each adds its commands with ``add_commands``, in the order of ``--help``."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    before = {number: signal.getsignal(number) for number in STOPS}
    for number in STOPS:
        if before[number] != signal.SIG_IGN:  # as a shell leaves it for a job in the background
            signal.signal(number, _stop)
    try:
        return _run(options)
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) == _stop:  # else the process was stopped, and is about to end
                signal.signal(number, handler)


STOPS = (signal.SIGINT, signal.SIGTERM)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """End the command, once: a second Ctrl-C would meet the cleaning up."""
    for other in STOPS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(options: argparse.Namespace) -> int:
    try:
        options.run(options)
    except InputError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except MemoryError:
        print(f"{PROGRAM}: memory ran out; close other programs or try a smaller scan.", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        what = error.strerror or error
        print(f"{PROGRAM}: {where}{what}; check your access rights and the space left.", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt:
        print(f"{PROGRAM}: {options.when_cancelled}", file=sys.stderr)
        return EXIT_CANCELLED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROGRAM, description=f"Segments kidneys and renal tumors in CT of children. {NOTICE}")
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(when_cancelled="cancelled.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for family in FAMILIES:
        family.add_commands(commands)
    return parser
