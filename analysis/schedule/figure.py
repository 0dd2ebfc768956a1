"""The figure of stages: what layers add, where the best one lies, loss against score, balls, and prefixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from analysis.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PAGE_IN,
    PURPLE,
    SKY,
    SMALL_PT,
    VERMILION,
    YELLOW,
    clean,
    panel_letter,
)
from analysis.metric import Metric
from analysis.schedule.means import ALL
from analysis.schedule.rows import place_name
from analysis.schedule.tables import WHOLE

SERIES = {  # (phase, settings): color, marker, label
    ("test", "published"): (BLUE, "o", "published, test"),
    ("test", "oracle"): (VERMILION, "s", "tuned, test"),
    ("search", "all"): (GREY, "^", "all configs, search"),
    ("search", "published"): (SKY, "o", "published, search"),  # where there is no test
}
_DOMAIN_COLORS = (ORANGE, PURPLE, GREEN, SKY, YELLOW)
_LOOKS = ("o-", "s--", "^:", "D-.")  # a layer each
_OFFSET = 0.14


def stages_figure(tables: Mapping[str, pd.DataFrame], metric: Metric, places: Sequence[str]) -> Figure:
    """Up to five panels, those that have anything to show; `places` orders their axes."""
    score = metric.column.split("_")[0].upper()
    unit = f" ({metric.unit})" if metric.unit != score else ""
    names = f"{score}{{}}{unit}"
    series = shown_series(tables["contribution"])
    panels = [
        ("gain of a stage", _gains, tables["contribution"].dropna(subset=["gain"])),
        ("where the best stage lies", _best, _of_places(tables["best"])),
        ("loss against score", _trajectories, _of_places(tables["loss_psnr"])),
        ("stopping early", _prefix, _of_places(tables["prefix"])),
        ("held by the feature ball", _held, _balls(tables["constraint"])),
    ]
    panels = [panel for panel in panels if not panel[2].empty]
    columns = min(3, len(panels) + 1)
    num_rows = -(-(len(panels) + 1) // columns)
    figure = Figure(figsize=(PAGE_IN, 2.35 * num_rows), layout="constrained")
    axes = list(np.asarray(figure.subplots(num_rows, columns, squeeze=False)).flat)
    for letter, place, (title, draw, table) in zip("abcde", axes, panels, strict=False):
        draw(place, table, series, list(places), names)
        panel_letter(place, letter, title)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    _legend(axes[len(panels)], series, tables["contribution"])
    return figure


def shown_series(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The finalists on test targets and all configs of the search; before the test the published recipe there."""
    there = set(zip(table["phase"], table["settings"], strict=True))
    tested = any(phase == "test" for phase, _ in there)
    return [each for each in SERIES if each in there and not (tested and each == ("search", "published"))]


def _legend(axes: Axes, series: Sequence[tuple[str, str]], table: pd.DataFrame) -> None:
    handles = [
        Line2D([], [], color=SERIES[each][0], marker=SERIES[each][1], ms=4, label=SERIES[each][2]) for each in series
    ]
    handles += [
        Line2D([], [], color=color, lw=2, label=domain) for domain, color in _domain_colors(table["domain"]).items()
    ]
    axes.legend(handles=handles, loc="center left", frameon=False, handletextpad=0.5)


def _domain_colors(domains: pd.Series) -> dict[str, str]:
    names = sorted(set(domains) - {ALL})
    return {name: _DOMAIN_COLORS[index % len(_DOMAIN_COLORS)] for index, name in enumerate(names)}


def _of_places(table: pd.DataFrame) -> pd.DataFrame:
    return table if table.empty else table[table["kind"] != WHOLE]


def _balls(table: pd.DataFrame) -> pd.DataFrame:
    return table if table.empty else table.dropna(subset=["at_bound"])


def _own(table: pd.DataFrame, each: tuple[str, str], domain: str = ALL) -> pd.DataFrame:
    return table[(table["phase"] == each[0]) & (table["settings"] == each[1]) & (table["domain"] == domain)]


