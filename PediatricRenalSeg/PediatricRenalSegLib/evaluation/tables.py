"""What an evaluation prints, and the CSV file for further work."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..output_files import whole_file
from .metrics import DISTANCES, LESIONS
from .patients import Evaluation
from .statistics import CONFIDENCE, FEWEST_FOR_INTERVAL, Interval, bootstrap_interval, compare_paired, summarize

TITLES = {
    "dice": "Dice",
    "hausdorff95_mm": "HD95, mm",
    "surface_mm": "surface, mm",
    "volume_error_ml": "volume error, ml",
    "volume_error_percent": "volume error, %",
}
"""Scores of the tables."""
COLUMNS = ("dice", *DISTANCES, "reference_ml", "prediction_ml", "volume_error_ml", "volume_error_percent", *LESIONS)

UNDEFINED = "–"
"""In place of a number that is not defined."""
INTERVAL = f"{100 * CONFIDENCE:g} % CI"
LEGEND = f"""\
Dice is 1 where reference and prediction are empty. Undefined and in no mean: distances where one of them is empty,
percentages of an empty reference. A lesion is detected if any of it is covered, a predicted one is false if it covers
none of the reference. {INTERVAL}: bootstrap interval, from {FEWEST_FOR_INTERVAL} patients on."""


def text_report(evaluation: Evaluation, other: Evaluation | None = None) -> str:
    """Scores of one patient, or means and medians of several; with ``other`` the paired comparison too."""
    patients = {row.patient for row in evaluation.rows}
    parts = [_patient_table(evaluation) if len(patients) == 1 else _summary_table(evaluation)]
    lesion_lines = (_lesion_line(evaluation, structure) for structure in evaluation.structures())
    parts += [line for line in lesion_lines if line]
    if other:
        parts.append(_comparison_table(evaluation, other))
    if len(patients) > 1:
        parts.append(LEGEND)
    return "\n\n".join(parts)


def check_csv(path: Path) -> None:
    """Raise ``InputError`` if the file cannot be written or is there already: before the work, not after."""
    if path.exists():
        raise InputError(f"{path} exists already: choose another name.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent}: make it or choose another one.")


def write_csv(path: Path, evaluations: dict[str, Evaluation]) -> None:
    """A line for each prediction (by its name), patient and structure; a score that is not defined is empty."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("prediction", "patient", "structure", *COLUMNS))
        writer.writeheader()
        for name, evaluation in evaluations.items():
            for row in evaluation.rows:
                known = {key: value for key, value in row.scores.items() if not np.isnan(value)}
                writer.writerow({"prediction": name, "patient": row.patient, "structure": row.structure, **known})


def _patient_table(evaluation: Evaluation) -> str:
    header = ["", *TITLES.values()]
    rows = [[row.structure, *(_number(row.scores[key]) for key in TITLES)] for row in evaluation.rows]
    return _aligned([header, *rows])


def _summary_table(evaluation: Evaluation) -> str:
    rows = [["", "", "patients", "undefined", "mean (sd)", INTERVAL, "median", INTERVAL]]
    for structure in evaluation.structures():
        scores = evaluation.of(structure).values()
        for key, title in TITLES.items():
            found = summarize([score[key] for score in scores])
            rows.append([
                structure,
                title,
                str(found.count),
                str(found.missing),
                f"{_number(found.mean)} ({_number(found.sd)})",
                _interval(found.mean_interval),
                _number(found.median),
                _interval(found.median_interval),
            ])  # fmt: skip
    return _aligned(rows)


def _lesion_line(evaluation: Evaluation, structure: str) -> str:
    scores = [score for score in evaluation.of(structure).values() if LESIONS[0] in score]
    if not scores:
        return ""
    total, detected, _, false = (np.array([score[key] for score in scores], float) for key in LESIONS)
    with_lesions = total > 0
    interval = bootstrap_interval(_pooled, detected[with_lesions], total[with_lesions])
    share = f" ({100 * _pooled(detected, total):.0f} %{_after(_interval(interval, 100))})" if total.any() else ""
    return (
        f"{structure}: {detected.sum():.0f} of {total.sum():.0f} lesions detected{share}, "
        f"{false.sum():.0f} false, in {len(scores)} patient{'s' * (len(scores) > 1)}"
    )


def _pooled(detected: np.ndarray, total: np.ndarray) -> float:
    """Of all lesions, whoever has them."""
    return float(detected.sum() / total.sum())


def _comparison_table(first: Evaluation, second: Evaluation) -> str:
    rows = [["second minus first", "", "patients", "mean", INTERVAL, "p (Wilcoxon)"]]
    for structure in first.structures():
        pair = [evaluation.of(structure) for evaluation in (first, second)]
        shared = [patient for patient in pair[0] if patient in pair[1]]
        for key, title in TITLES.items():
            # an error of the volume is better when it is smaller, whatever its sign
            sign = np.abs if key.startswith("volume_error") else np.asarray
            before, after = (sign([scores[patient][key] for patient in shared]) for scores in pair)
            found = compare_paired(before.tolist(), after.tolist())
            title = f"|{title}|" if sign is np.abs else title
            row = [structure, title, str(found.count), _number(found.mean), _interval(found.interval)]
            rows.append([*row, UNDEFINED if np.isnan(found.p) else f"{found.p:.2g}"])
    return _aligned(rows)


def _number(value: float) -> str:
    return UNDEFINED if np.isnan(value) else f"{value:.3f}"


def _interval(interval: Interval, factor: float = 1) -> str:
    if np.isnan(interval).any():
        return UNDEFINED
    digits = 3 if factor == 1 else 0
    return " to ".join(f"{factor * value:.{digits}f}" for value in interval)


def _after(text: str) -> str:
    return "" if text == UNDEFINED else f", {text}"


def _aligned(rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(_cell(text, widths[i], i) for i, text in enumerate(row)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)
