"""Files that are written whole or not at all."""

import pytest

from PediatricRenalSegLib.errors import InputError
from PediatricRenalSegLib.output_files import check_outputs, whole_file, write_text


def test_a_write_that_fails_leaves_the_earlier_file_alone(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "earlier")
    with pytest.raises(ZeroDivisionError), whole_file(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


def test_nobody_sees_half_a_file(tmp_path):
    path = tmp_path / "table.csv"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "table.csv"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_earlier_files_are_replaced_only_when_that_is_allowed(tmp_path):
    path = tmp_path / "model.pt"
    check_outputs([path], overwrite=False)
    path.touch()
    check_outputs([path], overwrite=True)
    with pytest.raises(InputError, match="exists already"):
        check_outputs([tmp_path / "other", path], overwrite=False)
