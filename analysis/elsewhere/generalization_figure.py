"""The generalization figure: improvement by domain beside the transfer matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.elsewhere.transfer_heatmap import heatmap
from analysis.figures import BLUE, GREY, ORANGE, PAGE_IN, clean, panel_letter

_CHOICES = {
    "oracle": (BLUE, "o", "chosen with private images"),
    "observable": (ORANGE, "s", "chosen by matching loss"),
}
_OFFSET = 0.13


def generalization_figure(table: pd.DataFrame, transfer: pd.DataFrame | None, unit: str) -> Figure:
    """Panel a: `improvement_by_domain` with intervals; panel b: the regret of the search's transfer table."""
    figure = Figure(figsize=(PAGE_IN, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    if table.empty:
        _say(left, "no test phase yet")
    else:
        _improvement(left, table, unit)
    panel_letter(left, "a", "improvement on test images")
    if transfer is None:
        _say(right, "no transfer: needs two domains\nwith two tuning targets each")
    else:
        heatmap(figure, right, transfer, "regret", unit)
    panel_letter(right, "b", "regret of settings tuned elsewhere")
    return figure


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
    axes.set_axis_off()


def _improvement(axes: Axes, table: pd.DataFrame, unit: str) -> None:
    domains = [*sorted(set(table["domain"]) - {"all"}), "all"]
    choices = [choice for choice in _CHOICES if (table["choice"] == choice).any()]
    axes.axhline(0, color=GREY, linewidth=0.8)
    for order, choice in enumerate(choices):
        color, marker, label = _CHOICES[choice]
        rows = table[table["choice"] == choice]
        places = np.array([domains.index(domain) for domain in rows["domain"]], dtype=np.float64)
        places += _OFFSET * (2 * order - len(choices) + 1)
        axes.vlines(places, rows["low"], rows["high"], color=color, linewidth=1.4)
        label = f"{label} (trial {rows['trial'].iloc[0]})"
        axes.plot(places, rows["mean"], marker, color=color, markersize=4.5, label=label)
    axes.axvline(len(domains) - 1.5, color=GREY, linewidth=0.5, linestyle=":")
    targets = table.drop_duplicates("domain").set_index("domain")["num_targets"]
    axes.set_xticks(range(len(domains)), [f"{domain}\nn = {targets[domain]}" for domain in domains])
    axes.set_xlim(-0.5, len(domains) - 0.5)
    axes.set_ylabel(f"improvement over\npublished recipe ({unit}), 95 % interval")
    axes.margins(y=0.12)
    clean(axes, grid="y")
    axes.tick_params(axis="x", length=0)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1, handletextpad=0.2)
