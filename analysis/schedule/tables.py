"""What stages did, as tables: contribution, best stage, loss against score, prefixes. One row per place and domain.

Places are aligned by layer, not by their index in a schedule, since configs differ in the layers they search.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.schedule.means import AT_ONCE, CORRELATION, SHARE, Values, estimates, mean_by_target
from analysis.schedule.rows import Integers, StageRows

_LEAST_LOSS = 1e-12  # a reconstruction of the image itself; it has a logarithm
Within = tuple[float, float] | None
WHOLE = "whole"  # in place of a kind of stage: the schedule


def contribution(rows: StageRows) -> pd.DataFrame:
    """What the stage at each place adds to the one before it, target by target, in the metric's unit; more leaks more.

    Columns: kind, layer, domain, score, gain with its interval, num_targets and num_configs behind the gain. The first
    stage of a schedule adds to nothing: it has a score and no gain. With several restarts each stage is that of its
    own best-looking restart.
    """
    gain = rows.metric.direction * rows.step(rows.score)
    score = _estimates(rows, rows.score, "score", interval=False)
    return _named(rows, _beside(score, _estimates(rows, gain, "gain")), configs=np.isfinite(gain))


def best_stages(rows: StageRows) -> pd.DataFrame:
    """Where the stage of the most leakage lies, and the one kept by matching loss.

    A row per place: best_share and kept_share of targets. A row of kind `WHOLE`: agreement (share of targets where
    both are one), regret (what the kept image leaks less than the best, never under 0) and diverged (share of targets
    without any score), each with its interval.
    """
    last = np.flatnonzero(rows.last)
    kept, best, target = rows.kept[last], rows.best[last], rows.target[last]
    lost = (kept < 0) | (best < 0)

    def told(values: npt.NDArray[Any], name: str, *, within: Within = SHARE) -> pd.DataFrame:
        means = mean_by_target(values, cell=np.zeros_like(target), target=target, shape=(1, len(rows.domains)))
        return estimates(means, rows.domains, name=name, within=within)

    def shares(chosen: Integers, name: str) -> pd.DataFrame:
        own = np.flatnonzero(np.bincount(rows.place))
        lies = {place: told(np.where(lost, np.nan, rows.place[chosen] == place), name) for place in own}
        return pd.concat(table.assign(cell=place) for place, table in lies.items())

    by_place = _beside(shares(best, "best_share"), shares(kept, "kept_share"))
    gap = rows.metric.direction * (rows.at(rows.score, best) - rows.at(rows.score, kept))
    agreement = told(np.where(lost, np.nan, best == kept), "agreement")
    whole = _beside(told(lost.astype(float), "diverged"), agreement, told(gap, "regret", within=None))
    return _named(rows, pd.concat([by_place, whole.assign(cell=len(rows.places))]))


def loss_against_score(rows: StageRows) -> pd.DataFrame:
    """Matching loss beside the score along the schedule, and how often they part.

    A row per place: matching_loss (geometric mean), score, and misled: among the targets whose loss fell in the stage,
    the share whose image leaked less than before. A row of kind `WHOLE`: misled over all stages, and rank_correlation:
    Kendall's tau between a falling loss and a rising score over the stages of a target (1: they always agree, 0: the
    loss says nothing), with intervals.
    """
    gain, change = rows.metric.direction * rows.step(rows.score), rows.step(rows.loss)
    known = np.isfinite(gain) & (change < 0)
    misled = np.where(known, gain < 0, np.nan).astype(np.float32)
    log_loss = np.log(np.maximum(rows.loss, _LEAST_LOSS))
    loss = _estimates(rows, log_loss, "matching_loss", interval=False)
    loss["matching_loss"] = np.exp(loss["matching_loss"])
    score = _estimates(rows, rows.score, "score", interval=False)
    by_place = _beside(score, loss, _estimates(rows, misled, "misled", within=SHARE))
    over_all = mean_by_target(misled, cell=np.zeros_like(rows.target), target=rows.target, shape=(1, len(rows.domains)))
    tau = mean_by_target(
        rank_correlation(rows),
        cell=np.zeros(rows.num_attacks, dtype=np.int32),
        target=rows.target[rows.first],
        shape=(1, len(rows.domains)),
    )
    whole = _beside(
        estimates(over_all, rows.domains, name="misled", within=SHARE),
        estimates(tau, rows.domains, name="rank_correlation", within=CORRELATION),
    )
    return _named(rows, pd.concat([by_place, whole.assign(cell=len(rows.places))]))


def rank_correlation(rows: StageRows) -> Values:
    """[attacks]: Kendall's tau between less matching loss and more score over the stages of an attack.

    Pairs of stages of which either has no value, or both the same, say nothing; NaN where no pair says anything.
    """
    begin = np.flatnonzero(rows.first)
    cuts = np.searchsorted(begin, np.arange(0, rows.attack.size, AT_ONCE))  # of attacks: none is cut in two
    tau = np.full(begin.size, np.nan)
    for some in np.split(np.arange(begin.size), cuts[1:]):
        if some.size:
            end = begin[some[-1] + 1] if some[-1] + 1 < begin.size else rows.attack.size
            tau[some] = _rank_correlation(rows, slice(int(begin[some[0]]), int(end)), some.size)
    return tau


def _rank_correlation(rows: StageRows, part: slice, num_attacks: int) -> Values:
    score, loss, position = rows.metric.direction * rows.score[part], rows.loss[part], rows.position[part]
    attack = rows.attack[part] - rows.attack[part.start]
    agreeing, pairs = np.zeros(num_attacks), np.zeros(num_attacks)
    for distance in range(1, int(position.max(initial=0)) + 1):
        order = np.sign(score[distance:] - score[:-distance]) * np.sign(loss[:-distance] - loss[distance:])
        told = (position[distance:] >= distance) & np.isfinite(order) & (order != 0)
        of = attack[distance:][told]
        agreeing += np.bincount(of, weights=order[told], minlength=num_attacks)
        pairs += np.bincount(of, minlength=num_attacks)
    with np.errstate(invalid="ignore"):
        tau: Values = agreeing / pairs
    return tau


def prefixes(rows: StageRows) -> pd.DataFrame:
    """What an attack is worth that stops after a place: the image of least matching loss up to there.

    A row per place that something follows, kind and layer being those of the last stage entered: score, difference to
    the whole schedule on the same target (negative: stopping leaks less) with its interval, evaluations_per_restart,
    share_of_evaluations of the whole, num_targets, num_configs. A row of kind `WHOLE` has the schedules to their end. A
    prefix spends less than the whole: the same budget, spread over its stages, might do better than what is shown.
    """
    begin, ends = np.flatnonzero(rows.first), np.flatnonzero(rows.last)
    end = np.repeat(ends, ends - begin + 1)  # of every row, where its attack ends
    score = rows.at(rows.score, rows.kept)
    difference = rows.metric.direction * (score - score[end])
    spent = np.cumsum(rows.evaluations, dtype=np.int64)
    spent -= np.repeat(spent[begin] - rows.evaluations[begin], ends - begin + 1)
    values: dict[str, npt.NDArray[Any]] = {
        "score": score,
        "evaluations_per_restart": spent,
        "share_of_evaluations": spent / spent[end],
    }
    follows = ~rows.last & np.isfinite(difference)
    at_end = rows.last & np.isfinite(score)
    nowhere = np.zeros_like(rows.target)
    shape = (1, len(rows.domains))
    by_place = [_estimates(rows, difference, "difference", where=follows)]
    whole = []
    for name, each in values.items():
        by_place.append(_estimates(rows, each, name, interval=False, where=follows))
        means = mean_by_target(each, cell=nowhere, target=rows.target, shape=shape, where=at_end)
        whole.append(estimates(means, rows.domains, name=name, interval=name == "score"))
    both = pd.concat([_beside(*by_place), _beside(*whole).assign(cell=len(rows.places))])
    return _named(rows, both.drop(columns=["score_low", "score_high"], errors="ignore"), configs=follows)


def _estimates(
    rows: StageRows,
    values: npt.NDArray[Any],
    name: str,
    *,
    interval: bool = True,
    within: Within = None,
    where: npt.NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """`estimates` with a cell for every place."""
    shape = (len(rows.places), len(rows.domains))
    means = mean_by_target(values, cell=rows.place, target=rows.target, shape=shape, where=where)
    return estimates(means, rows.domains, name=name, interval=interval, within=within)


def _beside(first: pd.DataFrame, *others: pd.DataFrame) -> pd.DataFrame:
    """Tables of one cell and domain side by side, where the first has a row; num_targets is the last known."""
    for other in others:
        if "num_targets" in other and "num_targets" in first:
            first = first.drop(columns="num_targets")
        first = first.merge(other, on=["cell", "domain"], how="left")
    return first


def _named(rows: StageRows, table: pd.DataFrame, *, configs: npt.NDArray[np.bool_] | None = None) -> pd.DataFrame:
    """The table with kind and layer for a cell; configs: the rows by which to count those behind a place."""
    kinds = [*(place.kind for place in rows.places), WHOLE]
    layers = pd.array([*(place.layer for place in rows.places), None], dtype="Int64")
    cells = table["cell"].to_numpy(dtype=np.intp)
    named = table.assign(kind=[kinds[cell] for cell in cells], layer=layers[cells])
    if configs is not None:
        trials = int(rows.trial.max(initial=0)) + 1
        key = rows.place[configs].astype(np.int64) * trials + rows.trial[configs]
        seen = np.bincount(key, minlength=trials * len(kinds)).reshape(-1, trials) > 0
        named["num_configs"] = np.append(seen.sum(axis=1)[:-1], rows.num_configs)[cells]
    named["num_targets"] = named["num_targets"].fillna(0).astype(int)
    lead = ["kind", "layer", "domain"]
    ordered = named.sort_values(["cell", "domain"], kind="stable")
    return ordered[[*lead, *(name for name in named.columns if name not in [*lead, "cell"])]].reset_index(drop=True)
