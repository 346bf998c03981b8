"""The stand-in for Slicer starts here, before a test file imports ``slicer`` or ``qt``, and brings its fixtures."""

from slicer_standin.fixtures import *  # noqa: F403 - pytest finds a fixture by its name in this file
