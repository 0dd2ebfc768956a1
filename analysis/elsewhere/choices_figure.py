"""The figure of choices: what choosing elsewhere or for all costs, whether domains rank alike, and distance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.elsewhere.robust import MEAN, WORST
from analysis.elsewhere.tables import PICTURES, SCORES, Searched
from analysis.figures import BLUE, GREEN, GREY, INK, ORANGE, PAGE_IN, SMALL_PT, VERMILION, clean, panel_letter
from analysis.stats import rounded

_CHOICES = {
    "left out": (VERMILION, "o", "all other domains"),
    WORST: (BLUE, "s", "worst domain"),
    MEAN: (GREEN, "^", "mean of all"),
}
_SPREAD = 0.2


def choices_figure(found: Searched, unit: str) -> Figure:
    """The regret of choices for many; the rank correlation of domains, plain and corrected; regret against distance.

    The distance is that of pictures where they were kept, else of the published recipe's scores.
    """
    figure = Figure(figsize=(PAGE_IN, 3.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.15, 1.1, 0.9])
    _regrets(left, found, unit)
    panel_letter(left, "a", "regret of one choice for many")
    _correlations(middle, found.agreement)
    panel_letter(middle, "b", "do domains rank alike")
    _distances(right, found, unit)
    panel_letter(right, "c", "distance and regret")
    return figure


def _regrets(axes: Axes, found: Searched, unit: str) -> None:
    lodo = found.left_out[found.left_out["left_out"] != "mean"].rename(columns={"left_out": "domain"})
    parts = {"left out": lodo} | {str(name): mine for name, mine in found.robust.groupby("choice")}
    domains = list(found.transfer.domains)
    axes.axhline(0, color=GREY, linewidth=0.8)
    for order, (name, (color, marker, label)) in enumerate(_CHOICES.items()):
        rows = parts[name].set_index("domain").loc[domains]
        places = np.arange(len(domains)) + _SPREAD * (order - 1)
        axes.vlines(places, rows["low"], rows["high"], color=color, linewidth=1.4)
        axes.plot(places, rows["regret"], marker, color=color, markersize=4, label=label)
    counts = found.transfer.num_targets
    axes.set_xticks(range(len(domains)), [f"{name}\nn = {num}" for name, num in zip(domains, counts, strict=True)])
    axes.set_ylabel(f"regret against own choice ({unit})")
    axes.margins(x=0.06, y=0.1)
    clean(axes, grid="y")
    axes.tick_params(axis="x", length=0)
    axes.legend(frameon=False, title="chosen by", loc="upper center", bbox_to_anchor=(0.5, -0.18), handletextpad=0.2)


def _correlations(axes: Axes, table: pd.DataFrame) -> None:
    rows = table[table["configs"] == "all"] if "configs" in table else table
    if rows.empty:
        axes.text(0.5, 0.5, "too few configs", ha="center", va="center", color=GREY, transform=axes.transAxes)
        axes.set_axis_off()
        return
    places = np.arange(len(rows))[::-1].astype(np.float64)
    axes.axvline(1, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    series = (
        ("correlation", "low", "high", ORANGE, "o", "as measured"),
        ("corrected", "corrected_low", "corrected_high", BLUE, "s", "corrected for noise"),
    )
    for shift, (name, low, high, color, marker, label) in zip((0.15, -0.15), series, strict=True):
        axes.hlines(places + shift, rows[low], rows[high], color=color, linewidth=1.4)
        axes.plot(rows[name], places + shift, marker, color=color, markersize=4, label=label)
    pairs = zip(rows["domain"], rows["other"], strict=True)
    axes.set_yticks(places, [f"{one}, {other}  {place}" for place, (one, other) in enumerate(pairs, start=1)])
    axes.set_xlabel("rank correlation of settings")
    clean(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.18), handletextpad=0.2)


def _distances(axes: Axes, found: Searched, unit: str) -> None:
    measure = PICTURES if found.distance["picture_distance"].notna().all() else SCORES
    rows = found.distance
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.plot(rows[f"{measure}_distance"], rows["mean_regret"], "o", color=BLUE, markersize=4)
    points = zip(rows[f"{measure}_distance"], rows["mean_regret"], strict=True)
    for place, point in enumerate(points, start=1):  # numbered as the pairs of panel b
        axes.annotate(
            str(place), point, xytext=(5, 0), textcoords="offset points", va="center", fontsize=SMALL_PT, color=INK
        )
    axes.set_xlabel("distance of pictures (sd)" if measure == PICTURES else f"difference of published scores ({unit})")
    axes.set_ylabel(f"mean regret, both ways ({unit})")
    axes.margins(x=0.12, y=0.12)
    clean(axes, grid="y")
    test = found.tests.get(measure)
    if test is not None:
        text = (
            f"rank correlation {rounded(test.correlation, 2)}\np = {rounded(test.p_value, 2)}, {test.num_pairs} pairs"
        )
        axes.text(0.5, -0.3, text, transform=axes.transAxes, ha="center", va="top", fontsize=SMALL_PT, color=INK)
