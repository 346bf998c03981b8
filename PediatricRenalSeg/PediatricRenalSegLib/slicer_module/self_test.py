"""What "Reload and Test" of the developer mode runs in Slicer: a generated child, PyTorch and the bundled model."""

import tempfile
from pathlib import Path

import numpy as np
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from .. import mrml
from . import results
from .contracts import Logic


def segment_correct_and_export(test: ScriptedLoadableModuleTest, logic: Logic) -> None:
    """The way of a case from the CT to the patient folder; ``test`` shows what is done, and fails."""
    from ..synthetic import training_scan

    test.delayDisplay("Generating a child")
    scan = training_scan(age_years=2, seed=10, slices=20, matrix=160)
    volume = mrml.add_ct_node(slicer.mrmlScene, scan.to_sitk()[0], "Child")
    test.delayDisplay("Segmenting")
    node = logic.process(volume)
    test.assertEqual(list(node.GetSegmentation().GetSegmentIDs()), ["kidney_right", "kidney_left", "tumor"])
    test.assertIs(results.ct_of(node), volume)
    for name in ("kidney_right", "kidney_left"):
        voxels = int(slicer.util.arrayFromSegmentBinaryLabelmap(node, name, volume).sum())
        test.assertGreater(voxels * np.prod(volume.GetSpacing()) / 1000, 5, "milliliters")
        test.assertGreater(node.GetClosedSurfaceInternalRepresentation(name).GetNumberOfPoints(), 100)
    test.delayDisplay("Correcting and exporting")
    empty = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, node, "kidney_left", volume)
    test.assertTrue(results.is_edited(node, volume))
    with tempfile.TemporaryDirectory() as folder:
        logic.export(node, Path(folder) / "case", ["stl", "glb"])
        written = {path.name for path in (Path(folder) / "case" / "models").iterdir()}
    test.assertIn("kidney_right.stl", written)
    test.assertIn("structures.glb", written)
    test.assertNotIn("kidney_left.stl", written)
    test.delayDisplay("Test passed")
