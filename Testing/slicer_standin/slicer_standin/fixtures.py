"""Fixtures for pytest: a ``conftest.py`` imports all of them by name. The stand-in starts when this is imported."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer

from . import _event_loop, _pictures
from ._dialogs import Dialogs
from ._packages import Packages
from ._scripted_module import load_module, unload_module
from ._start import start
from ._uncaught import UncaughtExceptions

__all__ = ["dialogs", "fresh_slicer", "module_widget", "packages", "screenshot", "uncaught", "wait_until"]

STAND_IN = start()

PICTURES = "SLICER_TEST_PICTURES"
"""Environment variable: folder that keeps the pictures of the tests."""


@pytest.fixture(autouse=True)
def uncaught() -> Iterator[UncaughtExceptions]:
    """An exception in a slot or observer fails the test, unless it takes it with ``uncaught.take(Kind)``."""
    exceptions = UncaughtExceptions()
    exceptions.install()
    yield exceptions
    STAND_IN.application.processEvents()
    exceptions.uninstall()
    exceptions.check()


@pytest.fixture(autouse=True)
def fresh_slicer(uncaught: UncaughtExceptions) -> None:
    """An empty scene, empty settings, and no module selected."""
    STAND_IN.new_scene()
    STAND_IN.application.setTestingEnabled(False)
    STAND_IN.application.settings().clear()


@pytest.fixture(autouse=True)
def dialogs(uncaught: UncaughtExceptions) -> Iterator[Dialogs]:
    """The dialogs shown in the test; ``dialogs.answer("Yes", path, …)`` answers the next ones."""
    STAND_IN.dialogs.clear()
    yield STAND_IN.dialogs
    assert STAND_IN.dialogs.unused_answers == [], "dialogs that did not come"


@pytest.fixture
def packages() -> Iterator[Packages]:
    """Which Python packages and which Slicer version there seem to be."""
    yield STAND_IN.packages
    STAND_IN.packages.reset()


@pytest.fixture
def module_widget(fresh_slicer: None) -> Iterator[Callable[[Path], Any]]:
    """``module_widget(path)`` loads a scripted module, opens its panel and returns its widget instance."""
    loaded: list[str] = []

    def open_module(path: Path) -> Any:
        module = load_module(path)
        loaded.append(module.name)
        slicer.util.mainWindow().show()
        slicer.util.selectModule(module.name)
        slicer.app.processEvents()
        return module.widgetRepresentation().self()

    yield open_module
    for name in loaded:
        unload_module(name)
    slicer.app.processEvents()


@pytest.fixture
def wait_until() -> Callable[..., float]:
    """``wait_until(condition, timeout)`` runs the events; returns the longest time the window stood still."""
    return _event_loop.wait_until


@pytest.fixture
def screenshot(tmp_path: Path) -> Callable[[Any, str], Path]:
    """``screenshot(widget, name)`` draws a widget to ``name.png`` in the folder ``SLICER_TEST_PICTURES``."""
    folder = Path(os.environ.get(PICTURES, tmp_path))
    return lambda widget, name: _pictures.screenshot(widget, folder / f"{name}.png")
