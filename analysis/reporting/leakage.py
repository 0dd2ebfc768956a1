"""The leakage statement: what was measured, under which declared conditions, in words; never one score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.improvement import target_scores
from analysis.load import Results
from analysis.methods import compare_methods
from analysis.metric import METRICS
from analysis.stats import mean_interval, rounded

COLUMNS = ["settings", "control", "place", "mean", "low", "high", "rank_one", "rank_one_low", "rank_one_high"]
WORST_SHARE = 0.1
_WORDS = {"published": "published recipe", "oracle": "tuned, oracle", "observable": "tuned, observable"}


def headline(results: Results) -> pd.DataFrame:
    """Settings and controls on test targets: COLUMNS, trial, num_targets, gallery_size. ValueError if there is none."""
    table = compare_methods([results])
    if table.empty:
        raise ValueError("scores are those of test targets, and none has been attacked; continue the study to its end")
    controls = table["control"] != "none"
    kept = table[~controls | (table["settings"] == "oracle")]
    return kept.assign(settings=kept["settings"].map(_WORDS), order=kept["control"] != "none").sort_values(
        ["place", "order"], ascending=[False, True], kind="stable"
    )[[*COLUMNS, "trial", "num_targets", "gallery_size"]]  # fmt: skip


def measured_sentences(results: Results) -> list[str]:
    """What the tuned settings got out of test targets: metrics, the most exposed tenth, identification."""
    trial = (results.finalists or {}).get("oracle")
    metrics = ["psnr_db", "ssim", "lpips"]
    ranks = ["gallery_size", "rank_psnr_db"]
    rows = results.reconstructions(["trial", "domain", "target_id", *metrics, *ranks], "test")
    rows = rows[rows["trial"] == trial]
    if rows.empty or rows[metrics].isna().all(axis=None):
        raise ValueError("leakage is stated of tuned settings on test targets, and there are none with a score")
    sentences = [_metric_sentence(rows, name) for name in metrics]
    return [*(each for each in sentences if each), _exposed(rows, results), _identified(results)]


def _metric_sentence(rows: pd.DataFrame, name: str) -> str:
    metric = METRICS[name]
    title = name.split("_")[0].upper()
    scores = target_scores(rows, metric)
    if scores.empty:
        return f"{title} was not measured."
    found = mean_interval(scores["score"], scores["domain"])
    unit = metric.unit if metric.unit != title else ""
    decimals = 1 if unit == "dB" else 3
    return f"{title}: {found.describe(unit, decimals=decimals).replace('  ', ' ')}, mean of {len(scores)} test targets."


def _exposed(rows: pd.DataFrame, results: Results) -> str:
    """Means hide who is hit: the targets that leaked most. Of so few no interval is given."""
    scores = target_scores(rows, results.metric)
    leaked = np.sort(results.metric.direction * scores["score"].to_numpy(dtype=np.float64))[::-1]
    count = max(1, int(np.ceil(WORST_SHARE * leaked.size)))
    least = rounded(results.metric.direction * leaked[count - 1], 1 if results.metric.unit == "dB" else 3)
    targets = "target" if count == 1 else f"{count} targets"
    bound = "at least" if results.metric.direction > 0 else "at most"
    return (
        f"The most exposed tenth ({targets} of {leaked.size}) leaked {bound} {least} {results.metric.unit}; "
        "chosen by their own scores, so no interval."
    )


def _identified(results: Results) -> str:
    table = headline(results)
    tuned = table[(table["settings"] == _WORDS["oracle"]) & (table["control"] == "none")].dropna(subset=["rank_one"])
    if tuned.empty:
        return "Whether a reconstruction points to its private image among others was not measured (no gallery)."
    parts = [
        f"{100 * row['rank_one']:.0f} % {row['place']} (Wilson 95 % interval {100 * row['rank_one_low']:.0f} to "
        f"{100 * row['rank_one_high']:.0f} %, {row['num_targets']} targets)"
        for row in tuned.to_dict("records")
    ]
    gallery = int(tuned["gallery_size"].iloc[0])
    return (
        f"The private image is the nearest, by PSNR, among {gallery} images for " + " and ".join(parts)
        + f"; a blind guess is right for {100 / gallery:.1f} %."
    )  # fmt: skip


def combined(results: Results) -> str:
    """What was measured and what was declared, in a sentence."""
    plan: Mapping[str, Any] = results.plan
    sharing = plan.get("sharing") or {}
    defense = sharing.get("defense", "none")
    guarded = "without a defense" if defense == "none" else f"under the defense `{defense}`"
    labels = "without knowing the label" if plan.get("labels") == "inferred" else "knowing the label"
    size = sharing.get("batch_size", 1)
    of = "a single image" if size == 1 else f"{size} images"
    return (
        f"So much leaked from the shared gradient of {of} {guarded}, to an attacker {labels} who has the victim's "
        f"weights, a generator and {plan.get('budget', '?')} gradient evaluations per target. It is a lower bound for "
        "attackers who know or spend more, and says nothing of other victims, batches, generators or domains. Measured "
        "and declared are kept apart on purpose: no single number stands for both."
    )
