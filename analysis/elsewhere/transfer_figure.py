"""The transfer figure: gain and regret between domains, on tuning images (crossed) and on test images."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.elsewhere.transfer_heatmap import heatmap
from analysis.figures import PAGE_IN, panel_letter

_ROW_IN = 2.9


def transfer_figure(searched: pd.DataFrame | None, tested: pd.DataFrame, unit: str) -> Figure:
    """A row of gain and regret for the tables (`adjusted`) of each phase that has one; one at least has."""
    phases = [(searched, "tuning images, crossed"), (tested, "test images")]
    rows = [(table, where) for table, where in phases if table is not None and not table.empty]
    figure = Figure(figsize=(PAGE_IN, _ROW_IN * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 2, squeeze=False)
    letters = iter("abcd")
    for axes, (table, where) in zip(panels, rows, strict=True):
        for panel, quantity in zip(axes, ("gain", "regret"), strict=True):
            heatmap(figure, panel, table, quantity, unit)
            panel_letter(panel, next(letters), f"{quantity}, {where}")
    return figure
