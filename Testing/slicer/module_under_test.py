"""Fixtures for the tests of the module: a small generated child, the open window, and work that really runs."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
import slicer

from PediatricRenalSegLib import mrml
from PediatricRenalSegLib.slicer_module import results, task
from PediatricRenalSegLib.synthetic import training_scan
from PediatricRenalSegLib.volume import LabelVolume

MODULE = Path(__file__).resolve().parents[2] / "PediatricRenalSeg" / "PediatricRenalSeg.py"
SEGMENT_IDS = ["kidney_right", "kidney_left", "tumor"]
TIMEOUT_S = 120


@pytest.fixture(scope="session")
def child_scan() -> tuple[sitk.Image, sitk.Image]:
    """Image and true segments of a generated child of two years with a tumor, coarse so that a run takes seconds."""
    return training_scan(2.0, seed=10, slices=20, matrix=160).to_sitk()


@pytest.fixture
def child(fresh_slicer: None, child_scan: tuple[sitk.Image, sitk.Image]) -> Any:
    """The child's CT as a volume node."""
    return mrml.add_ct_node(slicer.mrmlScene, child_scan[0], "Child")


@pytest.fixture(scope="session")
def child_run(
    child_scan: tuple[sitk.Image, sitk.Image], tmp_path_factory: pytest.TempPathFactory
) -> tuple[LabelVolume, dict]:
    """Labels and report of the bundled model on the child, made once by the real command line."""
    folder = tmp_path_factory.mktemp("child")
    sitk.WriteImage(child_scan[0], str(folder / "ct.nrrd"))
    arguments = ["segment", "ct.nrrd", "--output", "result", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(MODULE.parent)}
    command = [sys.executable, "-m", "PediatricRenalSegLib.cli", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=TIMEOUT_S)
    labels = LabelVolume(sitk.ReadImage(str(folder / "result" / "segmentation.seg.nrrd")))
    return labels, json.loads((folder / "result" / "report.json").read_text())


@pytest.fixture
def child_segmentation(child: Any, child_run: tuple[LabelVolume, dict]) -> Any:
    """A segmentation node with that result."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Child kidneys and tumor")
    results.take(node, *child_run, child, smooth=True)
    return node


@pytest.fixture
def window(
    module_widget: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The module's widget, open in the main window; what still runs at the end of the test is stopped."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    yield module_widget(MODULE)
    task.cancel_all()
