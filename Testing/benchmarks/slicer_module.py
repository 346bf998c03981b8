"""Seconds from the click on Segment to surfaces in the scene, and how long the window stood still meanwhile.

    python Testing/benchmarks/slicer_module.py [--slices 120] [--repeats 3]

The real window in the headless stand-in for Slicer (Testing/slicer_standin), the real worker process, the bundled
model, and the CT of a generated child, 512 × 512 pixels. Needs what Testing/slicer needs. Writes
results/slicer_module.md.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from common import child_of, machine, write_tables

STAND_IN = Path(__file__).resolve().parents[1] / "slicer_standin"
MODULE = Path(__file__).resolve().parents[2] / "PediatricRenalSeg" / "PediatricRenalSeg.py"
AGE_YEARS, SEED = 3.0, 1_000_000
TIMEOUT_S = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    image = child_of(AGE_YEARS, SEED, options.slices).to_sitk()[0]
    window = open_window()
    runs = [measure_run(window, image) for _ in range(options.repeats)]
    rows = [[name, *(f"{value:.2f}" for value in summary([run[name] for run in runs]))] for name in runs[0]]
    size = " × ".join(map(str, image.GetSize()))
    text = (
        f"A generated child of {AGE_YEARS:g} years, {size} voxels, segmented in the window {options.repeats} times. "
        "The longest gap is the longest time between two events of the window: so long would a click have waited."
    )
    place = (
        "Measured in the headless stand-in for the Slicer application (real MRML and Qt, nothing is drawn), "
        "not in Slicer itself."
    )
    header = ["seconds", "median", "lowest", "highest"]
    write_tables("slicer_module.md", "The Slicer module", [text, place, machine("cpu")], [(header, rows)])


def summary(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def open_window() -> Any:
    """The module's widget in the stand-in's main window."""
    sys.path.insert(0, str(STAND_IN))
    import slicer_standin

    slicer_standin.start()
    import slicer

    module = slicer_standin.load_module(MODULE)
    slicer.util.mainWindow().show()
    slicer.util.selectModule(module.name)
    return module.widgetRepresentation().self()


def measure_run(window: Any, image: sitk.Image) -> dict[str, float]:
    """One segmentation in an empty scene."""
    import slicer
    from slicer_standin import wait_until

    from PediatricRenalSegLib import mrml

    slicer.mrmlScene.Clear()
    mrml.add_ct_node(slicer.mrmlScene, image, "Child")
    window.initializeParameterNode()
    slicer.app.processEvents()
    clicked = time.monotonic()
    window.ui.segmentButton.click()
    started = time.monotonic()
    worker = window.logic._task.worker
    gap = wait_until(lambda: not worker.running, TIMEOUT_S)
    ended = time.monotonic()
    last_gap = wait_until(lambda: not window.logic.running, TIMEOUT_S)
    done = time.monotonic()
    wait_until(lambda: "ml" in window.ui.reviewTable.item(0, 1).text(), TIMEOUT_S)
    return {
        "click to surfaces": done - clicked,
        "… of it the worker": ended - started,
        "click to volumes in the table": time.monotonic() - clicked,
        "window blocked at the click (the CT is written)": started - clicked,
        "**longest gap while the worker runs**": gap,
        "window blocked at the end (segments and surfaces are made)": last_gap,
    }


if __name__ == "__main__":
    main()
