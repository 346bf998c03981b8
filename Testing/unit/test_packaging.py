"""What a forgotten file, a stray import or a path of one machine would break: checked on the text of the files."""

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = "PediatricRenalSeg"
MODULE_FOLDER = ROOT / MODULE
LIBRARY = f"{MODULE}Lib"
LIBRARY_FOLDER = MODULE_FOLDER / LIBRARY
LIBRARY_FILES = sorted(LIBRARY_FOLDER.rglob("*.py"))

IN_SLICER = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "numpy", "SimpleITK", "SampleData"}
"""What a Slicer module file may import when it is loaded, beside the standard library."""

LARGEST_MODEL_BYTES = 8 * 2**20

SLICER_PARTS = {"mrml", "slicer_module"}
"""Parts of the library that know Slicer."""

MACHINE_PATH = re.compile(r"(?<![\w.:/-])(?:/(?:home|Users|root|work|mnt)/|[A-Za-z]:\\Users\\)[\w.]")
"""A path that exists on one developer's machine only."""


# ---------------------------------------------------------------- lists of files


def test_scripts_are_listed():
    on_disk = {path.relative_to(MODULE_FOLDER).as_posix() for path in LIBRARY_FILES} | {f"{MODULE}.py"}
    _assert_same(_cmake_list("MODULE_PYTHON_SCRIPTS"), on_disk)


def test_resources_are_listed():
    resources = (path for path in (MODULE_FOLDER / "Resources").rglob("*") if path.is_file())
    shown = (path for path in resources if not path.name.startswith("."))
    _assert_same(_cmake_list("MODULE_PYTHON_RESOURCES"), {path.relative_to(MODULE_FOLDER).as_posix() for path in shown})


def test_no_python_file_beside_the_module():
    """Slicer takes every Python file beside the module file for a module."""
    assert [path.name for path in MODULE_FOLDER.glob("*.py")] == [f"{MODULE}.py"]


