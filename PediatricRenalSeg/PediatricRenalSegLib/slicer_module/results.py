"""What a segmentation node knows about how it came about and what was done with it, in its attributes.

Attributes are saved with the scene.
"""

import json
from dataclasses import asdict

from slicer.i18n import tr as _

from .. import mrml
from ..structures import SEGMENTS
from ..volume import InputError, LabelVolume

REPORT = "PediatricRenalSeg.Report"
FINGERPRINT = "PediatricRenalSeg.Fingerprint"
CHECKED = "PediatricRenalSeg.Checked"
SECONDS = "PediatricRenalSeg.ReviewSeconds"


def take(node, labels: LabelVolume, report: dict, volume, smooth: bool) -> None:
    """Fill a segmentation node with the result of a run and show it; a review begins anew."""
    mrml.fill_segmentation(node, labels, volume)
    mrml.show(node, smooth)
    node.SetAttribute(REPORT, json.dumps(report, separators=(",", ":")))
    node.SetAttribute(FINGERPRINT, mrml.fingerprint(node, volume))
    node.SetAttribute(CHECKED, None)
    node.SetAttribute(SECONDS, None)


def report(node) -> dict | None:
    """The report of the run, ``None`` for a segmentation of other origin."""
    text = node.GetAttribute(REPORT) if node is not None else None
    return json.loads(text) if text else None


def doubts(node) -> list[dict]:
    """Warnings of the run that cannot be found by measuring the segments."""
    from ..export.report import DOUBTS  # scipy comes with it, which Slicer's start shall not wait for

    found = report(node)
    return [warning for warning in found["warnings"] if warning["code"] in DOUBTS] if found else []


def ct_of(node):
    """The CT that a segmentation was made from, ``None`` if it is not in the scene."""
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) if node is not None else None


def is_edited(node, volume) -> bool:
    """Whether segments are no longer those of the model."""
    return node.GetAttribute(FINGERPRINT) != mrml.fingerprint(node, volume)


def checked(node) -> set[str]:
    """Ids of the segments that the user marked as checked."""
    return set((node.GetAttribute(CHECKED) or "").split(",")) & {segment.id for segment in SEGMENTS}


def set_checked(node, segment_id: str, is_checked: bool) -> None:
    ids = checked(node) | {segment_id} if is_checked else checked(node) - {segment_id}
    node.SetAttribute(CHECKED, ",".join(segment.id for segment in SEGMENTS if segment.id in ids))


def review_seconds(node) -> float:
    return float(node.GetAttribute(SECONDS) or 0)


def add_review_seconds(node, seconds: float) -> None:
    node.SetAttribute(SECONDS, f"{review_seconds(node) + seconds:.0f}")


def reviewed_report(node, volume) -> dict:
    """The report with what was done since, as ``revise`` of the command line takes it."""
    from ..export.report import Review

    in_order = tuple(segment.id for segment in SEGMENTS if segment.id in checked(node))
    review = Review(edited=is_edited(node, volume), checked=in_order, seconds=review_seconds(node))
    return {**report(node), "review": asdict(review)}


def check_exportable(node) -> None:
    """Raise ``InputError`` when the patient folder of a segmentation cannot be written."""
    name, volume = node.GetName(), ct_of(node)
    if report(node) is None:
        raise InputError(_('"{name}" was not made by this module: segment its CT first.').format(name=name))
    if volume is None:
        raise InputError(_('The CT of "{name}" is not in the scene: load it first.').format(name=name))
    mrml.check_ct_node(volume)
    mrml.check_segmentation_node(node)


def left_out(node) -> str:
    """A sentence that names the segments that are neither measured nor exported; empty if there are none."""
    names = mrml.other_segments(node)
    if not names:
        return ""
    return _("Not measured and not exported, because only kidneys and tumor are: {names}.").format(
        names=", ".join(names)
    )


def has_work_in_it(node, volume) -> bool:
    """Whether replacing the segments would lose something that a person did: edits, a transform or check marks."""
    is_moved = node.GetParentTransformNode() is not None
    return report(node) is None or is_moved or is_edited(node, volume) or bool(checked(node))


def check_replaceable(node, volume) -> None:
    """Raise ``InputError`` when a segmentation holds segments that a person made, changed or checked."""
    if node.GetSegmentation().GetNumberOfSegments() and has_work_in_it(node, volume):
        raise InputError(
            _(
                '"{name}" holds segments that were made, corrected or checked by hand: give an empty segmentation for '
                "the result."
            ).format(name=node.GetName())
        )
