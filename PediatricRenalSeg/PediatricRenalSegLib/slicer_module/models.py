"""The models in words for the window. Nothing here needs PyTorch."""

from html import escape
from pathlib import Path

from slicer.i18n import tr as _

from ..errors import InputError
from ..models.bundle import read_metadata
from ..models.catalogue import CatalogueEntry, catalogue


def shipped_models() -> list[tuple[str, str]]:
    """Id and name of every model of the catalogue; the first is the default."""
    return [(entry.id, _name(entry)) for entry in catalogue()]


def _name(entry: CatalogueEntry) -> str:
    try:
        return f"{entry.id} ({read_metadata(entry.path).version})"
    except InputError:  # said where the model is described
        return entry.id


def describe(name: str) -> str:
    """Rich text on a model: an id of the catalogue, empty for the default, or a file.

    Raises ``InputError`` when there is no such model or the file is no model.
    """
    shipped = {entry.id: entry.path for entry in catalogue()}
    path = shipped.get(name or next(iter(shipped)), Path(name))
    if not path.is_file():
        raise InputError(_('There is no model "{name}" here: choose another one.').format(name=name or path.name))
    metadata = read_metadata(path)
    rows = [
        (_("Version"), metadata.version),
        (_("Segments"), ", ".join(segment.display_name for segment in metadata.structures.segments)),
        (_("License"), f"{metadata.license}. {metadata.license_notice}"),
        (_("Trained on"), metadata.training_domain),
        (_("Limits"), metadata.limits),
    ]
    if metadata.scores:
        meaning = _("Dice: 1 is a perfect match with an expert's outline or the generated truth, 0 is none.")
        rows.append((_("Scores"), meaning))
        rows += [(data, _scores(scores)) for data, scores in metadata.scores.items()]
    return "".join(f"<p style='margin:3px 0'><b>{escape(title)}:</b> {escape(text)}</p>" for title, text in rows)


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
