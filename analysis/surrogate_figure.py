"""What a surrogate with skill says: effects with the others averaged, interactions, and what tuning one would gain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures import BLUE, GREY, INK, PAGE_IN, PALE, SMALL_PT, VERMILION, clean, panel_letter
from analysis.parameters.claims import LEVEL, Claims, pair_claimed
from analysis.parameters.searched import SearchedTrials
from analysis.sensitivity_figure import value_axis

NUM_CURVES, NUM_PAIRS, NUM_TUNED = 6, 8, 8
_ROW_IN, _CURVE_IN = 0.2, 1.3


def surrogate_figure(claims: Claims, trials: SearchedTrials, *, unit: str) -> Figure:
    """Panel a: partial dependence, most missed first; b: pairs beyond their sum; c: tunability."""
    assert claims.permutation is not None
    assert claims.dependence is not None
    assert claims.pairs is not None
    names = claims.permutation["parameter"].head(NUM_CURVES).tolist()
    missed = set(claims.permutation.loc[claims.permutation["p_holm"] <= LEVEL, "parameter"])
    pairs = claims.pairs.head(NUM_PAIRS)
    tuned = None if claims.tunable is None else claims.tunable.head(NUM_TUNED)
    num_rows, num_bars = (len(names) + 2) // 3, max(3, len(pairs), 0 if tuned is None else len(tuned))
    heights = [_CURVE_IN * num_rows + 0.3, 0.85 + _ROW_IN * num_bars]
    figure = Figure(figsize=(PAGE_IN, sum(heights)), layout="constrained")
    upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=heights)).flat
    grid = upper.subplots(num_rows, 3, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        curve = claims.dependence[claims.dependence["parameter"] == name]
        _curve(axes, curve, color=BLUE if name in missed else GREY)
        scale = trials.scale(name)
        value_axis(axes, curve["value"], log=scale.log, choice=scale.choice)
        axes.set_xlabel(name, labelpad=1)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    upper.supylabel(f"effect on leakage ({unit})", fontsize=SMALL_PT + 1)
    panel_letter(grid[0, 0], "a", "partial dependence")
    panels = np.atleast_1d(np.asarray(lower.subplots(1, 1 if tuned is None else 2)))
    _pairs(panels[0], pairs)
    if tuned is not None:
        _tuned(panels[1], tuned, unit)
    return figure


def surrogate_caption(claims: Claims, trials: SearchedTrials, unit: str) -> str:
    """What the figure shows, of how many, with which interval."""
    found = claims.skill
    return (
        f"What a surrogate (extremely randomized trees) of {found.num_trials} of the search's {len(trials.parameters)} "
        f"trials on {trials.domains.size} tuning targets says; nothing here was run. On trials it has not seen its "
        f"R^2 is {found.r2:.2f} (95 % interval {found.r2_low:.2f} to {found.r2_high:.2f}) and its rank correlation "
        f"{found.rank:.2f} ({found.rank_low:.2f} to {found.rank_high:.2f}). (a) Predicted value ({unit}, about its own "
        "mean) as one parameter moves, averaged over trials that have it; blue where unseen trials are predicted worse "
        "without it (permutation, p <= 0.05 after Holm's correction). (b) Share of the values' variance that a "
        "pair has beyond the sum of both; the line is the 95 % level of the strongest pair where there is none. (c) "
        "Gain of the best value of one parameter over the recipe's likeness, chosen on one half of the trials and "
        "valued on the other. All intervals are 95 %, from forests of halves of the trials on targets drawn anew."
    )


def _curve(axes: Axes, curve: pd.DataFrame, *, color: str) -> None:
    axes.axhline(0, color=PALE, linewidth=0.6)
    axes.fill_between(curve["value"], curve["low"], curve["high"], color=color, alpha=0.18, linewidth=0)
    axes.plot(curve["value"], curve["effect"], color=color, linewidth=1.3, marker="o", markersize=2.5)
    clean(axes)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _pairs(axes: Axes, pairs: pd.DataFrame) -> None:
    places = np.arange(len(pairs))
    colors = [BLUE if pair_claimed(row) else PALE for _, row in pairs.iterrows()]
    axes.barh(places, pairs["share"], height=0.62, color=colors, edgecolor=GREY, linewidth=0.6)
    axes.hlines(places, pairs["low"].clip(lower=0), pairs["high"], color=INK, linewidth=0.9, label="95 % interval")
    if len(pairs):
        axes.axvline(float(pairs["null_95"].max()), color=VERMILION, linewidth=1.2, label="chance (95 %)")
        axes.legend(loc="lower right", frameon=False, handlelength=1.2)
    axes.set_yticks(places, [f"{row['first']} x {row['second']}" for _, row in pairs.iterrows()])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("share of variance beyond the sum")
    clean(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    panel_letter(axes, "b", "interactions")


def _tuned(axes: Axes, tuned: pd.DataFrame, unit: str) -> None:
    places = np.arange(len(tuned))
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.hlines(places, tuned["low"], tuned["high"], color=INK, linewidth=0.9)
    for place, (_, row) in zip(places, tuned.iterrows(), strict=True):
        told = row["low"] > 0
        axes.plot(row["gain"], place, "o", color=BLUE if told else GREY, markersize=4,
                  markerfacecolor=BLUE if told else "white")  # fmt: skip
    labels = [f"{row['parameter']}  {row['default']:.3g} → {row['best']:.3g}" for _, row in tuned.iterrows()]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_ylim(len(tuned) - 0.4, -0.6)
    axes.set_xlabel(f"predicted gain of this alone ({unit})")
    clean(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    panel_letter(axes, "c", "tunability")
