"""The sensitivity figure: importance bars beside the effects of the leading parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.figures import BLUE, GREY, INK, PAGE_IN, PALE, SKY, VERMILION, clean, panel_letter
from analysis.importance import distinguishable

NUM_EFFECTS = 6


def sensitivity_figure(table: pd.DataFrame, points: pd.DataFrame, curves: pd.DataFrame, *, unit: str) -> Figure:
    """Panel a: `importances` as bars, interval, chance level; panel b: points and curves, most important first."""
    known = table.dropna(subset=["importance"])
    leading = known.head(NUM_EFFECTS)
    figure = Figure(figsize=(PAGE_IN, max(3.2, 0.9 + 0.17 * len(known))), layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=[0.9, 1.3], wspace=0.03)).flat
    _bars(left.subplots(), known)
    num_rows = (len(leading) + 1) // 2
    grid = right.subplots(num_rows, 2, sharey=True, squeeze=False)
    for axes, (_, row) in zip(grid.flat, leading.iterrows(), strict=False):
        name = str(row["parameter"])
        chosen = points["parameter"] == name
        _effect(axes, points[chosen], curves[curves["parameter"] == name], log=bool(row["log"]))
        if row["choice"]:
            axes.set_xticks(sorted(points.loc[chosen, "value"].unique()))
            axes.margins(x=0.15)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel(name, labelpad=1)
    for axes in list(grid.flat)[len(leading) :]:
        axes.set_visible(False)
    panel_letter(grid[0, 0], "b", "effect on leakage")
    right.supylabel(f"improvement over published recipe ({unit})", fontsize=8)
    return figure


def _bars(axes: Axes, table: pd.DataFrame) -> None:
    places = list(range(len(table)))
    colors = [BLUE if distinguishable(row) else PALE for _, row in table.iterrows()]
    edges = [BLUE if distinguishable(row) else GREY for _, row in table.iterrows()]
    axes.barh(places, table["importance"], height=0.62, color=colors, edgecolor=edges, linewidth=0.6)
    axes.hlines(places, table["low"], table["high"], color=INK, linewidth=0.9, label="95 % interval")
    axes.plot(table["null_95"], places, "|", color=VERMILION, markersize=7, markeredgewidth=1.6, label="chance (95 %)")
    axes.set_yticks(places, [f"{row['parameter']}  ({row['num_trials']})" for _, row in table.iterrows()])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the variance of being\nin the best third (in brackets: trials)")
    clean(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="upper center", bbox_to_anchor=(0.3, -0.22), ncols=2, frameon=False, handlelength=1.2)
    panel_letter(axes, "a", "importance")


def _effect(axes: Axes, points: pd.DataFrame, curve: pd.DataFrame, *, log: bool) -> None:
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.scatter(points["value"], points["improvement"], s=9, color=SKY, alpha=0.8, linewidths=0)
    axes.fill_between(curve["value"], curve["low"], curve["high"], color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(curve["value"], curve["improvement"], color=BLUE, linewidth=1.3, marker="o", markersize=2.5)
    clean(axes)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if log:
        axes.set_xscale("log")
        if points["value"].max() / points["value"].min() < 30:  # decades alone would leave one tick or none
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
