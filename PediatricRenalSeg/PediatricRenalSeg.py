"""The Slicer module PediatricRenalSeg: what Slicer shows about it.

The work is done by ``PediatricRenalSegLib``, which needs no Slicer. This file imports only Slicer and the
standard library, so that Slicer starts whether or not PyTorch is installed.
"""

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget


class PediatricRenalSeg(ScriptedLoadableModule):
    """Title, category and help of the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Pediatric Renal Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["PediatricRenalSeg maintainers"]
        self.parent.helpText = _(
            "<p>Segments the kidneys and a renal tumor in abdominal CT of children and makes 3D models of them.</p>"
            "<p><b>Research use only.</b> This is not a medical device: a physician must review every result.</p>"
            "<p>The window of this module comes in the next version. Today the command line "
            "<code>pediatric-renal-seg segment</code> does the job; the files it writes (label map, segmentation "
            "and models) open in Slicer by dropping them on its window.</p>"
        )
        self.parent.acknowledgementText = _(
            "The method is that of G. La Barbera et al., Automatic size and pose homogenization with Spatial "
            "Transformer Network to improve and accelerate pediatric segmentation, ISBI 2021, "
            "doi:10.1109/ISBI48211.2021.9434090."
        )


class PediatricRenalSegWidget(ScriptedLoadableModuleWidget):
    """Slicer's default panel: the help above, and Reload in developer mode."""
