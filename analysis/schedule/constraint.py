"""How far features moved inside their balls: is the constraint active, or idle?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.schedule.means import ALL, SHARE, estimates, mean_by_target
from analysis.schedule.rows import Floats, Integers, StageRows

NUM_BINS = 5
AT_BOUND = 1e-3  # a feature within this share of its radius is held by the ball


def constraint(rows: StageRows) -> pd.DataFrame:
    """A row per (layer, bin of equally many radii, domain), and one of what moved without a ball (null radii).

    Columns: layer, domain, radius_low and radius_high of the bin (absolute l1), moved_l1, moved_share (of the radius),
    at_bound (share of stages that end on the ball) with its interval over targets, num_targets, num_rows. Empty where
    no stage has features.
    """
    places = np.flatnonzero(np.bincount(rows.place[np.isfinite(rows.moved)]))
    tables = [_of_place(rows, int(place)) for place in places]
    columns = [
        "layer", "domain", "radius_low", "radius_high", "moved_l1", "moved_share", "at_bound", "at_bound_low",
        "at_bound_high", "num_targets", "num_rows",
    ]  # fmt: skip
    return pd.concat(tables)[columns].reset_index(drop=True) if tables else pd.DataFrame(columns=columns)


def _of_place(rows: StageRows, place: int) -> pd.DataFrame:
    here = np.flatnonzero((rows.place == place) & np.isfinite(rows.moved))
    radius, moved, target = rows.radius[here], rows.moved[here], rows.target[here]
    bins, edges = radius_bins(radius)  # the last bin: no ball
    shape = (len(edges), len(rows.domains))
    share = moved / radius
    held = np.where(np.isfinite(radius), share >= 1 - AT_BOUND, np.nan)
    found = estimates(mean_by_target(moved, cell=bins, target=target, shape=shape), rows.domains, name="moved_l1")
    table = found[["cell", "domain", "moved_l1", "num_targets"]]
    for name, values, interval in (("moved_share", share, False), ("at_bound", held, True)):
        means = mean_by_target(values, cell=bins, target=target, shape=shape)
        part = estimates(means, rows.domains, name=name, interval=interval, within=SHARE)
        table = table.merge(part.drop(columns="num_targets", errors="ignore"), on=["cell", "domain"], how="left")
    cells = table["cell"].to_numpy(dtype=np.intp)
    counts = np.bincount(bins * shape[1] + target, minlength=shape[0] * shape[1]).reshape(shape)
    of = {domain: rows.domains == domain for domain in np.unique(rows.domains)} | {ALL: np.ones(shape[1], dtype=bool)}
    return table.assign(
        layer=rows.places[place].layer,
        radius_low=edges[cells, 0],
        radius_high=edges[cells, 1],
        num_rows=[int(counts[cell, of[domain]].sum()) for cell, domain in zip(cells, table["domain"], strict=True)],
    )


def radius_bins(radius: Floats) -> tuple[Integers, npt.NDArray[np.float64]]:
    """(bin of every row, least and greatest radius of every bin): up to five of about equally many rows.

    Rows without a ball have a bin of their own, the last, of NaN; few different radii have a bin each.
    """
    ball = np.isfinite(radius)
    inner = np.unique(np.quantile(radius[ball], np.linspace(0, 1, NUM_BINS + 1)[1:-1])) if ball.any() else np.zeros(0)
    bins = np.searchsorted(inner, radius, side="left").astype(np.int32)
    _, bins[ball] = np.unique(bins[ball], return_inverse=True)  # without gaps
    num_bins = int(bins[ball].max(initial=-1)) + 1
    bins[~ball] = num_bins
    edges = np.full((num_bins + 1, 2), np.nan)
    for each in range(num_bins):
        inside = radius[bins == each]
        edges[each] = inside.min(), inside.max()
    return bins, edges
