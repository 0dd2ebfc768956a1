"""How figures look: palette, sizes, fonts; and how they are kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
INK, GREY, PALE = "#222222", "#8A8A8A", "#E4E4E4"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW)

COLUMN_IN, PAGE_IN = 3.4, 7.0  # widths of one and of two columns of a paper, inches
DPI = 200
TEXT_PT, SMALL_PT = 8.0, 7.0

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": TEXT_PT,
    "axes.titlesize": TEXT_PT,
    "axes.labelsize": TEXT_PT,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "legend.fontsize": SMALL_PT,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,
}


def style() -> AbstractContextManager[None]:
    """A context in which figures are drawn and saved; it leaves no global state behind."""
    return matplotlib.rc_context(_STYLE)


def clean(axes: Axes, *, grid: str | None = None) -> None:
    """Leave only the left and bottom line of `axes`, with pale grid lines along `grid` ("x", "y" or None)."""
    axes.spines[["top", "right"]].set_visible(False)
    if grid is not None:
        axes.grid(axis=grid, color=PALE, linewidth=0.6)  # type: ignore[arg-type]
        axes.set_axisbelow(True)


def panel_letter(axes: Axes, letter: str, title: str) -> None:
    """Title `axes` as a paper's panel: bold letter, then what is shown, flush left."""
    axes.set_title(rf"$\bf{{{letter}}}$  {title}", loc="left", pad=6)


def save(figure: Figure, path: Path) -> Sequence[Path]:
    """Write `figure` as `path`.png (200 dpi) and `path`.pdf, folder included; returns both paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_suffix(".png"), path.with_suffix(".pdf")]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it is laid out: not once more for every file
    for file in written:
        figure.savefig(file, dpi=DPI, bbox_inches="tight", pad_inches=0.05, facecolor="white")
    return written


def publish(
    figure: Figure,
    path: Path,
    *,
    caption: str,
    tables: Mapping[str, pd.DataFrame],
    drawn_by: Callable[..., Figure],
) -> Path:
    """Keep a figure with all that a paper needs of it; returns the path of its caption, `path`.md.

    Written beside one another: `path`.png and .pdf, each of `tables` as CSV (by the name of its file, without ending),
    and the caption: what is shown, of how many, with which interval; then the tables and the function that drew it.
    """
    save(figure, path)
    for name, table in tables.items():
        table.to_csv(path.parent / f"{name}.csv", index=False)
    listed = ", ".join(f"`{name}.csv`" for name in tables)
    note = f"{caption.strip()}\n\nNumbers: {listed}. Drawn by `{drawn_by.__module__}.{drawn_by.__qualname__}`.\n"
    written = path.with_suffix(".md")
    partial = path.with_name(f".{written.name}.partial")
    partial.write_text(note)
    os.replace(partial, written)
    return written
