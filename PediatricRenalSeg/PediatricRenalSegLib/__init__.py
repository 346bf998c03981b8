"""Segmentation of kidneys and renal tumors in CT of children.

The front of the library: a CT, a pipeline, and the two halves of a case.

>>> from PediatricRenalSegLib import finish, load_pipeline, read_ct, segment
>>> pipeline = load_pipeline()  # the default model, loaded once for many cases
>>> segmentation = segment(read_ct("scan/"), pipeline)  # in memory
>>> result = finish(segmentation, Path("case-01"))  # the patient folder
>>> result.measurements.of("tumor").volume_ml
187.3
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .case import finish, segment
    from .pipelines.load import load_pipeline
    from .reading import read_ct

__version__ = "0.1.0"
NOTICE = "Research software, not a medical device: every result must be reviewed by a physician."

__all__ = ["NOTICE", "__version__", "finish", "load_pipeline", "read_ct", "segment"]

_FRONT = {"finish": "case", "segment": "case", "load_pipeline": "pipelines.load", "read_ct": "reading"}


def __getattr__(name: str) -> object:
    """Import a function of the front when it is first used: Slicer and the command line start without torch."""
    if name not in _FRONT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FRONT[name]}", __name__), name)
