"""The sensitivity figure: importance, where it holds, and the effects of the leading parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.figures import BLUE, GREY, INK, ORANGE, PAGE_IN, PALE, SKY, SMALL_PT, VERMILION, clean, panel_letter
from analysis.parameters.importance import distinguishable
from analysis.parameters.searched import SearchedTrials

NUM_EFFECTS = 6
NUM_BARS = 14
MAX_POINTS = 2_000  # drawn of each parameter; the lines are of all
_BAR_IN, _EFFECT_IN, _DOT_PT2 = 0.19, 1.35, 130.0


def sensitivity_figure(
    table: pd.DataFrame,
    by_domain: pd.DataFrame,
    by_objective: pd.DataFrame,
    points: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    unit: str,
) -> Figure:
    """Panel a: importances, intervals, chance, the random share; b: where they hold; c: points and curves."""
    known, leading = table.dropna(subset=["importance"]).head(NUM_BARS), leading_parameters(table)
    num_rows = (len(leading) + 2) // 3
    top = 1.15 + _BAR_IN * len(known)
    figure = Figure(figsize=(PAGE_IN, top + _EFFECT_IN * num_rows + 0.3), layout="constrained")
    upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=[top, _EFFECT_IN * num_rows + 0.3])).flat
    bars, dots = upper.subplots(1, 2, width_ratios=[1.5, 1], sharey=True)
    _bars(bars, known)
    _where(dots, known, by_domain, by_objective)
    grid = lower.subplots(num_rows, 3, sharey=True, squeeze=False)
    for axes, (_, row) in zip(grid.flat, leading.iterrows(), strict=False):
        name = str(row["parameter"])
        chosen = points["parameter"] == name
        _effect(axes, points[chosen], curves[curves["parameter"] == name])
        value_axis(axes, points.loc[chosen, "value"], log=bool(row["log"]), choice=bool(row["choice"]))
        axes.set_xlabel(name, labelpad=1)
    for axes in list(grid.flat)[len(leading) :]:
        axes.set_visible(False)
    panel_letter(grid[0, 0], "c", "improvement of the trials")
    lower.supylabel(f"over published recipe ({unit})", fontsize=SMALL_PT + 1)
    return figure


def leading_parameters(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the NUM_EFFECTS parameters that lie farthest above chance."""
    known = table.dropna(subset=["importance"])
    return known.loc[(known["importance"] - known["null_95"]).nlargest(NUM_EFFECTS).index]


def sensitivity_caption(trials: SearchedTrials, unit: str) -> str:
    """What the figure shows, of how many, with which interval."""
    counts = ", ".join(f"{name} {(trials.domains == name).sum()}" for name in np.unique(trials.domains))
    num_trials, num_random = len(trials.parameters), int(trials.at_random.sum())
    return (
        f"Which searched parameters drive leakage, in {num_trials} trials on {trials.domains.size} tuning targets "
        f"({counts}). (a) Share of the variance of being among the best third of the trials that have the parameter "
        "(PED-ANOVA; trials in brackets), with 95 % percentile intervals over trials and targets, and the 95 % level "
        "that shuffled values reach. Filled bars lie above it with their whole interval. Orange: the same among the "
        f"{num_random} trials drawn at random, free of the sampler's focus (none where they are fewer than six). "
        "(b) The same by domain, each alone, and with matching loss, which an attacker sees, in place of the score; "
        "the area is the importance, filled where it can be told apart from chance. (c) Mean improvement over the "
        f"published recipe ({unit}) of each trial (at most {MAX_POINTS:,} drawn), and means of neighbouring trials "
        "with 95 % t intervals, other parameters varying as the sampler chose them."
    )


def _bars(axes: Axes, table: pd.DataFrame) -> None:
    places = list(range(len(table)))
    colors = [BLUE if distinguishable(row) else PALE for _, row in table.iterrows()]
    edges = [BLUE if distinguishable(row) else GREY for _, row in table.iterrows()]
    axes.barh(places, table["importance"], height=0.62, color=colors, edgecolor=edges, linewidth=0.6)
    axes.hlines(places, table["low"], table["high"], color=INK, linewidth=0.9, label="95 % interval")
    axes.plot(table["null_95"], places, "|", color=VERMILION, markersize=7, markeredgewidth=1.6, label="chance (95 %)")
    share, low, high = (table[f"random_{name}"] for name in ("importance", "low", "high"))
    if share.notna().any():
        beside = [place + 0.24 for place in places]
        axes.hlines(beside, low, high, color=ORANGE, linewidth=0.9)
        axes.plot(share, beside, "D", color=ORANGE, markersize=2.5, label="trials at random")
    axes.set_yticks(places, [f"{row['parameter']}  ({row['num_trials']})" for _, row in table.iterrows()])
    axes.invert_yaxis()
    reached = float(np.nanmax(table[["high", "null_95", "random_high"]].to_numpy(dtype=np.float64)))
    axes.set_xlim(0, min(1.02, 1.05 * reached))
    axes.set_xlabel("share of the variance of being in the best third")
    clean(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower right", frameon=False, handlelength=1.2, borderpad=0)
    panel_letter(axes, "a", "importance (trials)")


def _where(axes: Axes, table: pd.DataFrame, by_domain: pd.DataFrame, by_objective: pd.DataFrame) -> None:
    parts = {str(domain): part for domain, part in by_domain.groupby("domain", sort=False)}
    matching = by_objective[by_objective["objective"] == "matching_loss"]
    if not matching.empty:
        parts["matching loss"] = matching
    for column, part in enumerate(parts.values()):
        rows = part.set_index("parameter")
        for place, name in enumerate(table["parameter"]):
            if name not in rows.index or pd.isna(rows.loc[name, "importance"]):
                axes.plot(column, place, "_", color=PALE, markersize=4)
                continue
            told = distinguishable(rows.loc[name])
            axes.scatter(
                column, place, s=_area(float(rows.loc[name, "importance"])), linewidths=0.8,
                facecolor=BLUE if told else "white", edgecolor=BLUE if told else GREY,
            )  # fmt: skip
    axes.set_xticks(range(len(parts)), list(parts), rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(parts) - 0.4)
    clean(axes, grid="y")
    axes.tick_params(length=0)
    for share in (0.1, 0.5):
        axes.scatter([], [], s=_area(share), facecolor="white", edgecolor=GREY, linewidths=0.8, label=f"{share}")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, borderpad=0, columnspacing=0.8,
                handletextpad=0.1)  # fmt: skip
    panel_letter(axes, "b", "where it holds")


def _area(share: float) -> float:
    """The area of a dot, square points."""
    return 2 + _DOT_PT2 * share


def _effect(axes: Axes, points: pd.DataFrame, curve: pd.DataFrame) -> None:
    axes.axhline(0, color=GREY, linewidth=0.6)
    many = len(points) > 400
    shown = points.sample(min(len(points), MAX_POINTS), random_state=0)
    axes.scatter(
        shown["value"], shown["improvement"], s=3 if many else 9, color=SKY, alpha=0.25 if many else 0.8,
        linewidths=0, rasterized=many,
    )  # fmt: skip
    axes.fill_between(curve["value"], curve["low"], curve["high"], color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(curve["value"], curve["improvement"], color=BLUE, linewidth=1.3, marker="o", markersize=2.5)
    clean(axes)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def value_axis(axes: Axes, values: pd.Series[float], *, log: bool, choice: bool) -> None:
    """Lay the x axis out for the `values` of a parameter."""
    if choice:
        axes.set_xticks(sorted(values.unique()))
        axes.margins(x=0.15)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        if values.max() / values.min() < 100:  # decades alone would leave one tick or two
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
