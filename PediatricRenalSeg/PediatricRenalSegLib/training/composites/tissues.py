"""What the voxels of backgrounds and composites are made of."""

from enum import IntEnum

import numpy as np

from ...structures import KIDNEY, TUMOR


class Tissue(IntEnum):
    """What a voxel of a background is made of; the last ones occur in composites only."""

    AIR = 0
    TABLE = 1
    FAT = 2
    SOFT = 3
    BONE = 4
    GAS = 5
    LUNG = 6
    SPLEEN = 7
    LIVER = 8
    GALLBLADDER = 9
    STOMACH = 10
    BOWEL = 11
    PANCREAS = 12
    ARTERY = 13
    VEIN = 14
    KIDNEY = 15
    # painted by a composite
    FILL_FAT = 16
    CORTEX = 17
    MEDULLA = 18
    CYST = 19
    SINUS_FLUID = 20
    TUMOR = 21
    NECROSIS = 22
    CAPSULE = 23
    CALCIFICATION = 24
    FILL_GUT = 25


def tissue_table(*tissues: Tissue) -> np.ndarray:
    """Boolean table indexed by tissue: true for those named."""
    table = np.zeros(len(Tissue), bool)
    table[list(tissues)] = True
    return table


ORGAN_TISSUES: dict[Tissue, tuple[int, ...]] = {
    Tissue.SPLEEN: (1,),
    Tissue.KIDNEY: (2, 3, 23, 24),
    Tissue.GALLBLADDER: (4,),
    Tissue.LIVER: (5,),
    Tissue.STOMACH: (6,),
    Tissue.PANCREAS: (7, 8, 9, 19),
    Tissue.LUNG: (10, 11, 12, 13, 14),
    Tissue.BOWEL: (18, 20),
    Tissue.SOFT: (21, 22, *range(80, 90)),
    Tissue.BONE: (*range(25, 51), *range(69, 80), *range(91, 118)),
    Tissue.ARTERY: (51, 52, 54, 55, 56, 57, 58, 65, 66),
    Tissue.VEIN: (53, 59, 60, 61, 62, 63, 64, 67, 68),
}
"""TotalSegmentator v2 classes by tissue; adrenals and duodenum enhance about as the pancreas does."""
SPINE_CLASSES = (*range(25, 51), 79)
"""The sacrum, the vertebrae and the spinal cord among them."""

KEPT_ORGANS = tissue_table(
    Tissue.BONE, Tissue.GAS, Tissue.LUNG, Tissue.SPLEEN, Tissue.LIVER, Tissue.GALLBLADDER, Tissue.STOMACH,
    Tissue.BOWEL, Tissue.PANCREAS, Tissue.ARTERY, Tissue.VEIN, Tissue.AIR, Tissue.TABLE,
)  # fmt: skip
"""Tissues that removing a kidney leaves as they are."""

KIDNEY_TISSUES = (Tissue.KIDNEY, Tissue.CORTEX, Tissue.MEDULLA, Tissue.CYST)
"""What is labeled as kidney."""
TUMOR_TISSUES = (Tissue.TUMOR, Tissue.NECROSIS, Tissue.CAPSULE, Tissue.CALCIFICATION)
"""What is labeled as tumor."""
PAINTED_TISSUES = tuple(tissue for tissue in Tissue if tissue >= Tissue.FILL_FAT)
"""What no scan holds by itself."""

IS_RENAL = tissue_table(*KIDNEY_TISSUES, *TUMOR_TISSUES)
"""(tissues,) bool: kidney or tumor."""
IS_PAINTED = tissue_table(*PAINTED_TISSUES)
"""(tissues,) bool: painted by a composite."""
TAKES_KIDNEY = ~tissue_table(
    Tissue.AIR, Tissue.TABLE, Tissue.BONE, Tissue.LUNG, Tissue.ARTERY,
    *KIDNEY_TISSUES, *TUMOR_TISSUES, Tissue.SINUS_FLUID,
)  # fmt: skip
"""Where a kidney may be put; scans without labeled organs cannot tell an artery from bone."""
TAKES_MASS = ~tissue_table(Tissue.AIR, Tissue.TABLE, Tissue.BONE)
"""What a mass may take the place of."""
TAKES_CONTRAST = tissue_table(Tissue.SOFT, Tissue.ARTERY, Tissue.BOWEL, Tissue.KIDNEY)
"""What holds contrast medium, in scans without labeled organs."""

LABELS = np.zeros(len(Tissue), np.uint8)
"""(tissues,): the label of each tissue."""
LABELS[list(KIDNEY_TISSUES)] = KIDNEY.label
LABELS[list(TUMOR_TISSUES)] = TUMOR.label
