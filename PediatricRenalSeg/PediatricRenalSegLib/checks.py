"""What the surgeon should check: the lines that begin with ``Check:``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckWarning:
    """Something in a result that deserves a look. The codes are those of docs/results.md."""

    code: str
    """Stable, for programs."""
    text: str
    """One sentence for people."""


SPLIT_AT_MIDLINE = "split_at_midline"
SIDE_UNCERTAIN = "side_uncertain"
PART_REMOVED = "part_removed"
"""Codes of warnings, as the page on results lists them."""

DOUBTS = {SPLIT_AT_MIDLINE, SIDE_UNCERTAIN, PART_REMOVED}
"""Codes of the warnings that come from the run and cannot be found by measuring the segments afterwards."""
