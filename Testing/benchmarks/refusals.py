"""Every bad input of the tests and the sentence it gets.

    python Testing/benchmarks/refusals.py

Writes results/refusals.md.
"""

import sys
import tempfile
from pathlib import Path

from common import write_tables

from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.reading import read_ct

sys.path.append(str(Path(__file__).parent.parent / "unit"))
from bad_inputs import BAD_INPUTS  # noqa: E402


def main() -> None:
    rows = [[case.title, sentence(case)] for case in BAD_INPUTS]
    text = "Files that are written for the purpose, read with `read_ct`; the program ends with exit code 2."
    write_tables("refusals.md", "Bad inputs", [text], [(["input tried", "sentence it gets"], rows)])


def sentence(case) -> str:
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top, "study")
        folder.mkdir()
        try:
            read_ct(case.write(folder))
        except InputError as error:
            return str(error).replace(f"{top}/", "").replace("|", "\\|")
    raise RuntimeError(f"{case.title} was read")


if __name__ == "__main__":
    main()