def _short(name: str) -> str:
    return name.removeprefix("layer ")


def _place_axis(axes: Axes, places: Sequence[str], table: pd.DataFrame, label: str) -> list[str]:
    present = {place_name(row) for _, row in table.iterrows()}
    own = [place for place in places if place in present]
    axes.set_xticks(range(len(own)), [_short(place) for place in own])
    axes.set_xlim(-0.5, len(own) - 0.5)
    axes.set_xlabel(label)
    return own


def _points(
    axes: Axes, table: pd.DataFrame, series: Sequence[tuple[str, str]], places: Sequence[str], name: str
) -> None:
    """A point and an interval for each place, series beside one another."""
    axes.axhline(0, color=GREY, linewidth=0.8)
    drawn = [each for each in series if not _own(table, each).empty]
    for order, each in enumerate(drawn):
        color, marker, _ = SERIES[each]
        rows = _own(table, each)
        at = np.array([places.index(place_name(row)) for _, row in rows.iterrows()], dtype=np.float64)
        at += _OFFSET * (2 * order - len(drawn) + 1)
        axes.vlines(at, rows[f"{name}_low"], rows[f"{name}_high"], color=color, linewidth=1.3)
        axes.plot(at, rows[name], marker, color=color, markersize=4)
    clean(axes, grid="y")


def _gains(axes: Axes, table: pd.DataFrame, series: Sequence[tuple[str, str]], places: list[str], score: str) -> None:
    own = _place_axis(axes, places, table, "layer searched")
    _points(axes, table, series, own, "gain")
    axes.set_ylabel(score.format(" over the stage before"))


def _prefix(axes: Axes, table: pd.DataFrame, series: Sequence[tuple[str, str]], places: list[str], score: str) -> None:
    own = _place_axis(axes, places, table, "last layer searched")
    _points(axes, table, series, own, "difference")
    axes.set_ylabel(score.format(" against the whole"))


def _best(axes: Axes, table: pd.DataFrame, series: Sequence[tuple[str, str]], places: list[str], score: str) -> None:
    """Shares of places by domain, of the published recipe: it searches every layer."""
    each = _leading(series)
    rows = table[(table["phase"] == each[0]) & (table["settings"] == each[1])]
    rows = rows.assign(place=[place_name(row) for _, row in rows.iterrows()])
    domains = [*sorted(set(rows["domain"]) - {ALL}), *([ALL] if rows["domain"].nunique() > 2 else [])]
    own = [place for place in places if place in set(rows["place"])]
    shades = np.linspace(0.9, 0.4, len(own))
    for shift, name, hatch in ((-0.2, "best_share", None), (0.2, "kept_share", "////")):
        floor, at = np.zeros(len(domains)), np.arange(len(domains)) + shift
        for place, shade in zip(own, shades, strict=True):
            heights = rows[rows["place"] == place].set_index("domain")[name].reindex(domains).fillna(0).to_numpy()
            axes.bar(at, heights, 0.36, bottom=floor, color=str(shade), edgecolor="white", linewidth=0.5, hatch=hatch)
            for x, low, height in zip(at, floor, heights, strict=True):
                if height > 0.1:
                    box = {"boxstyle": "round,pad=0.15", "color": "white", "linewidth": 0}
                    text = _short(place)
                    axes.text(x, low + height / 2, text, ha="center", va="center", fontsize=6, color=INK, bbox=box)
            floor += heights
    axes.set_xticks(range(len(domains)), domains)
    axes.tick_params(axis="x", length=0, labelsize=SMALL_PT - 0.5)
    axes.set_ylabel("share of targets, by layer")
    axes.set_xlabel(f"{SERIES[each][2]}; hatched: kept by loss", fontsize=SMALL_PT)
    clean(axes)


def _leading(series: Sequence[tuple[str, str]]) -> tuple[str, str]:
    return next((each for each in series if each == ("test", "published")), series[0])


