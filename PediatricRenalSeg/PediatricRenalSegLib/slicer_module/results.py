"""What a segmentation node knows about how it came about and what was done with it, in its attributes.

Attributes are saved with the scene.
"""

import json
from dataclasses import asdict

from slicer import vtkMRMLSegmentationNode, vtkMRMLVolumeNode
from slicer.i18n import tr as _

from .. import mrml
from ..checks import DOUBTS
from ..errors import InputError
from ..structures import RENAL, StructureSet
from ..volume import LabelVolume

REPORT = "PediatricRenalSeg.Report"
FINGERPRINT = "PediatricRenalSeg.Fingerprint"
CHECKED = "PediatricRenalSeg.Checked"
SECONDS = "PediatricRenalSeg.ReviewSeconds"
"""Names of the attributes."""


def take(
    node: vtkMRMLSegmentationNode, labels: LabelVolume, report: dict, volume: vtkMRMLVolumeNode, smooth: bool
) -> None:
    """Fill a segmentation node with the result of a run and show it; a review begins anew."""
    mrml.fill_segmentation(node, labels, volume)
    mrml.show(node, smooth)
    node.SetAttribute(REPORT, json.dumps(report, separators=(",", ":")))
    node.SetAttribute(FINGERPRINT, mrml.fingerprint(node, volume, labels.structures))
    node.SetAttribute(CHECKED, None)
    node.SetAttribute(SECONDS, None)


def report(node: vtkMRMLSegmentationNode | None) -> dict | None:
    """The report of the run, ``None`` for a segmentation of other origin."""
    text = node.GetAttribute(REPORT) if node is not None else None
    return json.loads(text) if text else None


def structures(node: vtkMRMLSegmentationNode | None) -> StructureSet:
    """Those of the model behind a segmentation; for one of other origin those of the shipped models."""
    rows = (report(node) or {}).get("structure_set")
    return StructureSet.from_list(rows) if rows else RENAL


def measurements(node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode) -> dict | None:
    """What the run measured, as the command ``measure`` prints it; ``None`` where segments were changed since.

    Raises as ``mrml.check_segmentation_node``.
    """
    mrml.check_segmentation_node(node)
    found = report(node)
    if not found or is_edited(node, volume):
        return None
    warnings = [warning for warning in found["warnings"] if warning["code"] not in DOUBTS]
    return {**found["measurements"], "warnings": warnings}


def doubts(node: vtkMRMLSegmentationNode | None) -> list[dict]:
    """Warnings of the run that cannot be found by measuring the segments."""
    found = report(node)
    return [warning for warning in found["warnings"] if warning["code"] in DOUBTS] if found else []


def ct_of(node: vtkMRMLSegmentationNode | None) -> vtkMRMLVolumeNode | None:
    """The CT that a segmentation was made from, ``None`` if it is not in the scene."""
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) if node is not None else None


def is_edited(node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode) -> bool:
    """Whether segments are no longer those of the model."""
    return node.GetAttribute(FINGERPRINT) != mrml.fingerprint(node, volume, structures(node))


def checked(node: vtkMRMLSegmentationNode) -> set[str]:
    """Ids of the segments that the user marked as checked."""
    return set((node.GetAttribute(CHECKED) or "").split(",")) & {segment.id for segment in structures(node).segments}


def set_checked(node: vtkMRMLSegmentationNode, segment_id: str, is_checked: bool) -> None:
    """Note that the user marked a segment as checked, or took the mark away."""
    ids = checked(node) | {segment_id} if is_checked else checked(node) - {segment_id}
    node.SetAttribute(CHECKED, ",".join(segment.id for segment in structures(node).segments if segment.id in ids))


def review_seconds(node: vtkMRMLSegmentationNode) -> float:
    """How long the result was on the screen for review."""
    return float(node.GetAttribute(SECONDS) or 0)


def add_review_seconds(node: vtkMRMLSegmentationNode, seconds: float) -> None:
    """Count time of review; it is kept in whole seconds."""
    node.SetAttribute(SECONDS, f"{review_seconds(node) + seconds:.0f}")


def reviewed_report(node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode) -> dict:
    """The report with what was done since, as ``revise`` of the command line takes it.

    Raises ``InputError`` for a segmentation of other origin.
    """
    from ..export.report import Review

    in_order = tuple(segment.id for segment in structures(node).segments if segment.id in checked(node))
    review = Review(edited=is_edited(node, volume), checked=in_order, seconds=review_seconds(node))
    return {**_report_of_run(node), "review": asdict(review)}


def check_exportable(node: vtkMRMLSegmentationNode) -> vtkMRMLVolumeNode:
    """The CT of a segmentation. Raises ``InputError`` when the patient folder of the two cannot be written."""
    _report_of_run(node)
    volume = ct_of(node)
    if volume is None:
        raise InputError(_('The CT of "{name}" is not in the scene: load it first.').format(name=node.GetName()))
    mrml.check_ct_node(volume)
    mrml.check_segmentation_node(node)
    return volume


def _report_of_run(node: vtkMRMLSegmentationNode) -> dict:
    found = report(node)
    if found is None:
        raise InputError(_('"{name}" was not made by this module: segment its CT first.').format(name=node.GetName()))
    return found


def left_out(node: vtkMRMLSegmentationNode) -> str:
    """A sentence that names the segments that are neither measured nor exported; empty if there are none."""
    names = mrml.other_segments(node, structures(node))
    if not names:
        return ""
    return _("Not measured and not exported, because the model knows no such segment: {names}.").format(
        names=", ".join(names)
    )


def has_work_in_it(node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode) -> bool:
    """Whether replacing the segments would lose something that a person did: edits, a transform or check marks."""
    is_moved = node.GetParentTransformNode() is not None
    return report(node) is None or is_moved or is_edited(node, volume) or bool(checked(node))


def check_replaceable(node: vtkMRMLSegmentationNode, volume: vtkMRMLVolumeNode) -> None:
    """Raise ``InputError`` when a segmentation holds segments that a person made, changed or checked."""
    if node.GetSegmentation().GetNumberOfSegments() and has_work_in_it(node, volume):
        raise InputError(
            _(
                '"{name}" holds segments that were made, corrected or checked by hand: give an empty segmentation for '
                "the result."
            ).format(name=node.GetName())
        )
