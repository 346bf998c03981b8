"""Names for what has no types: the classes of ``slicer``, ``vtk`` and ``qt`` are made when those are imported."""

from typing import Any

VtkObject = Any
"""A ``vtkObject``: collections, logics, events with their data."""

Scene = Any
"""A ``vtkMRMLScene``."""

Node = Any
"""A ``vtkMRMLNode`` of any class, or ``None`` for none."""

Widget = Any
"""A ``QWidget`` of ``qt``, ``ctk`` or ``slicer``, or ``None`` for none."""
