"""What the user chooses in the window."""

import enum

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from ..export.writers import DEFAULT_MESH


class Device(enum.Enum):
    """Where the network runs; the values are those of the command line."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """As the list shows it."""
        return {
            Device.AUTO: _("Automatic"),
            Device.CPU: _("Processor"),
            Device.CUDA: _("NVIDIA GPU"),
            Device.MPS: _("Apple GPU"),
        }[self]


@parameterNodeWrapper
class PediatricRenalSegParameterNode:
    """What the user chose; saved with the scene.

    inputVolume: the CT.
    outputSegmentation: the result that is reviewed.
    model: id of the catalogue, empty for the first of it, or ``file`` for ``modelFile``.
    modelFile: path of a model file of the user's own.
    device: where the network runs.
    smoothSurfaces: whether the 3D view shows smooth surfaces or the steps of the voxels.
    caseName: name of the patient folder.
    meshFormats: formats of the exported models, of ``export.writers.MESH_FORMATS``, with commas between them.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    model: str = ""
    modelFile: str = ""
    device: Device = Device.AUTO
    smoothSurfaces: bool = True
    caseName: str = "case-01"
    meshFormats: str = DEFAULT_MESH
