"""Synthetic patients: children's abdomens in CT, with and without a Wilms tumor.

There is no public pediatric CT of renal tumors to build on, so demo, tests and
part of the training data come from here. ``generate_child`` makes a diagnostic-looking volume,
``training_scan`` and ``small_tumor_scan`` coarser ones in seconds.
"""

from .anatomy import Anatomy, draw_anatomy
from .scan import Scan, generate_child, scan, small_tumor_scan, training_scan
from .settings import ScanSettings, draw_settings

__all__ = [
    "Anatomy",
    "Scan",
    "ScanSettings",
    "draw_anatomy",
    "draw_settings",
    "generate_child",
    "scan",
    "small_tumor_scan",
    "training_scan",
]
