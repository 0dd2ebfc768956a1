"""The three sentences a reader wants first. `python -m analysis.findings RESULTS`.

Sentences 1 and 3 come from the test phase alone; sentence 2 explains the search, from its tuning targets.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.command import run_command
from analysis.generalization import tested_improvement
from analysis.load import Results
from analysis.parameters.importance import distinguishable, importances
from analysis.parameters.searched import searched_trials
from analysis.parameters.survivors import beside_random, random_importances, random_verdict
from analysis.sensitivity import SEED
from analysis.stats import Estimate, mean_interval, rounded


@dataclass(frozen=True)
class Finding:
    """A sentence, and the estimate it rests on first; None where it rests on none."""

    text: str
    estimate: Estimate | None


def findings(results: Results) -> list[Finding]:
    """Three findings: tuned against published, the parameter that matters most, the price of choosing blindly.

    What the study cannot say yet (no test phase, too few trials) is said in its place.
    """
    return [_improvement_finding(results), _parameter_finding(results), _selection_finding(results)]


def header(results: Results) -> str:
    """The line above the findings: how many images of the test phase, and how many per domain."""
    tested = results.reconstructions(["domain", "target_id"], "test").drop_duplicates()
    tuned_on = set(results.reconstructions(["target_id"], "search")["target_id"])
    if tested.empty:
        return "On images that the search never saw, nothing can be said yet: the study has no test phase."
    counts = tested.groupby("domain").size()
    per_domain = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    images = "1 image" if len(tested) == 1 else f"{len(tested)} images"
    if tuned_on & set(tested["target_id"]):  # too few pictures to set some aside
        return f"On {images} that steered the search as well ({per_domain} per domain, fresh victims and seeds):"
    wanted = int(results.plan.get("test_targets_per_domain", 0)) * len(results.plan.get("domains", ()))
    unfinished = not results.plan.get("pictures") and len(tested) < wanted
    note = f"; the test is unfinished, {len(tested)} of {wanted}" if unfinished else ""
    return f"On {images} that the search never saw ({per_domain} per domain, fresh seeds{note}):"


def _improvement_finding(results: Results) -> Finding:
    tested = tested_improvement(results)
    if results.finalists is None or "oracle" not in results.finalists or tested.empty:
        return Finding(
            "Whether tuned settings beat the published recipe on new images cannot be said before the test phase; "
            "continue the study to its end.", None
        )  # fmt: skip
    trial, baseline = results.finalists["oracle"], results.finalists.get("published", 0)
    if trial == baseline:
        return Finding("The search found nothing that beats the published recipe: its own choice is the recipe.", None)
    mine = tested[tested["trial"] == trial]
    if mine.empty:
        return Finding(f"Trial {trial}, the tuned choice, has no score on any test image: nothing can be said.", None)
    places = {domain: _place(str(domain), results) for domain in mine["domain"].unique()}
    clauses: list[str] = []
    first: Estimate | None = None
    for place in sorted(set(places.values()), key=_ORDER.index):
        part = mine[mine["domain"].map(places) == place]
        estimate = mean_interval(part["improvement"], part["domain"])
        same = (
            first is not None and estimate.distinguishable and first.distinguishable and estimate.mean * first.mean > 0
        )
        verdict = _size(estimate).brief(results.metric.unit) if same else _verdict(estimate, results.metric.unit)
        clauses.append(f"by {verdict} {place}" if same else f"{verdict} {place}")
        first = first or estimate
    sentence = "Tuned settings " + ", and ".join(clauses) + "."
    return Finding(sentence + _left_out(results, trial, len(mine)), first)


_OOD, _PHOTO, _USER = "on out-of-distribution images", "on photos", "on your pictures"
_UNSTEERED = "on out-of-distribution images that did not steer the search"
_OWN = "on images of what its generator was trained on"  # of a task that is not built in
_ORDER = [_USER, _OOD, _UNSTEERED, _PHOTO, _OWN]


def _place(domain: str, results: Results) -> str:
    if domain == "user":
        return _USER
    if domain in results.known_domains:
        return _PHOTO if results.plan.get("own_task") is None else _OWN
    return _OOD if domain in results.steered_domains else _UNSTEERED


def _verdict(estimate: Estimate, unit: str) -> str:
    if not estimate.distinguishable:
        return f"cannot be told apart from the published recipe, {estimate.describe(unit)},"
    verb = "beat" if estimate.mean > 0 else "fall behind"
    return f"{verb} the published recipe by {_size(estimate).describe(unit)}"


def _size(estimate: Estimate) -> Estimate:
    return estimate if estimate.mean >= 0 else -estimate


def _left_out(results: Results, trial: int, num_scored: int) -> str:
    rows = results.reconstructions(["trial", "target_id"], "test")
    missing = rows.loc[rows["trial"] == trial, "target_id"].nunique() - num_scored
    return f" {missing} of its images diverged and are left out." if missing > 0 else ""


def _parameter_finding(results: Results) -> Finding:
    try:
        trials = searched_trials(results)
        table = importances(trials, seed=SEED).dropna(subset=["importance"])
    except ValueError as error:
        return Finding(f"Which parameter matters most cannot be said: {error}.", None)
    if table.empty:
        return Finding("Which parameter matters most cannot be said: too few trials share a varying parameter.", None)
    rows = [row for _, row in table.iterrows()]
    told = [row for row in rows if distinguishable(row)]
    best = (told or rows)[0]
    estimate = Estimate(float(best["importance"]), float(best["low"]), float(best["high"]), _num_targets(results))
    numbers = f"importance {rounded(estimate.mean, 2)}, {rounded(best['low'], 2)} to {rounded(best['high'], 2)}"
    if not told:
        return Finding(
            f"No parameter can be told apart from no effect in {best['num_trials']} trials; "
            f"`{best['parameter']}` comes first ({numbers}; chance reaches {rounded(best['null_95'], 2)}).", estimate
        )  # fmt: skip
    table = beside_random(table, random_importances(trials, seed=SEED))
    leading = table[table["parameter"] == best["parameter"]].iloc[0]
    checked = random_verdict(leading, int(trials.at_random.sum()))
    text = f"During the search `{best['parameter']}` matters most ({numbers}; {checked})"
    lost = [row for row in rows if not distinguishable(row)]
    if lost and len(told) == 1:
        text += "; no other parameter can be told apart from no effect"
    elif lost:
        named = f"`{lost[0]['parameter']}`" if len(lost) == 1 else f"{len(lost)} of {len(table)} parameters"
        text += f"; {named} cannot be told apart from no effect"
    return Finding(text + ".", estimate)


def _num_targets(results: Results) -> int:
    rows = results.reconstructions(["domain", "target_id"], "search")
    return int(rows.loc[rows["domain"].isin(results.steered_domains), "target_id"].nunique())


def _selection_finding(results: Results) -> Finding:
    finalists, tested = results.finalists, tested_improvement(results)
    if finalists is None or not {"oracle", "observable"} <= set(finalists) or tested.empty:
        return Finding("What choosing by matching loss gives up cannot be said before the test phase.", None)
    oracle, observable = finalists["oracle"], finalists["observable"]
    if oracle == observable:
        return Finding(
            f"Choosing by matching loss, as an attacker must, and choosing with the private images both chose trial "
            f"{oracle}: nothing given up.", None
        )  # fmt: skip
    columns = ["domain", "target_id", "improvement"]
    best, blind = (tested.loc[tested["trial"] == trial, columns] for trial in (oracle, observable))
    paired = best.merge(blind, on=["domain", "target_id"], suffixes=("_oracle", "_observable"))
    if paired.empty:
        return Finding(f"Trials {oracle} and {observable} share no scored test image: nothing can be said.", None)
    regret = mean_interval(paired["improvement_oracle"] - paired["improvement_observable"], paired["domain"])
    verb = "gives up" if regret.mean >= 0 or not regret.distinguishable else "gains"
    shown = regret if verb == "gives up" else -regret
    ending = "." if regret.distinguishable else ": cannot be told apart."
    return Finding(
        f"Choosing by matching loss, as an attacker must, {verb} {shown.describe(results.metric.unit)} "
        f"against choosing with the private images{ending}", regret
    )  # fmt: skip


def _lines(results: Results) -> list[str]:
    return [header(results), *(f" {place}. {finding.text}" for place, finding in enumerate(findings(results), start=1))]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.findings RESULTS`."""
    return run_command(argv, name="findings", description="The three findings of a study, in sentences.", action=_lines)


if __name__ == "__main__":
    sys.exit(main())
