"""What the scores of many patients say: means, medians, their uncertainty, and paired differences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
FEWEST_FOR_INTERVAL = 5
"""Resamples of fewer patients are too few to tell an interval."""
RESAMPLES = 9999
SEED = 0
"""The same scores give the same intervals."""

Interval = tuple[float, float]
UNKNOWN: Interval = (np.nan, np.nan)
"""Of too few patients."""


@dataclass(frozen=True)
class Summary:
    """One score over the patients that have it."""

    count: int
    missing: int
    """Patients in whom the score is not defined (NaN); they are in no other number."""
    mean: float
    sd: float
    """Sample standard deviation."""
    mean_interval: Interval
    """95 % bootstrap interval; NaN for fewer than ``FEWEST_FOR_INTERVAL`` patients."""
    median: float
    median_interval: Interval


@dataclass(frozen=True)
class PairedDifference:
    """A second prediction minus the first, over the patients that have the score in both."""

    count: int
    mean: float
    interval: Interval
    p: float
    """Wilcoxon signed-rank test, two-sided; 1 where no patient differs, NaN without patients."""


def summarize(scores: Sequence[float]) -> Summary:
    """Summary of one score; NaN is a missing score."""
    values = np.asarray(scores, float)
    known = values[~np.isnan(values)]
    return Summary(
        count=len(known),
        missing=len(values) - len(known),
        mean=float(known.mean()) if len(known) else np.nan,
        sd=float(known.std(ddof=1)) if len(known) > 1 else np.nan,
        mean_interval=bootstrap_interval(np.mean, known),
        median=float(np.median(known)) if len(known) else np.nan,
        median_interval=bootstrap_interval(np.median, known),
    )


def compare_paired(first: Sequence[float], second: Sequence[float]) -> PairedDifference:
    """Second minus first, patient by patient, in the same order; patients with a NaN are left out."""
    differences = np.asarray(second, float) - np.asarray(first, float)
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return PairedDifference(0, np.nan, UNKNOWN, np.nan)
    p = float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0
    return PairedDifference(len(differences), float(differences.mean()), bootstrap_interval(np.mean, differences), p)


def bootstrap_interval(statistic: Callable[..., float], *samples: np.ndarray) -> Interval:
    """95 % interval of a statistic of one sample, or of several that belong together patient by patient.

    Bias-corrected and accelerated (Efron, J Am Stat Assoc 1987;82:171-185). A statistic that is the same whatever
    patient is left out has no such correction; its interval is that of the plain percentiles.
    """
    if len(samples[0]) < FEWEST_FOR_INTERVAL:
        return UNKNOWN
    left_out = [statistic(*(np.delete(sample, i) for sample in samples)) for i in range(len(samples[0]))]
    result = stats.bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=False if len(samples) > 1 else None,
        method="percentile" if np.allclose(left_out, left_out[0]) else "BCa",
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        random_state=np.random.default_rng(SEED),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
