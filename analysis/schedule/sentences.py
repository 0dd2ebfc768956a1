"""What the tables of stages come to, in sentences hedged as their intervals demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.metric import Metric
from analysis.schedule.means import ALL, estimate_of
from analysis.schedule.rows import place_name
from analysis.schedule.tables import WHOLE
from analysis.stats import rounded

TOLD = ("published", "oracle", "observable")  # the tables have the other finalists too
SEARCHED = "all"  # settings: every config of the search


@dataclass(frozen=True)
class Told:
    """The rows of one config, or of all of the search, in every table; `name` is what to call it."""

    name: str
    tables: Mapping[str, pd.DataFrame]
    unit: str

    def rows(self, table: str, *, domain: str = ALL, whole: bool = False) -> list[pd.Series]:
        """The rows of a domain, place after place; whole: of the schedule."""
        found = self.tables[table]
        if found.empty:
            return []
        chosen = found[found["domain"] == domain]
        if "kind" in chosen:
            chosen = chosen[(chosen["kind"] == WHOLE) == whole]
        return [row for _, row in chosen.iterrows()]


def sentences(tables: Mapping[str, pd.DataFrame], metric: Metric) -> list[str]:
    """What the tables show, under a heading each, and what they cannot show."""
    told = list(_told(tables, metric.unit))
    score = metric.column.split("_")[0].upper()
    lines = ["Intervals are 95 % over targets, each on its own. What is of the search explains it, no more."]
    for heading, say in _HEADINGS.items():
        said = [f"  {each.name}: {line}" for each in told if (line := say(each))]
        lines += [heading.format(score=score), *said] if said else []
    return [*lines, *_missing(tables), *(line for each in told if (line := _diverged(each)))]


def _told(tables: Mapping[str, pd.DataFrame], unit: str) -> Iterator[Told]:
    """The main finalists on test targets (once, if several criteria chose the same), then the search."""
    shown = tables["contribution"]
    tested = shown[(shown["phase"] == "test") & shown["settings"].isin(TOLD)].drop_duplicates("settings")
    for trial, same in tested.groupby("trial", sort=False):
        settings = list(same["settings"])
        yield _part(tables, "test", settings[0], f"{' = '.join(settings)} (trial {trial}", "test", unit)
    searched = set(shown.loc[shown["phase"] == "search", "settings"])
    if tested.empty and "published" in searched:
        yield _part(tables, "search", "published", "published (trial 0", "tuning", unit)
    if SEARCHED in searched:
        yield _part(tables, "search", SEARCHED, "the search (all configs", "tuning", unit)


def _part(tables: Mapping[str, pd.DataFrame], phase: str, settings: str, name: str, split: str, unit: str) -> Told:
    own = {
        key: table if table.empty else table[(table["phase"] == phase) & (table["settings"] == settings)]
        for key, table in tables.items()
    }
    of_all = own["best"][own["best"]["domain"] == ALL]
    return Told(f"{name}, {int(of_all['num_targets'].max())} {split} targets)", own, unit)


def _contribution(told: Told) -> str:
    gains = [row for row in told.rows("contribution") if pd.notna(row["gain"])]
    if not gains:
        return ""
    said = [f"{place_name(row)} {_hedged(row, 'gain', told.unit)}" for row in gains]
    return ", ".join(said)


def _hedged(row: pd.Series, name: str, unit: str) -> str:
    estimate = estimate_of(row, name)
    unsure = estimate.low is not None and not estimate.distinguishable
    return estimate.brief(unit) + (", not told apart from 0" if unsure else "")


def _best(told: Told) -> str:
    places = sorted(told.rows("best"), key=lambda row: -row["best_share"])
    whole = told.rows("best", whole=True)
    if len(places) < 2 or not whole or pd.isna(whole[0]["agreement"]):
        return ""
    first = places[0]
    agreement, regret = _percent(whole[0], "agreement"), estimate_of(whole[0], "regret")
    domains = [domain for domain in told.tables["best"]["domain"].unique() if domain != ALL]
    leading = {domain: max(told.rows("best", domain=domain), key=lambda row: row["best_share"]) for domain in domains}
    others = [f"{domain} {place_name(row)}" for domain, row in leading.items() if place_name(row) != place_name(first)]
    by_domain = f"; but in {', '.join(others)}" if others else ", and so in every domain" if len(domains) > 1 else ""
    price = f"gives up {regret.brief(told.unit, decimals=2)}" if regret.mean > 0 else "gives up nothing"
    return (
        f"most often {place_name(first)}, {_percent(first, 'best_share')}{by_domain}; "
        f"matching loss keeps the best in {agreement} and {price}"
    )


def _misled(told: Told) -> str:
    whole = told.rows("loss_psnr", whole=True)
    if not whole or pd.isna(whole[0]["misled"]):
        return ""
    worst = max((row for row in told.rows("loss_psnr") if pd.notna(row["misled"])), key=lambda row: row["misled"])
    where = f", most at {place_name(worst)}: {_percent(worst, 'misled')}" if worst["misled"] > 0 else ""
    tau = estimate_of(whole[0], "rank_correlation").brief("", decimals=2).replace(" (a single target: no interval)", "")
    return (
        f"in {_percent(whole[0], 'misled')} of them{where}; "
        f"rank correlation of less loss with more leakage {' '.join(tau.split())}"
    )


def _constraint(told: Told) -> str:
    rows = told.rows("constraint")
    balls = [row for row in rows if pd.notna(row["radius_low"])]
    if not balls:
        return "searched without balls" if rows else ""
    said = []
    for layer in dict.fromkeys(int(row["layer"]) for row in balls):
        bins = [row for row in balls if int(row["layer"]) == layer]
        low, high = min(row["at_bound"] for row in bins), max(row["at_bound"] for row in bins)
        share = f"{100 * low:.0f}" if rounded(low, 2) == rounded(high, 2) else f"{100 * low:.0f} to {100 * high:.0f}"
        verdict = "active" if low >= 0.5 else "idle" if high < 0.5 else "active or idle by radius"
        said.append(f"layer {layer} {share} % ({verdict})")
    return ", ".join(said)


def _prefix(told: Told) -> str:
    rows = told.rows("prefix")
    if not rows:
        return ""
    said = [
        f"after {place_name(row)} {_hedged(row, 'difference', told.unit)} at {100 * row['share_of_evaluations']:.0f} %"
        for row in rows
    ]
    return ", ".join(said)


def _missing(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    lines = []
    if tables["prefix"].empty or (tables["prefix"]["kind"] == WHOLE).all():
        lines.append(
            "Every schedule has a single stage: what layers add, where the best stage lies, how loss and score part "
            "and prefixes cannot be shown; the table of loss and score has that stage."
        )
    else:
        lines.append(
            "A prefix spends less than the whole: the same budget spread over its stages might do better than is shown."
        )
    if tables["constraint"].empty:
        lines.append("No stage searches features of a layer above 0: balls cannot be shown.")
    if not (tables["contribution"]["phase"] == "test").any():
        lines.append("No finalist has stages on test targets: nothing is claimed of new images.")
    return lines


def _diverged(told: Told) -> str:
    whole = told.rows("best", whole=True)
    share = whole[0]["diverged"] if whole else 0.0
    return f"Left out because they diverged: {100 * share:.1f} % of the attacks of {told.name}." if share > 0 else ""


def _percent(row: pd.Series, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    bounds = "" if pd.isna(low) else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"{100 * row[name]:.0f} %{bounds}"


_HEADINGS = {
    "Gain in {score} over the stage before:": _contribution,
    "Where the best stage lies:": _best,
    "Stages that lowered the matching loss and {score} with it (they fit the gradient, not the image):": _misled,
    "Stages whose features end on their l1 ball:": _constraint,
    "Stopping after a layer, {score} against the whole schedule, at a share of its evaluations:": _prefix,
}
