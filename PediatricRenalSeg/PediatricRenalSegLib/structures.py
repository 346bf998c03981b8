"""What is segmented, and what is known about it before any image is seen.

The network knows *labels* (background 0, kidney 1, tumor 2: the KiTS convention). A surgeon knows *segments*: a
paired structure is one label and two segments, one a side. A model brings its ``StructureSet``; every stage reads
that of the model or of the label volume at hand, and none the table below. ``KNOWN`` says what is known about the
structures that come up by name alone: in models of before, and in trainings.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import isfinite
from typing import Any

from .errors import InputError

LARGEST_LABEL = 255
"""Labels and segments are stored in 8 bits."""


@dataclass(frozen=True)
class Code:
    """A coded term: scheme, code value and meaning, as DICOM writes them."""

    scheme: str
    value: str
    meaning: str = field(compare=False)
    """In words, which differ from list to list."""


ANATOMICAL_STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
MORPHOLOGICALLY_ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
KIDNEY_CODE = Code("SCT", "64033007", "Kidney")
NEOPLASM = Code("SCT", "108369006", "Neoplasm")
RIGHT = Code("SCT", "24028007", "Right")
LEFT = Code("SCT", "7771000", "Left")

Range = tuple[float, float]
"""Lowest and highest value."""


@dataclass(frozen=True)
class Structure:
    """One label of a model and what is known about it before any image is seen."""

    label: int
    """Value in the network's output and in ``labelmap.nii.gz``."""
    name: str
    """Stable, language-neutral name: the key in metadata and score tables."""
    display_name: str
    color: tuple[int, int, int]
    """Red, green and blue, 0 to 255."""
    category: Code
    type: Code
    region: Code | None = None
    """``type`` of the structure that it arises from or lies in."""
    paired: bool = False
    """One segment a side of the body: ``organs.sides`` has the rules."""
    smallest_ml: float = 0.5
    """Connected components below this volume are specks and are removed."""
    plausible_ml: Range | None = None
    """Volume of one segment outside which a warning is due."""
    plausible_hu: Range | None = None
    """Median outside which labels to train on cannot be those of this structure."""
    warn_if_absent: bool = True
    """Whether a result without it is worth a warning."""

    @property
    def is_lesion(self) -> bool:
        """Whether its components are counted and measured one by one."""
        return self.category == MORPHOLOGICALLY_ALTERED

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Structure":
        """The way back of ``dataclasses.asdict``. Raises ``InputError`` for values that are no structure."""
        try:
            codes = {name: Code(**values[name]) for name in ("category", "type", "region") if values.get(name)}
            numbers = ("color", "plausible_ml", "plausible_hu")
            tuples = {name: tuple(values[name]) for name in numbers if values.get(name) is not None}
            structure = cls(**{**values, **codes, **tuples})
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise InputError(f"{values!r} does not describe a structure ({error}).") from None
        for name, (is_right, what) in _FIELDS.items():
            if not is_right(getattr(structure, name)):
                raise InputError(f"{values!r} does not describe a structure: {name} must be {what}.")
        return structure


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _is_range(value: object) -> bool:
    return value is None or (
        isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]
    )


def _is_color(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)


def _is_code(value: object) -> bool:
    return isinstance(value, Code) and all(isinstance(text, str) for text in (value.scheme, value.value, value.meaning))


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "label": (lambda value: type(value) is int, "a whole number"),
    "name": (
        lambda value: isinstance(value, str) and bool(re.fullmatch("[a-z][a-z0-9_]*", value)),
        "of small letters, digits and underscores: files are called by it",
    ),
    "display_name": (lambda value: isinstance(value, str) and bool(value.strip()), "a text"),
    "color": (_is_color, "red, green and blue from 0 to 255"),
    "category": (_is_code, "a code"),
    "type": (_is_code, "a code"),
    "region": (lambda value: value is None or _is_code(value), "a code or null"),
    "paired": (lambda value: isinstance(value, bool), "true or false"),
    "warn_if_absent": (lambda value: isinstance(value, bool), "true or false"),
    "smallest_ml": (lambda value: _is_number(value) and value >= 0, "a number, not negative"),
    "plausible_ml": (_is_range, "a lowest and a highest number, or null"),
    "plausible_hu": (_is_range, "a lowest and a highest number, or null"),
}
"""What each field of a structure must be, as it may come from any file."""


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
        """That of the structure."""
        return self.structure.color


