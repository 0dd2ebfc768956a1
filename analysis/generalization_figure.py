"""The generalization figure: improvement by domain beside the transfer matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from analysis.figures import BLUE, GREY, INK, ORANGE, PAGE_IN, SMALL_PT, VERMILION, clean, panel_letter
from analysis.stats import rounded
from analysis.transfer import Transfer

_CHOICES = {
    "oracle": (BLUE, "o", "chosen with private images"),
    "observable": (ORANGE, "s", "chosen by matching loss"),
}
_OFFSET = 0.13


def generalization_figure(table: pd.DataFrame, transfer: Transfer | None, unit: str) -> Figure:
    """Panel a: `improvement_by_domain` with intervals; panel b: regret heatmap, circle where an interval includes 0."""
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
        _heatmap(figure, right, transfer, unit)
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


def _heatmap(figure: Figure, axes: Axes, transfer: Transfer, unit: str) -> None:
    off = ~np.eye(len(transfer.domains), dtype=bool)
    span = max(0.1, float(np.nanmax(np.abs(transfer.regret[off]))))
    colors = LinearSegmentedColormap.from_list("regret", [BLUE, "#FFFFFF", VERMILION])
    image = axes.imshow(np.where(off, transfer.regret, np.nan), cmap=colors, vmin=-span, vmax=span)
    for a, b in np.ndindex(transfer.regret.shape):
        if a == b:
            axes.text(b, a, "0", ha="center", va="center", color=GREY)
            continue
        value = float(transfer.regret[a, b])
        ink = "white" if abs(value) > 0.75 * span else INK
        excludes_zero = transfer.low[a, b] > 0 or transfer.high[a, b] < 0
        weight = "bold" if excludes_zero else "normal"
        axes.text(b, a, rounded(value, 1), ha="center", va="center", color=ink, weight=weight)
        if not excludes_zero:
            axes.plot(b + 0.36, a - 0.34, "o", ms=3.2, mfc="none", mec=ink, mew=0.7)
    places = range(len(transfer.domains))
    axes.set_xticks(places, transfer.domains)
    axes.set_yticks(places, transfer.domains, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("valued on")
    axes.set_ylabel("tuned on")
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=22, pad=0.03)
    bar.set_label(f"regret ({unit})")
    bar.outline.set_visible(False)
    axes.text(
        0.5, -0.27, "○  95 % interval includes 0, or is not known", transform=axes.transAxes, ha="center", va="top",
        fontsize=SMALL_PT, color=INK,
    )  # fmt: skip
