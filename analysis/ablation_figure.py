"""The ablation path as a waterfall: what each step adds, and where that leads."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.ablation import claimed
from analysis.figures import BLUE, GREY, INK, PAGE_IN, PALE, VERMILION, clean, panel_letter

_LABEL_CHARACTERS = 34


def ablation_figure(table: pd.DataFrame, *, unit: str) -> Figure:
    """A panel a group of domains: steps downwards, each from where the one before it led, with its interval."""
    paths = list(table.groupby("domains", sort=False))
    labels = {int(row["step"]): _wrapped(str(row["changed"])) for _, row in table.iterrows()}
    num_lines = sum(max(1.4, label.count("\n") + 1.4) for label in labels.values())
    figure = Figure(figsize=(PAGE_IN, 1.2 + 0.15 * num_lines), layout="constrained")
    panels = np.asarray(figure.subplots(1, len(paths), sharey=True, squeeze=False)).flat
    for letter, axes, (domains, path) in zip("abcdefgh", panels, paths, strict=False):
        _waterfall(axes, path, end=max(labels) + 1)
        axes.set_xlabel(f"improvement over\npublished recipe ({unit})")
        panel_letter(axes, letter, f"{domains}\n({int(path['num_targets'].max())} test targets)")
    first = figure.axes[0]
    end = max(labels) + 1
    first.set_yticks([*labels, end], [*labels.values(), "all steps"])
    first.set_ylim(end + 0.6, min(labels) - 0.6)
    return figure


def ablation_caption(table: pd.DataFrame, unit: str) -> str:
    """What the figure shows, of how many, with which interval."""
    paths = table.groupby("domains", sort=False)["num_targets"].max()
    counts = "; ".join(f"{name}: {int(count)}" for name, count in paths.items())
    return (
        "From the published recipe to the tuned choice, one step after the other, every step run on the same test "
        f"targets ({counts}). A bar is the mean paired gain of a step over the one before it ({unit}), the line its "
        "95 % t interval over targets, stratified by domain; colored where p <= 0.05 after Holm's correction over the "
        "steps. The diamond is the whole path with its interval. Another order of the steps would divide the whole "
        "otherwise where they interact."
    )


def _waterfall(axes: Axes, path: pd.DataFrame, *, end: int) -> None:
    axes.axvline(0, color=GREY, linewidth=0.8)
    before = path["total"].shift(1)
    for (_, row), start in zip(path.iterrows(), before, strict=True):
        if pd.isna(row["gain"]) or pd.isna(start):
            continue
        color = (BLUE if row["gain"] > 0 else VERMILION) if claimed(row) else PALE
        axes.barh(row["step"], row["gain"], left=start, height=0.6, color=color, edgecolor=GREY, linewidth=0.6)
        axes.plot([start, start], [row["step"] - 1, row["step"]], color=GREY, linewidth=0.6, linestyle=":", zorder=0)
        axes.hlines(row["step"], start + row["gain_low"], start + row["gain_high"], color=INK, linewidth=0.9)
    last = path.iloc[-1]
    axes.plot([0], [path["step"].min()], "o", color=INK, markersize=3)
    axes.axhline(end - 0.5, color=PALE, linewidth=0.6)
    axes.hlines(end, last["total_low"], last["total_high"], color=INK, linewidth=1.4)
    axes.plot([last["total"]], [end], "D", color=INK, markersize=4)
    clean(axes, grid="x")
    axes.tick_params(axis="y", length=0)


def _wrapped(label: str) -> str:
    return "\n".join(textwrap.wrap(label.replace("->", "→"), _LABEL_CHARACTERS)) or "?"
