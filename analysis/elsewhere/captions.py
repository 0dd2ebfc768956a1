"""Captions of the generalization figures: what is shown, of how many, with which interval."""

from __future__ import annotations

import pandas as pd

from analysis.elsewhere.tables import Searched

_CROSSED = (
    "Choices on half of each domain's tuning targets are valued on the other half, halves crossed, 20 random splits; "
    "intervals are 95 %, jackknife over targets, rather too wide than too narrow."
)


def improvement_caption(improvement: pd.DataFrame, search: Searched | None, unit: str) -> str:
    """Of `generalization_figure`."""
    parts = []
    if not improvement.empty:
        counts = improvement.drop_duplicates("domain").set_index("domain")["num_targets"]
        listed = ", ".join(f"{name} {num}" for name, num in counts.items())
        parts.append(
            f"(a) Improvement over the published recipe on test targets, {unit}, mean and 95 % t interval, paired by "
            f"target, domains alike in \"all\"; targets: {listed}."
        )  # fmt: skip
    if search is not None:
        parts.append(
            f"(b) What settings tuned on one domain give up on another against that domain's own choice, {unit}, on "
            f"tuning targets ({_counts(search)}) among {search.transfer.num_configs} configs. {_CROSSED} Bold: told "
            "from 0 after Holm's correction over all pairs; circle: not."
        )
    return " ".join(parts)


def transfer_caption(search: Searched | None, tested: pd.DataFrame, unit: str) -> str:
    """Of `transfer_figure`."""
    parts = [
        f"Gain over the published recipe and regret against a domain's own choice, {unit}, of settings tuned on one "
        "domain (rows) and valued on another (columns). Circles: gains whose 95 % interval includes 0, regrets not "
        "told from 0 after Holm's correction over the pairs of the matrix."
    ]
    if search is not None:
        parts.append(
            f"Tuning images: {_counts(search)}; {search.transfer.num_configs} configs. {_CROSSED} A choice from all "
            "targets is worth somewhat more."
        )
    if not tested.empty:
        counts = tested.drop_duplicates("valued_on").set_index("valued_on")["num_targets"]
        listed = ", ".join(f"{name} {num}" for name, num in counts.items())
        parts.append(
            f"Test images ({listed}): the settings chosen for each domain, on targets that chose nothing; paired, 95 % "
            "t intervals."
        )
    return " ".join(parts)


def choices_caption(search: Searched, unit: str) -> str:
    """Of `choices_figure`."""
    regret = (
        f"(a) Regret, {unit}, on each domain of the config chosen on all other domains, by its worst domain, or by the "
        f"mean of all, against the domain's own choice. {_CROSSED}"
    )
    correlation = (
        "(b) Spearman's correlation over configs between domains' means, and corrected for the noise within domains "
        "(1: only noise sets them apart; not given where a domain's mean repeats with less than 0.5); 95 % jackknife "
        "intervals over targets."
    )
    distance = (
        "(c) Mean regret of both directions against the distance of domains (numbered as in b): Frechet's, of simple "
        "picture features, or where no pictures are kept the difference of the published recipe's scores; p: exact "
        f"one-sided Mantel test. {len(search.distance)} pairs cannot show much."
    )
    counts = f"Tuning targets ({_counts(search)}), {search.transfer.num_configs} configs."
    return " ".join([counts, regret, correlation, distance])


def studies_caption(table: pd.DataFrame, unit: str) -> str:
    """Of `studies_figure`."""
    parts = [f"Studies compared, {unit}; mean and 95 % interval by domain, \"all\" their mean."]  # fmt: skip
    if (table["kind"] == "tested").any():
        parts.append("Minus: the choice of one study against that of the other on the test targets they share, t.")
    if (table["kind"] == "carried").any():
        parts.append(
            "Best of: settings tuned in one study, valued on tuning targets of another that ran them too, against its "
            "own best, which is chosen on half of its targets and valued on the other, jackknife."
        )
    return " ".join([*parts, "n under a domain counts its targets."])


def _counts(search: Searched) -> str:
    return ", ".join(
        f"{name} {num}" for name, num in zip(search.transfer.domains, search.transfer.num_targets, strict=True)
    )
