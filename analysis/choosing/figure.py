"""The figure of choices without the private image."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.choosing.agreement import BETWEEN, WITHIN
from analysis.choosing.criteria import OBSERVABLE, ORACLE, PUBLISHED, SHADOW
from analysis.choosing.measured import Measured
from analysis.figures import BLUE, GREEN, GREY, INK, ORANGE, PAGE_IN, PALE, VERMILION, clean, panel_letter

COLORS = {ORACLE: BLUE, OBSERVABLE: VERMILION, SHADOW: GREEN, PUBLISHED: GREY}
_MARKERS = {ORACLE: "o", OBSERVABLE: "s", SHADOW: "^", PUBLISHED: "D"}
_AGREEMENT = {WITHIN: (BLUE, "o"), BETWEEN: (ORANGE, "s")}


def selection_figure(
    found: Measured | None, agreement: pd.DataFrame, criteria: pd.DataFrame, overfit: pd.DataFrame, *, unit: str
) -> Figure:
    """Four panels: configs by loss and leakage; their rank correlation; what criteria give up; overfit of choices."""
    figure = Figure(figsize=(PAGE_IN, 5.0), layout="constrained")
    (scatter, ranks), (regrets, flattered) = figure.subplots(2, 2)
    _configs(scatter, found, unit)
    panel_letter(scatter, "a", "configs, as seen and as leaked")
    _by_domain(ranks, agreement, "kind", "rank_correlation", _AGREEMENT)
    ranks.set_ylabel("rank correlation")
    panel_letter(ranks, "b", "does less loss mean more leakage")
    shown = criteria[criteria["criterion"] != ORACLE]
    looks = {name: (color, _MARKERS[name]) for name, color in COLORS.items() if name != ORACLE}
    _by_domain(regrets, shown, "criterion", "regret", looks)
    regrets.set_ylabel(f"regret against oracle ({unit})")
    panel_letter(regrets, "c", "what a criterion gives up")
    _by_domain(
        flattered, overfit[overfit["against"] == "test"] if len(overfit) else overfit, "criterion", "overfit",
        {name: (COLORS[name], _MARKERS[name]) for name in (ORACLE, OBSERVABLE)},
    )  # fmt: skip
    flattered.set_ylabel(f"gain on tuning minus test ({unit})")
    panel_letter(flattered, "d", "how a choice flatters itself")
    return figure


def _configs(axes: Axes, found: Measured | None, unit: str) -> None:
    if found is None:
        _nothing(axes)
        return
    for name, color in zip(found.names, (BLUE, VERMILION, GREEN, ORANGE, INK, GREY), strict=False):
        mine = found.domains == name
        seen, leaked = found.seen[:, mine].mean(axis=1), found.leaked[:, mine].mean(axis=1)
        axes.plot(seen, leaked, ".", color=color, markersize=3, alpha=0.6, label=name, rasterized=len(seen) > 500)
    axes.axhline(0, color=PALE, linewidth=0.8, zorder=0)
    axes.axvline(0, color=PALE, linewidth=0.8, zorder=0)
    axes.set_xlabel("fall of the matching loss (log) against published")
    axes.set_ylabel(f"gain over published ({unit})")
    axes.legend(frameon=False, handletextpad=0.1, markerscale=2)
    clean(axes)


def _by_domain(
    axes: Axes, table: pd.DataFrame, by: str, value: str, looks: dict[str, tuple[str, str]]
) -> None:  # fmt: skip
    """Points with intervals, a group a domain, a color a value of column `by`."""
    if table.empty:
        _nothing(axes)
        return
    domains = list(dict.fromkeys(table["domain"]))
    present = [name for name in looks if name in set(table[by])]
    axes.axhline(0, color=GREY, linewidth=0.8)
    for order, name in enumerate(present):
        rows = table[table[by] == name].set_index("domain").reindex(domains)
        places = np.arange(len(domains)) + 0.22 * (order - (len(present) - 1) / 2)
        color, marker = looks[name]
        axes.vlines(places, rows["low"], rows["high"], color=color, linewidth=1.4)
        axes.plot(places, rows[value], marker, color=color, markersize=4, label=name)
    counts = table.drop_duplicates("domain").set_index("domain")["num_targets"]
    axes.set_xticks(range(len(domains)), [f"{name}\nn = {int(counts[name])}" for name in domains])
    axes.margins(x=0.08, y=0.1)
    clean(axes, grid="y")
    axes.tick_params(axis="x", length=0)
    axes.legend(frameon=False, handletextpad=0.2, loc="best" if value != "rank_correlation" else "lower left")


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set_axis_off()
