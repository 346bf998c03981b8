"""The Slicer module as text: what can be seen to be wrong without Slicer."""

import ast
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE_FOLDER = ROOT / "PediatricRenalSeg"
MODULE = MODULE_FOLDER / "PediatricRenalSeg.py"
UI = MODULE_FOLDER / "Resources" / "UI" / "PediatricRenalSeg.ui"
SLICER_FOLDER = MODULE_FOLDER / "PediatricRenalSegLib" / "slicer_module"
SLICER_FILES = [MODULE, *sorted(SLICER_FOLDER.glob("*.py"))]
CATALOG_ENTRY = ROOT / "PediatricRenalSeg.json"

IN_SLICER = {"slicer", "qt", "ctk", "vtk", "numpy", "SimpleITK"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# Imports


def test_nothing_third_party_is_imported_when_slicer_starts():
    """Followed from the module file through every library file that is imported at file scope."""
    allowed = IN_SLICER | sys.stdlib_module_names | {"PediatricRenalSegLib"}
    seen, waiting, wrong = set(), [MODULE], []
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imports_at_file_scope(path):
            if name.split(".")[0] not in allowed:
                wrong.append(f"{path.name} imports {name}")
            waiting += library_files(name)
    assert wrong == []
    assert {"mrml.py", "task.py", "worker.py", "volume.py"} <= {path.name for path in seen}


def imports_at_file_scope(path: Path) -> Iterator[str]:
    folder = path.parent.relative_to(MODULE_FOLDER).parts
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def library_files(name: str) -> list[Path]:
    """The file of a dotted name and those of the packages around it."""
    parts = name.split(".")
    if parts[0] != "PediatricRenalSegLib":
        return []
    packages = [MODULE_FOLDER.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)]
    return [path for path in [MODULE_FOLDER.joinpath(*parts).with_suffix(".py"), *packages] if path.is_file()]


# Window


def widgets() -> list[ElementTree.Element]:
    return list(ElementTree.parse(UI).iter("widget"))


def parameter_names() -> list[str]:
    properties = (one for widget in widgets() for one in widget.findall("property"))
    return [one.findtext("string", "") for one in properties if one.get("name") == "SlicerParameterName"]


def parameter_node() -> ast.ClassDef:
    classes = {one.name: one for one in tree(SLICER_FOLDER / "parameters.py").body if isinstance(one, ast.ClassDef)}
    return classes["PediatricRenalSegParameterNode"]


def parameters() -> dict[str, str]:
    """Fields of the parameter node and their types."""
    fields = (one for one in parameter_node().body if isinstance(one, ast.AnnAssign))
    return {ast.unparse(one.target): ast.unparse(one.annotation) for one in fields}


def test_every_bound_widget_has_its_parameter():
    assert parameter_names() and set(parameter_names()) <= set(parameters())
    assert len(parameter_names()) == len(set(parameter_names()))


def test_every_parameter_is_documented():
    described = ast.get_docstring(parameter_node()) or ""
    assert [name for name in parameters() if not re.search(rf"\b{name}\b", described)] == []


def test_every_widget_that_the_code_names_is_in_the_window():
    names = {widget.get("name") for widget in widgets()}
    text = "".join(path.read_text(encoding="utf-8") for path in SLICER_FILES)
    used = set(re.findall(r"\bui\.([a-z]\w+)", text))
    assert used and used - names == set()


def test_list_boxes_are_not_bound_to_text():
    """Slicer resets a combo box that is bound to a str with choices; an Enum is safe."""
    bound = {
        one.findtext("string", ""): widget.get("class")
        for widget in widgets()
        for one in widget.findall("property")
        if one.get("name") == "SlicerParameterName"
    }
    assert [name for name, kind in bound.items() if kind == "QComboBox" and parameters()[name] == "str"] == []


def test_widgets_of_slicer_are_declared():
    declared = {one.findtext("class") for one in ElementTree.parse(UI).iter("customwidget")}
    used = {widget.attrib["class"] for widget in widgets()}
    assert {name for name in used if not name.startswith("Q")} == declared


# Texts


@pytest.mark.parametrize("path", SLICER_FILES, ids=lambda path: path.name)
def test_no_f_string_is_translated(path: Path):
    """A translator sees the text before anything is filled in."""
    calls = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
    translated = [node for node in calls if getattr(node.func, "id", "") in {"_", "translate"}]
    wrong = [node.lineno for node in translated if any(isinstance(one, ast.JoinedStr) for one in ast.walk(node))]
    assert wrong == []
    plain = [node.lineno for node in translated if not all(isinstance(one, ast.Constant) for one in node.args)]
    assert plain == []


# Extensions Index


def test_catalog_entry():
    """The facts that the Extensions Index checks, ``scripts/check_description_files.py`` and schema 1.0.1."""
    raw = CATALOG_ENTRY.read_bytes()
    entry = json.loads(raw)
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert b"\r" not in raw and raw.endswith(b"}\n")
    assert set(entry) == {
        "$schema", "build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url", "tier",
    }  # fmt: skip
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["category"] == "Segmentation" and entry["tier"] in (1, 3, 5)
    assert re.fullmatch(r"https://github\.com/[\w-]+/Slicer\w+", entry["scm_url"])
    assert re.search(rf"^project\({CATALOG_ENTRY.stem}\)", cmake, re.MULTILINE)
    assert not CATALOG_ENTRY.stem.startswith("Slicer")
    assert extension_setting("DEPENDS", cmake) == entry["build_dependencies"]
    assert (ROOT / entry["build_subdirectory"] / "LICENSE").is_file()


def extension_setting(name: str, cmake: str) -> list[str]:
    """The words of one ``EXTENSION_…`` setting in ``CMakeLists.txt``."""
    found = re.search(rf'set\(EXTENSION_{name} "([^"]*)"\)', cmake)
    assert found, f"no EXTENSION_{name}"
    return found[1].split()


def test_addresses_of_the_extension():
    """Homepage, icon and screenshots lie in the repository that the Extensions Index is told, and are there."""
    cmake = (ROOT / "CMakeLists.txt").read_text()
    repository = json.loads(CATALOG_ENTRY.read_bytes())["scm_url"]
    homepage, icon, screenshots = (
        extension_setting(name, cmake) for name in ("HOMEPAGE", "ICONURL", "SCREENSHOTURLS")
    )
    assert homepage == [repository]
    files = repository.replace("github.com", "raw.githubusercontent.com") + "/main/"
    assert len(icon) == 1 and len(screenshots) >= 1
    assert [url for url in icon + screenshots if not (ROOT / url.removeprefix(files)).is_file()] == []
