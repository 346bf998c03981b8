"""The one table of structures.

The network knows *labels* (background 0, kidney 1, tumor 2: the KiTS convention). A surgeon knows
*segments*: a paired structure is one label and two segments, one a side. A new structure needs a row
in ``STRUCTURES`` and a model that predicts its label; no other code.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A coded term: scheme, code value and meaning, as DICOM writes them."""

    scheme: str
    value: str
    meaning: str


ANATOMICAL_STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
MORPHOLOGICALLY_ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
KIDNEY = Code("SCT", "64033007", "Kidney")
NEOPLASM = Code("SCT", "108369006", "Neoplasm")
RIGHT = Code("SCT", "24028007", "Right")
LEFT = Code("SCT", "7771000", "Left")


@dataclass(frozen=True)
class Structure:
    """One label of the network and what is known about it before any image is seen."""

    label: int
    """Value in the network's output and in ``labelmap.nii.gz``."""
    name: str
    """Stable, language-neutral name: the key in metadata and score tables."""
    display_name: str
    color: tuple[int, int, int]
    category: Code
    type: Code
    region: Code | None = None
    paired: bool = False
    """One segment a side of the body, each the largest component there."""
    smallest_ml: float = 0.5
    """Connected components below this volume are specks and are removed."""


@dataclass(frozen=True)
class Segment:
    """One structure as the surgeon sees it: what the label volume, surfaces and tables hold."""

    value: int
    """Value in a ``LabelVolume``."""
    id: str
    display_name: str
    structure: Structure
    side: Code | None = None

    @property
    def color(self) -> tuple[int, int, int]:
        return self.structure.color


STRUCTURES = (
    Structure(1, "kidney", "Kidney", (185, 102, 83), ANATOMICAL_STRUCTURE, KIDNEY, paired=True),
    Structure(2, "tumor", "Renal tumor", (144, 238, 144), MORPHOLOGICALLY_ALTERED, NEOPLASM, KIDNEY),
)


def _segments() -> tuple[Segment, ...]:
    rows = []
    for structure in STRUCTURES:
        sides = ((RIGHT, "right"), (LEFT, "left")) if structure.paired else ((None, ""),)
        for side, word in sides:
            segment_id = f"{structure.name}_{word}" if word else structure.name
            name = f"{word.capitalize()} {structure.display_name.lower()}" if word else structure.display_name
            rows.append(Segment(len(rows) + 1, segment_id, name, structure, side))
    return tuple(rows)


SEGMENTS = _segments()


def segments_of(structure: Structure) -> tuple[Segment, ...]:
    """The segments of a structure: right then left for a paired one."""
    return tuple(segment for segment in SEGMENTS if segment.structure is structure)
