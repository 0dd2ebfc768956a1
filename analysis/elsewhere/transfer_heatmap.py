"""A matrix between domains, drawn: a value a cell, a circle where it cannot be told from zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from analysis.figures import BLUE, GREY, INK, SMALL_PT, VERMILION
from analysis.stats import rounded

UNKNOWN = {"gain": "95 % interval includes 0, or is not known", "regret": "not told from 0 (Holm), or not known"}
_COLORS = {"gain": [VERMILION, "#FFFFFF", BLUE], "regret": [BLUE, "#FFFFFF", VERMILION]}  # red is bad
_NAMES = {"gain": "gain over published recipe", "regret": "regret"}


def heatmap(figure: Figure, axes: Axes, table: pd.DataFrame, quantity: str, unit: str) -> None:
    """`quantity` (gain or regret) of a transfer table: rows tuned on, columns valued on."""
    domains = sorted(table["valued_on"].unique())
    cells = table.set_index(["tuned_on", "valued_on"])
    matrix = cells[quantity].unstack().reindex(index=domains, columns=domains).to_numpy(dtype=np.float64, copy=True)
    if quantity == "regret":
        np.fill_diagonal(matrix, np.nan)
    span = max(0.1, float(np.max(np.abs(matrix[np.isfinite(matrix)]), initial=0.0)))
    colors = LinearSegmentedColormap.from_list(quantity, _COLORS[quantity])
    image = axes.imshow(matrix, cmap=colors, vmin=-span, vmax=span)
    for a, b in np.ndindex(matrix.shape):
        value = float(matrix[a, b])
        if np.isnan(value):
            own = quantity == "regret" and a == b
            axes.text(b, a, "0" if own else "?", ha="center", va="center", color=GREY)
            continue
        ink = "white" if abs(value) > 0.75 * span else INK
        told = _told(cells.loc[(domains[a], domains[b])], quantity)
        text = rounded(value, 1 if unit == "dB" else 3)
        axes.text(b, a, text, ha="center", va="center", color=ink, weight="bold" if told else "normal")
        if not told:
            axes.plot(b + 0.36, a - 0.34, "o", ms=3.2, mfc="none", mec=ink, mew=0.7)
    _frame(figure, axes, image, domains, f"{_NAMES[quantity]} ({unit})")
    axes.text(
        0.5, -0.27, f"○  {UNKNOWN[quantity]}", transform=axes.transAxes, ha="center", va="top", fontsize=SMALL_PT,
        color=INK,
    )  # fmt: skip


def _told(cell: pd.Series[float], quantity: str) -> bool:
    if quantity == "regret":
        return bool(cell["p_holm"] <= 0.05)
    return bool(cell["gain_low"] > 0 or cell["gain_high"] < 0)


def _frame(figure: Figure, axes: Axes, image: AxesImage, domains: list[str], label: str) -> None:
    places = range(len(domains))
    axes.set_xticks(places, domains)
    axes.set_yticks(places, domains, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("valued on")
    axes.set_ylabel("tuned on")
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=22, pad=0.03)
    bar.set_label(label)
    bar.outline.set_visible(False)