@dataclass(frozen=True)
class StructureSet:
    """The structures that a model tells apart, in its order.

    Raises ``InputError`` when two of them share a name, a label or a segment, or there are more than fit into 8 bits.

    >>> [segment.id for segment in RENAL.segments]
    ['kidney_right', 'kidney_left', 'tumor']
    """

    rows: tuple[Structure, ...]

    def __post_init__(self) -> None:
        for what, values in (("name", [row.name for row in self]), ("label", [row.label for row in self])):
            if len(set(values)) < len(values):
                raise InputError(f"Two structures have one {what}: {', '.join(map(str, values))}.")
        ids = [segment.id for segment in self.segments]
        if len(set(ids)) < len(ids):
            raise InputError(f"Two segments have one name: {', '.join(ids)}.")
        if len(ids) > LARGEST_LABEL:
            raise InputError(f"There are {len(ids)} segments, more than the {LARGEST_LABEL} that can be stored.")
        for row in self:
            if not 0 < row.label <= LARGEST_LABEL:
                raise InputError(f"The label of {row.name} is {row.label}, but labels go from 1 to {LARGEST_LABEL}.")

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """What a surgeon sees, numbered from 1: right then left of a paired structure."""
        segments: list[Segment] = []
        for row in self.rows:
            for side in (RIGHT, LEFT) if row.paired else (None,):
                segments.append(_segment(len(segments) + 1, row, side))
        return tuple(segments)

    def segments_of(self, structure: Structure) -> tuple[Segment, ...]:
        """The segments of a structure: right then left for a paired one."""
        return tuple(segment for segment in self.segments if segment.structure == structure)

    def named(self, name: str) -> Structure:
        """The structure of this name. Raises ``InputError`` if there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        raise InputError(f"There is no {name!r} among the structures {', '.join(row.name for row in self.rows)}.")

    @property
    def organs(self) -> tuple[Structure, ...]:
        """The structures that are no lesions."""
        return tuple(row for row in self.rows if not row.is_lesion)

    @property
    def text(self) -> str:
        """The names for a sentence: "kidney or tumor"."""
        *others, last = [row.name for row in self.rows]
        return f"{', '.join(others)} or {last}" if others else last

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values for JSON; ``from_list`` is the way back."""
        return [asdict(row) for row in self.rows]

    @classmethod
    def from_list(cls, rows: Iterable[dict[str, Any]]) -> "StructureSet":
        """Raises ``InputError`` for values that are no structures."""
        return cls(tuple(map(Structure.from_dict, rows)))


def _segment(value: int, structure: Structure, side: Code | None) -> Segment:
    if side is None:
        return Segment(value, structure.name, structure.display_name, structure)
    name = f"{side.meaning} {structure.display_name.lower()}"
    return Segment(value, f"{structure.name}_{side.meaning.lower()}", name, structure, side)


KIDNEY = Structure(
    label=1,
    name="kidney",
    display_name="Kidney",
    color=(185, 102, 83),
    category=ANATOMICAL_STRUCTURE,
    type=KIDNEY_CODE,
    paired=True,
    # 45 to 85 ml per m² of body surface (10th to 90th percentile) at every age (Scholbach and Weitzel, Scientifica
    # 2012:949164) is 9 ml in a newborn (0.2 m²) and 160 ml in an adult-sized adolescent (1.9 m²); half the one and
    # twice the other leave room for small kidneys and for the growth of an only one.
    plausible_ml=(5.0, 350.0),
    # 30 HU without contrast medium, up to 250 HU in the arterial phase; with room on both sides.
    plausible_hu=(0.0, 400.0),
)
TUMOR = Structure(
    label=2,
    name="tumor",
    display_name="Renal tumor",
    color=(144, 238, 144),
    category=MORPHOLOGICALLY_ALTERED,
    type=NEOPLASM,
    region=KIDNEY_CODE,
    # Below 1 ml a leak of the network is likelier than a renal tumor; 3 l is beyond the largest that the abdomen of a
    # child holds.
    plausible_ml=(1.0, 3000.0),
    # A fatty tumor is dark.
    plausible_hu=(-100.0, 300.0),
)

KNOWN = {row.name: row for row in (KIDNEY, TUMOR)}
"""What is known by name. A row more changes nothing for a model that does not name it."""

RENAL = StructureSet((KIDNEY, TUMOR))
"""The structures of the shipped models, and of label maps that nobody says anything else of (KiTS)."""


def known_structures(labels: dict[str, int]) -> StructureSet:
    """The rows of ``KNOWN`` for labels by name, in the order of the labels; "background" is left out.

    Raises ``InputError`` for a name that the table lacks.
    """
    foreground = {name: label for name, label in labels.items() if name != "background"}
    unknown = sorted(set(foreground) - set(KNOWN))
    if unknown:
        raise InputError(f"The model predicts {unknown[0]!r} and does not say what that is: export it again.")
    ordered = sorted(foreground, key=lambda name: foreground[name])
    return StructureSet(tuple(replace(KNOWN[name], label=foreground[name]) for name in ordered))