def _trajectories(
    axes: Axes, table: pd.DataFrame, series: Sequence[tuple[str, str]], places: list[str], score: str
) -> None:
    """From stage to stage: published recipe thin, tuned bold; a line a domain."""
    colors = _domain_colors(table["domain"])
    for each in series:
        if each == ("search", "all") and len(series) > 1:
            continue
        bold = each == ("test", "oracle")
        look: dict[str, Any] = {"marker": SERIES[each][1], "markersize": 3.5, "linewidth": 1.6 if bold else 0.8}
        for domain, color in colors.items():
            rows = _own(table, each, domain)
            fill = color if bold else "white"
            axes.plot(rows["matching_loss"], rows["score"], color=color, markerfacecolor=fill, **look)
    _log_axis(axes, table["matching_loss"])
    axes.invert_xaxis()
    axes.set_xlabel("matching loss (falls to the right)")
    axes.set_ylabel(score.format(""))
    clean(axes, grid="y")


def _held(axes: Axes, table: pd.DataFrame, series: Sequence[tuple[str, str]], places: list[str], score: str) -> None:
    """Share of stages that end on the ball against its radius, a line a layer, of the search if it has any."""
    of_search = table[(table["phase"] == "search") & (table["settings"] == "all") & (table["domain"] == ALL)]
    rows = of_search if not of_search.empty else table[table["domain"] == ALL]
    layers = sorted(set(rows["layer"]))
    few = len(layers) <= len(_LOOKS)  # more are told by a number where their line begins
    for layer, look in zip(layers, _LOOKS * len(rows), strict=False):
        part = rows[rows["layer"] == layer].astype({"at_bound_low": float, "at_bound_high": float})
        center = np.sqrt(part["radius_low"].to_numpy(float) * part["radius_high"].to_numpy(float))
        axes.plot(center, part["at_bound"], look, color=INK, markersize=3.5, linewidth=0.9, label=f"layer {layer}")
        axes.vlines(center, part["at_bound_low"], part["at_bound_high"], color=GREY, linewidth=0.8, zorder=1)
        if not few:
            axes.annotate(
                f"{layer}", (center[0], part["at_bound"].iloc[0]), (0, 4), textcoords="offset points", fontsize=6,
                ha="center",
            )  # fmt: skip
    _log_axis(axes, rows["radius_high"])
    axes.set_ylim(-0.03, 1.1)
    axes.set_xlabel("l1 radius")
    axes.set_ylabel("share that ends on the ball")
    if few:
        axes.legend(frameon=False, loc="best")
    clean(axes, grid="y")


def _log_axis(axes: Axes, values: pd.Series[float]) -> None:
    """A logarithmic horizontal axis whose numbers do not run into one another."""
    span = np.log10(values.max() / values.min())
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 1.3 else (1, 3) if span < 2.2 else (1,)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def caption(tables: Mapping[str, pd.DataFrame], metric: Metric) -> str:
    """What the figure shows, of how many, with which interval."""
    best = tables["best"]
    counts = best[best["domain"] == ALL].groupby("phase")["num_targets"].max()
    said = " and ".join(f"{count} {'test' if phase == 'test' else 'tuning'} targets" for phase, count in counts.items())
    return (
        f"Stages of the attack, on {said}. Points are means over targets (configs averaged first, domains counting "
        "alike), bars 95 % t intervals over targets, each on its own (Wilson's for shares of yes or no). "
        f"Gain: {metric.column.split('_')[0].upper()} against the stage before, on the same target. "
        "Best: the stage of the most leakage; hatched: the stage of least matching loss, which an attacker keeps. "
        "Loss against score: geometric mean of the matching loss at the end of each stage; hollow: published recipe, "
        "filled: tuned. Stopping early: the image kept from the stages up to a layer, against the whole schedule; it "
        "also spends less (`share_of_evaluations`). Held: share of stages whose features end within 0.1 % of their l1 "
        "radius, by bins of equally many rows. Test targets are fresh; what is of the search explains it only."
    )
