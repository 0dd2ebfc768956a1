"""The figure of several studies: differences on shared test images, gain and regret of settings carried elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.elsewhere.across_studies import TESTED
from analysis.figures import BLUE, COLUMN_IN, GREY, PAGE_IN, VERMILION, clean, panel_letter

_SERIES = {"difference": (BLUE, "o"), "gain": (BLUE, "o"), "regret": (VERMILION, "s")}
_LABELS = {"gain": "gain over published recipe", "regret": "regret against its own best"}
_SHIFT = 0.12


def studies_figure(table: pd.DataFrame, unit: str) -> Figure:
    """A panel per comparison in `compare_studies`' table; points with 95 % intervals by domain."""
    comparisons = list(table.groupby(["kind", "settings_from", "against"], sort=False))
    columns = min(2, len(comparisons))
    rows = -(-len(comparisons) // columns)
    width = PAGE_IN if columns == 2 else COLUMN_IN
    figure = Figure(figsize=(width, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, letter, ((kind, source, against), mine) in zip(
        panels, "abcdefghijklmnopqrstuvwxyz", comparisons, strict=False
    ):
        _comparison(panel, mine, unit)
        tested = kind == TESTED
        panel_letter(panel, letter, f"{source} minus {against}, test" if tested else f"best of {source} in {against}")
    for panel in panels[len(comparisons) :]:
        panel.set_axis_off()
    return figure


def _comparison(axes: Axes, table: pd.DataFrame, unit: str) -> None:
    domains = list(dict.fromkeys(table["domain"]))
    quantities = [name for name in _SERIES if (table["quantity"] == name).any()]
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(len(domains) - 1.5, color=GREY, linewidth=0.5, linestyle=":")
    for order, quantity in enumerate(quantities):
        color, marker = _SERIES[quantity]
        rows = table[table["quantity"] == quantity].set_index("domain").loc[domains]
        places = np.arange(len(domains)) + _SHIFT * (2 * order - len(quantities) + 1)
        axes.vlines(places, rows["low"], rows["high"], color=color, linewidth=1.4)
        axes.plot(places, rows["mean"], marker, color=color, markersize=4, label=_LABELS.get(quantity))
    counts = table.drop_duplicates("domain")["num_targets"]
    axes.set_xticks(range(len(domains)), [f"{name}\nn = {num}" for name, num in zip(domains, counts, strict=True)])
    axes.set_ylabel(f"{'difference' if quantities == ['difference'] else 'gain, regret'} ({unit})")
    clean(axes, grid="y")
    axes.tick_params(axis="x", length=0)
    axes.margins(x=0.08, y=0.12)
    if len(quantities) > 1:
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), handletextpad=0.2)
