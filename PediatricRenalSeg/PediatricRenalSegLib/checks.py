"""What the surgeon should check: the lines that begin with ``Check:``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckWarning:
    """Something in a result that deserves a look. The codes are those of the README."""

    code: str
    """Stable, for programs."""
    text: str
    """One sentence for people."""
