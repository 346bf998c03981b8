"""The progress events of the command line in words and percent."""

from slicer.i18n import tr as _

START_PERCENT = {
    "model": 3,
    "read": 8,
    "preprocess": 15,
    "network": 22,
    "postprocess": 55,
    "surfaces": 63,
    "measure": 75,
    "write": 80,
}
"""When a stage begins; measured on a processor with two cores, see Testing/benchmarks/results/stages.md."""


def describe(event: dict) -> tuple[int, str]:
    """Percent of the whole, and a line for the window."""
    stage, done, total = event["stage"], event["done"], event["total"]
    start = START_PERCENT[stage]
    if stage != "network":
        return start, _text(stage)
    if total == 1:
        return start, _("Segmenting…")
    percent = start + (START_PERCENT["postprocess"] - start) * done // total
    if event["seconds_left"] is None:
        return percent, _("Slice {done} of {total}").format(done=done, total=total)
    text = _("Slice {done} of {total}, about {seconds} s left in this step")
    return percent, text.format(done=done, total=total, seconds=round(event["seconds_left"]))


def _text(stage: str) -> str:
    return {
        "model": _("Loading the model…"),
        "read": _("Reading the CT…"),
        "preprocess": _("Finding the body…"),
        "postprocess": _("Making segments…"),
        "surfaces": _("Making surfaces…"),
        "measure": _("Measuring…"),
        "write": _("Writing…"),
    }[stage]
