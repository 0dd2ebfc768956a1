"""The picture sheet: private image, published recipe, tuned. `python -m analysis.pictures RESULTS`.

Which targets are shown is a rule, not a taste: of each domain the target with the median improvement on the test
images, and the next better one.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from analysis.command import run_command
from analysis.figures import GREY, INK, PAGE_IN, SMALL_PT, publish, style
from analysis.generalization import tested_improvement
from analysis.load import Results
from analysis.stats import rounded, target_means

PER_DOMAIN = 2
_RULE = "of each domain the test image whose improvement is the median, and the next better one"
_LABEL_IN, _GAP_IN, _MAX_SIDE_IN = 0.62, 0.04, 1.2
Picture = npt.NDArray[np.float32]


def median_targets(improvement: pd.DataFrame, *, num: int = PER_DOMAIN) -> pd.DataFrame:
    """`num` targets per domain (domain, target_id): the lower median by `improvement` and the next better ones."""
    chosen = []
    for _, part in improvement.sort_values(["domain", "improvement", "target_id"]).groupby("domain"):
        middle = (len(part) - 1) // 2
        chosen.append(part.iloc[middle : middle + num])
    return pd.concat(chosen)[["domain", "target_id"]].reset_index(drop=True)


@dataclass(frozen=True)
class SheetRow:
    """A row of the sheet: its label, PNGs by target, and scores by target (None: the private images themselves)."""

    label: str
    pngs: Mapping[str, bytes]
    scores: Mapping[str, float] | None


def write_pictures(results: Results) -> str:
    """The caption of the sheet, after writing RESULTS/analysis/pictures (.png, .pdf, .md, .csv); it names absent rows.

    Raises ValueError before the test phase, or if no image was kept.
    """
    if results.finalists is None or "oracle" not in results.finalists:
        raise ValueError(
            "a picture sheet shows the oracle's choice on test images, "
            f"{results.path}/finalists.json names none; continue the study to its end"
        )
    published, tuned = results.finalists.get("published", 0), results.finalists["oracle"]
    improvement = tested_improvement(results)
    mine = improvement[improvement["trial"] == tuned]
    images = results.images(["trial", "target_id", "png"], "test").drop_duplicates(["trial", "target_id"])
    kept = set(images.loc[images["trial"] == tuned, "target_id"])
    if mine.empty or not kept:
        raise ValueError(
            f"a picture sheet needs kept images and scores of trial {tuned} on test images, {results.path} holds "
            f"{len(kept)} images and {len(mine)} scores; run the test phase again"
        )
    columns = median_targets(mine)
    rows, notes = _rows(results, columns, images, {"published\nrecipe": published, "tuned": tuned})
    caption = _caption(results, num_shown=len(columns), num_targets=mine["target_id"].nunique(), notes=notes)
    with style():
        publish(
            pictures_figure(rows, columns, results.metric.unit),
            results.path / "analysis" / "pictures",
            caption=caption,
            tables={"pictures": _shown(rows, columns)},
            drawn_by=pictures_figure,
        )
    return caption


def _caption(results: Results, *, num_shown: int, num_targets: int, notes: Sequence[str]) -> str:
    score, unit = results.metric.column.split("_")[0].upper(), results.metric.unit
    under = f"{score} ({unit})" if unit != score else score
    said = (
        f"{num_shown} of {num_targets} test images, by a rule: {_RULE} (tuned against published, in {score}). Under "
        f"each reconstruction its {under}; single images, so no interval: the generalization figure has those."
    )
    return " ".join([said, *notes])


def _rows(
    results: Results, columns: pd.DataFrame, images: pd.DataFrame, trials: Mapping[str, int]
) -> tuple[list[SheetRow], list[str]]:
    """The rows that there are, and a note for each that is not."""
    rows, notes = [], []
    private = dict(results.targets().drop_duplicates("target_id").set_index("target_id")["png"])
    if any(isinstance(private.get(target), bytes) for target in columns["target_id"]):
        rows.append(SheetRow("private image", private, None))
    else:
        notes.append("The private images were not kept, so their row is left out.")
    for label, trial in trials.items():
        if label == "tuned" and trial in list(trials.values())[:-1]:
            notes.append("The search chose the published recipe itself, so there is no tuned row.")
            continue
        pngs = dict(images[images["trial"] == trial].set_index("target_id")["png"])
        rows.append(SheetRow(label, pngs, _scores(results, trial)))
    return rows, notes


def _shown(rows: Sequence[SheetRow], columns: pd.DataFrame) -> pd.DataFrame:
    """The numbers under the pictures: row, domain, target_id and score, null where the attack diverged."""
    scored = [row for row in rows if row.scores is not None]
    return pd.concat(
        columns.assign(row=row.label.replace("\n", " "), score=columns["target_id"].map(dict(row.scores or {})))
        for row in scored
    )[["row", "domain", "target_id", "score"]]


def _scores(results: Results, trial: int) -> dict[str, float]:
    column = results.metric.column
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", column], "test")
    return dict(target_means(rows[rows["trial"] == trial], column).set_index("target_id")[column])


def pictures_figure(rows: Sequence[SheetRow], columns: pd.DataFrame, unit: str) -> Figure:
    """The sheet: a column for each of `columns` (domain, target_id), a row for each of `rows`."""
    side = min(_MAX_SIDE_IN, (PAGE_IN - _LABEL_IN) / len(columns))
    width, height = _LABEL_IN + side * len(columns), len(rows) * (side + 0.17) + 0.2
    figure = Figure(figsize=(width, height))
    top = height
    for place, target in enumerate(columns.itertuples()):
        left = _LABEL_IN + place * side
        top = height - 0.2
        for row in rows:
            scores = row.scores
            axes = figure.add_axes(
                (left / width, (top - side) / height, (side - _GAP_IN) / width, (side - _GAP_IN) / height)
            )
            _picture(axes, row.pngs.get(str(target.target_id)))
            score = None if scores is None else scores.get(str(target.target_id))
            if scores is not None:
                text = (
                    "diverged" if score is None else f"{rounded(score, 1)} {unit}" if unit == "dB" else f"{score:.2f}"
                )
                axes.text(
                    0.5, -0.03, text, transform=axes.transAxes, ha="center", va="top", fontsize=SMALL_PT, color=INK
                )
            if place == 0:
                axes.text(-0.08, 0.5, row.label, transform=axes.transAxes, ha="right", va="center")
            top -= side + (0.03 if scores is None else 0.17)
        if place == 0 or columns["domain"][place - 1] != target.domain:
            span = side * int((columns["domain"] == target.domain).sum())
            center = (left + span / 2 - _GAP_IN / 2) / width
            figure.text(center, (height - 0.14) / height, str(target.domain), ha="center", va="center", weight="bold")
    lines = ("columns: of each domain the median", "test image by improvement,", "and the next better one")
    caption = (" " if width > 5 else "\n").join(lines)
    figure.text(_LABEL_IN / width, (top - 0.02) / height, caption, ha="left", va="top", fontsize=SMALL_PT, color=GREY)
    return figure


def _picture(axes: Axes, png: bytes | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if isinstance(png, bytes):
        picture: Picture = np.asarray(imread(io.BytesIO(png), format="png"))
        axes.imshow(picture, interpolation="nearest", cmap="gray", vmin=0, vmax=1)
    else:
        axes.text(
            0.5, 0.5, "not kept", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=SMALL_PT
        )


def _lines(results: Results) -> list[str]:
    return [write_pictures(results), f"figure: {results.path / 'analysis' / 'pictures.png'}"]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.pictures RESULTS`."""
    return run_command(argv, name="pictures", description="The picture sheet of a study.", action=_lines)


if __name__ == "__main__":
    sys.exit(main())
