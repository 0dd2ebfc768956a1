"""Trials as rows that a regression can read, conditional parameters included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.parameters.searched import Floats, Integers, Mask, SearchedTrials

_MAX_PARENT_VALUES = 12


@dataclass(frozen=True)
class Features:
    """`matrix` [trials, columns]: a column per parameter (`names`, in this order), then one per `indicators`.

    Logarithmic parameters are logarithms. Where a trial lacks a parameter, the column holds the median of those that
    have it, and an indicator column says which trials have it. An indicator that one choice decides alone is left out:
    the choice says the same, and importance would be split between them.
    """

    matrix: Floats
    names: tuple[str, ...]
    logs: Mask  # [parameters]
    have: Mask  # [trials, parameters]
    indicators: tuple[Integers, ...]  # per indicator column: the parameters (by place) that it speaks for
    medians: Floats  # [parameters]
    choices: Mapping[int, Mapping[float, tuple[Mask, Mask]]]  # place, value: (never, always) there [parameters]

    def row(self, parameters: Mapping[str, float]) -> Floats:
        """The row [columns] of one config; a parameter that is missing or NaN is one that it lacks."""
        raw = np.array([parameters.get(name, np.nan) for name in self.names], dtype=np.float64)
        raw[self.logs] = np.log(raw[self.logs])
        have = np.isfinite(raw)
        indicators = [float(have[members].all()) for members in self.indicators]
        return np.concatenate([np.where(have, raw, self.medians), indicators])

    def assign(self, rows: Floats, place: int, values: Floats) -> Floats:
        """`rows` with parameter `place` set to `values` [rows]; what a choice brings or takes away comes or goes."""
        changed = rows.copy()
        changed[:, place] = values
        for value, (never, always) in self.choices.get(place, {}).items():
            chosen = np.flatnonzero(values == value)
            gone = np.flatnonzero(never)
            changed[np.ix_(chosen, gone)] = self.medians[gone]
            for column, members in enumerate(self.indicators, start=len(self.names)):
                if never[members].all():
                    changed[chosen, column] = 0.0
                elif always[members].all():
                    changed[chosen, column] = 1.0
        return changed


def encode(trials: SearchedTrials) -> Features:
    """The features of `trials`, parameters with a single value left out."""
    varying = [name for name in trials.parameters.columns if trials.parameters[name].nunique() > 1]
    columns = {name: trials.parameters[name].to_numpy(dtype=np.float64) for name in varying}
    raw = np.column_stack([*columns.values()]) if columns else np.empty((len(trials.parameters), 0))
    logs = np.array([trials.scale(name).log for name in varying], dtype=bool)
    raw[:, logs] = np.log(raw[:, logs])
    have = np.isfinite(raw)
    medians = np.array([np.median(column[there]) for column, there in zip(raw.T, have.T, strict=True)])
    choices = {
        place: _structure(raw[:, place], have)
        for place, name in enumerate(varying)
        if trials.scale(name).choice and np.unique(raw[have[:, place], place]).size <= _MAX_PARENT_VALUES
    }
    patterns: dict[bytes, list[int]] = {}
    for place, there in enumerate(have.T):
        if not there.all() and not any(_decides(raw[:, parent], there) for parent in choices if parent != place):
            patterns.setdefault(there.tobytes(), []).append(place)
    members = tuple(np.array(places) for places in patterns.values())
    indicator = [have[:, places[0]].astype(np.float64) for places in members]
    return Features(
        matrix=np.column_stack([np.where(have, raw, medians), *indicator]),
        names=tuple(varying),
        logs=logs,
        have=have,
        indicators=members,
        medians=medians,
        choices=choices,
    )


def _structure(choice: Floats, have: Mask) -> dict[float, tuple[Mask, Mask]]:
    """Of each value of a choice: which parameters trials with it never have, and which always."""
    found = {}
    for value in np.unique(choice[np.isfinite(choice)]):
        inside = have[choice == value]
        found[float(value)] = (~inside.any(axis=0), inside.all(axis=0))
    return found


def _decides(choice: Floats, there: npt.NDArray[np.bool_]) -> bool:
    """Whether a choice that every trial makes says alone which trials are `there`."""
    if not np.isfinite(choice).all():
        return False
    values, place = np.unique(choice, return_inverse=True)
    share = np.bincount(place, weights=there, minlength=values.size) / np.bincount(place, minlength=values.size)
    return bool(np.isin(share, (0.0, 1.0)).all())
