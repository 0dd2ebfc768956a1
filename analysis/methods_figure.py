"""The figure of attacks side by side: published and tuned, with what their controls get."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import BLUE, GREY, ORANGE, PAGE_IN, PURPLE, SKY, clean, panel_letter

SHOWN = {  # settings and control: color, marker, whether filled, legend
    ("published", "none"): (BLUE, "o", False, "published"),
    ("oracle", "none"): (BLUE, "o", True, "tuned (oracle)"),
    ("observable", "none"): (SKY, "D", True, "tuned (observable)"),
    ("oracle", "untrained_generator"): (ORANGE, "s", True, "untrained generator"),
    ("oracle", "other_image"): (PURPLE, "^", True, "another image's gradient"),
    ("oracle", "noise_gradient"): (GREY, "x", True, "noise for a gradient"),
}


def methods_figure(table: pd.DataFrame, unit: str) -> Figure:
    """A panel a place: methods down, score across, 95 % intervals; controls with the settings chosen by oracle."""
    places = sorted(set(table["place"]), reverse=True)  # out of distribution first, as in the tables
    methods = list(dict.fromkeys(table["method"]))
    height = 0.9 + 0.52 * len(methods)
    figure = Figure(figsize=(PAGE_IN, height), layout="constrained")
    panels = np.asarray(figure.subplots(1, len(places), sharey=True, squeeze=False)).flat
    for letter, axes, place in zip("abc", panels, places, strict=False):
        _panel(axes, table[table["place"] == place], methods)
        targets = int(table.loc[table["place"] == place, "num_targets"].max())
        panel_letter(axes, letter, f"{place} ({targets} targets)")
        axes.set_xlabel(f"leakage ({unit})")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, handletextpad=0.3)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, methods: list[str]) -> None:
    offsets = np.linspace(-0.3, 0.3, len(SHOWN))
    for offset, ((settings, control), (color, marker, filled, label)) in zip(offsets, SHOWN.items(), strict=True):
        part = table[(table["settings"] == settings) & (table["control"] == control)].dropna(subset=["mean"])
        if part.empty:
            continue
        heights = [methods.index(method) + offset for method in part["method"]]
        reach = np.abs(part[["low", "high"]].to_numpy(dtype=np.float64).T - part["mean"].to_numpy(dtype=np.float64))
        axes.errorbar(
            part["mean"], heights, xerr=np.nan_to_num(reach), fmt=marker, color=color, markersize=4, linewidth=0.9,
            markerfacecolor=color if filled else "white", markeredgewidth=0.9, label=label,
        )  # fmt: skip
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(len(methods) - 0.5, -0.5)
    clean(axes, grid="x")
    axes.tick_params(axis="y", length=0)
