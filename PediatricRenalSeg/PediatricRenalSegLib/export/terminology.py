"""What a segment is, in the codes that Slicer keeps with it."""

from ..structures import Code, Segment

TYPE_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
"""Slicer's names of the lists that the codes are from."""


def terminology_entry(segment: Segment) -> str:
    """The segment's codes as Slicer writes them: context, category, type, modifier, region."""
    structure = segment.structure
    codes = (structure.category, structure.type, segment.side)
    return "~".join([TYPE_CONTEXT, *map(_triplet, codes), REGION_CONTEXT, _triplet(structure.region), _triplet(None)])


def _triplet(code: Code | None) -> str:
    return f"{code.scheme}^{code.value}^{code.meaning}" if code else "^^"
