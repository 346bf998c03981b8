"""What writers write from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..organs.measure import Measurements
from ..structures import Segment
from ..volume import CTVolume, LabelVolume
from .report import RunRecord

if TYPE_CHECKING:  # no result without surfaces waits for VTK
    from vtkmodules.vtkCommonDataModel import vtkPolyData


@dataclass(frozen=True)
class Result:
    """A case as it is written."""

    ct: CTVolume
    labels: LabelVolume
    surfaces: "dict[str, vtkPolyData]"
    """Closed, LPS mm, by segment id; empty where no writer needs them."""
    measurements: Measurements
    run: RunRecord

    @property
    def segments_with_surface(self) -> list[Segment]:
        """In the order of the structures; a segment without voxels, or with specks alone, is not among them."""
        return [segment for segment in self.labels.structures.segments if segment.id in self.surfaces]