def test_every_folder_of_the_library_is_a_package():
    folders = {path.parent for path in LIBRARY_FILES}
    assert [folder.name for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_project_is_named_as_the_module():
    assert f"project({MODULE})" in (ROOT / "CMakeLists.txt").read_text().splitlines()
    assert f"set(MODULE_NAME {MODULE})" in (MODULE_FOLDER / "CMakeLists.txt").read_text()
    classes = {node.name for node in _tree(MODULE_FOLDER / f"{MODULE}.py").body if isinstance(node, ast.ClassDef)}
    assert {MODULE, f"{MODULE}Widget"} <= classes


def test_bundled_models_are_those_of_the_catalogue():
    folder = MODULE_FOLDER / "Resources" / "Models"
    entries = json.loads((folder / "catalogue.json").read_text())
    _assert_same([entry["file"] for entry in entries], {path.name for path in folder.glob("*.pt")})


def test_bundled_models_are_small():
    """The Extensions Index takes no repository above 100 MB, and a model stays in the history."""
    for path in (MODULE_FOLDER / "Resources" / "Models").glob("*.pt"):
        assert path.stat().st_size <= LARGEST_MODEL_BYTES, path.name


def test_requirements_in_slicer_are_dependencies():
    lines = (MODULE_FOLDER / "Resources" / "requirements.txt").read_text().splitlines()
    project = (ROOT / "pyproject.toml").read_text()
    assert [line for line in lines if line and not line.startswith("#") and f'"{line}"' not in project] == []


def _cmake_list(name: str) -> list[str]:
    text = (MODULE_FOLDER / "CMakeLists.txt").read_text()
    found = re.search(rf"set\({name}\s+([^)]*)\)", text)
    assert found, f"no list {name}"
    return found[1].split()


def _assert_same(listed: list[str], on_disk: set[str]) -> None:
    assert sorted(on_disk - set(listed)) == [], "on disk, but not in the list"
    assert sorted(set(listed) - on_disk) == [], "in the list, but not on disk"
    assert len(listed) == len(set(listed)), "listed twice"


# ---------------------------------------------------------------- wheel


@pytest.mark.slow
def test_wheel_holds_the_models(wheel: Path):
    """What a wheel installs works without the repository: the program in it lists the models in it."""
    models = wheel / LIBRARY / "Resources" / "Models"
    entries = json.loads((models / "catalogue.json").read_text())
    assert entries == json.loads((MODULE_FOLDER / "Resources" / "Models" / "catalogue.json").read_text())
    for entry in entries:
        assert hashlib.sha256((models / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]

    program = f"import {LIBRARY}; print({LIBRARY}.__file__); from {LIBRARY}.cli import main; main(['models'])"
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=wheel, env=environment, check=True, capture_output=True, text=True)
    file, *listed = run.stdout.splitlines()
    assert Path(file).is_relative_to(wheel)
    assert [entry["id"] for entry in entries if entry["id"] not in "\n".join(listed)] == []


@pytest.mark.slow
def test_wheel_holds_the_whole_library(wheel: Path):
    in_wheel = {path.relative_to(wheel).as_posix() for path in (wheel / LIBRARY).rglob("*.py")}
    _assert_same(sorted(in_wheel), {path.relative_to(MODULE_FOLDER).as_posix() for path in LIBRARY_FILES})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The folder of an unpacked wheel; it is built, offline, from a copy, so that the repository stays clean."""
    copy, built = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(MODULE_FOLDER, copy / MODULE, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", built, copy], check=True, capture_output=True)
    unpacked = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        archive.extractall(unpacked)
    return unpacked


# ---------------------------------------------------------------- imports


def test_module_file_loads_without_third_party_packages():
    allowed = IN_SLICER | sys.stdlib_module_names | {LIBRARY}
    imported = {name.split(".")[0] for name, _ in _imports(MODULE_FOLDER / f"{MODULE}.py")}
    assert imported - allowed == set()


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=lambda path: path.relative_to(LIBRARY_FOLDER).as_posix())
def test_imports_point_one_way(path: Path):
    importer = _module_name(path)
    wrong = [f"line {line}: {name}" for name, line in _imports(path) if not _may_import(importer, name)]
    assert wrong == []


LAYERS = (
    {"cli", "slicer_module", ""},
    {"training", "evaluation", "demo"},
    {"case", "mrml"},
    {"pipelines", "export"},
    {"models", "organs", "reading", "networks", "synthetic", "output_files"},
    {"volume"},
    {"structures", "body", "devices", "progress", "checks", "threads"},
    {"errors"},
)
"""Rooms of the library from top to bottom, "" its front; imports point downward."""

ONLY_IMPORTED_BY = {"synthetic": {"training", "demo", "slicer_module"}, "networks": {"training"}}
"""What a case that is merely segmented must not wait for: a model file brings its network, and Slicer needs a generated
child for its self-test alone."""


def _may_import(importer: str, imported: str) -> bool:
    """Whether one module of the library may import another module, by their dotted names."""
    part, package = _part(importer), imported.split(".")[0]
    if package in {"slicer", "qt", "ctk"}:
        return part in SLICER_PARTS
    if part == "networks":
        return _part(imported) == "networks" or package == "torch" or package in sys.stdlib_module_names
    if package != LIBRARY or _part(imported) == part or imported in FRONT:
        return True
    if part not in ONLY_IMPORTED_BY.get(_part(imported), {part}):
        return False
    return _layer(part) < _layer(_part(imported))


FRONT = {f"{LIBRARY}.NOTICE", f"{LIBRARY}.__version__", LIBRARY}


def _layer(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def test_import_picture_is_true():
    """The table in the page for developers says which room imports which."""
    rows = re.findall(r"^\| `([\w/]+)` \| (.*) \|$", _text(ROOT / "docs" / "development.md"), re.MULTILINE)
    told = {room: set(re.findall(r"`(\w+)`", others)) for room, others in rows}
    found: dict[str, set[str]] = {}
    for path in LIBRARY_FILES:
        room = _part(_module_name(path))
        imported = {_part(name) for name, _ in _imports(path) if name.startswith(f"{LIBRARY}.") and name not in FRONT}
        found.setdefault(room or "__init__", set()).update(imported - {room})
    assert told == found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _part(name: str) -> str:
    """``training`` of ``PediatricRenalSegLib.training.store``; empty for the library itself and for others."""
    package, _, rest = name.partition(".")
    return rest.split(".")[0] if package == LIBRARY else ""


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(MODULE_FOLDER).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted absolute name and line of every import in a file, those within functions too."""
    folder = path.parent.relative_to(MODULE_FOLDER).parts
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*folder[: len(folder) - node.level + 1]] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import case` and `from PediatricRenalSegLib import case` name modules, not contents
            is_package = source == LIBRARY or source.startswith(f"{LIBRARY}.")
            yield from ((f"{source}.{alias.name}" if is_package else source, node.lineno) for alias in node.names)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- text


def test_no_path_of_a_developers_machine():
    found = []
    for path in _project_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        numbers = [number for number, line in enumerate(lines, 1) if MACHINE_PATH.search(line)]
        found += [f"{path.relative_to(ROOT)}:{number}: {lines[number - 1].strip()}" for number in numbers]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_machine_path"),
    [
        ("data = '/ho" + "me/anna/ct'", True),
        (r"C:\Use" + r"rs\anna", True),
        ("https://example.org/home/page", False),
        ("net/wo" + "rk/x", False),
    ],
)
def test_machine_paths_are_recognized(text: str, is_machine_path: bool):
    assert bool(MACHINE_PATH.search(text)) == is_machine_path


TYPE_IGNORED = re.compile(r"#\s*type:\s*ignore(?P<code>\[[\w, -]+\])?(?P<reason>.*)")
"""A line that the type checker passes over."""


def test_what_the_type_checker_passes_over_has_its_reason():
    found = []
    for path in (path for path in _project_files() if path.suffix == ".py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            ignored = TYPE_IGNORED.search(line)
            if ignored and not _has_reason(ignored):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize(
    ("comment", "has_reason"),
    [
        ("# type: " + "ignore[misc]  # numpy's stubs know no such axis", True),
        ("# type: " + "ignore[misc]", False),
        ("# type: " + "ignore  # no code", False),
    ],
)
def test_reasons_are_recognized(comment: str, has_reason: bool):
    ignored = TYPE_IGNORED.search(comment)
    assert ignored and _has_reason(ignored) == has_reason


def _has_reason(ignored: re.Match[str]) -> bool:
    return bool(ignored["code"]) and len(ignored["reason"].strip(" #")) > 5


LINK = re.compile(r"\]\((?!\w+:)(?P<file>[^)#\s]*)#?(?P<heading>[^)\s]*)\)|src=\"(?!\w+:)(?P<picture>[^\"]+)\"")
"""A link or picture of a page that leads to a file of the project, or to a heading of it."""


def test_links_between_the_pages_lead_somewhere():
    broken, found = [], 0
    for page in (path for path in _project_files() if path.suffix == ".md"):
        for link in LINK.finditer(page.read_text(encoding="utf-8")):
            found += 1
            target = page.parent / (link["file"] or link["picture"] or page.name)
            if not target.exists() or (link["heading"] and link["heading"] not in _headings(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link[0]}")
    assert broken == []
    assert found > 20


def _headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    titles = re.findall("^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def _project_files() -> list[Path]:
    """What is or would be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for path in (ROOT / name for name in listed.split("\0") if name) if path.is_file()]
