"""Outside of its folder the stand-in is used by its front alone, and it knows nothing of the module it carries."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOME = ROOT / "Testing" / "slicer_standin"
PACKAGE = HOME / "slicer_standin"
FRONT = {name: importlib.import_module(name) for name in ("slicer_standin", "slicer_standin.fixtures")}


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Module and name of everything that a file imports; the name is empty for a whole module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def reaches_in(module: str, name: str) -> bool:
    """Whether an import takes more of the stand-in than its front offers."""
    if module.partition(".")[0] != "slicer_standin":
        return False
    return module not in FRONT or name not in {"", "*", *FRONT[module].__all__}


@pytest.mark.parametrize(
    ("source", "is_allowed"),
    [
        ("import slicer_standin", True),
        ("from slicer_standin import start, wait_until", True),
        ("from slicer_standin.fixtures import *", True),
        ("def late():\n    import slicer_standin._dialogs", False),
        ("from slicer_standin import start, _dialogs", False),
        ("from slicer_standin._start import start", False),
        ("from slicer_standin.fixtures import STAND_IN", False),
    ],
)
def test_what_reaches_in_is_found(source: str, is_allowed: bool) -> None:
    assert is_allowed is not any(reaches_in(*one) for one in imports(source))


def test_nobody_reaches_into_the_stand_in() -> None:
    files = [path for folder in ("PediatricRenalSeg", "Testing") for path in (ROOT / folder).rglob("*.py")]
    outside = {path: list(imports(path.read_text(encoding="utf-8"))) for path in files if HOME not in path.parents}
    users = [path for path, found in outside.items() if any(module in FRONT for module, _ in found)]
    assert len(users) > 1, "the tests and the benchmark of the module use it"
    assert [(path, *one) for path, found in outside.items() for one in found if reaches_in(*one)] == []


def test_the_stand_in_knows_no_module() -> None:
    files = {path: list(imports(path.read_text(encoding="utf-8"))) for path in PACKAGE.glob("*.py")}
    assert [(path, module) for path, found in files.items() for module, _ in found if "PediatricRenal" in module] == []


def test_everything_inside_is_marked_as_such() -> None:
    public = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("_")}
    assert public == {"fixtures"}
