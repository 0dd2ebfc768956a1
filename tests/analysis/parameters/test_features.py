from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted_search import planted

from analysis.parameters.features import encode


def test_an_absent_parameter_is_at_the_median_and_its_parent_says_so() -> None:
    trials = planted()
    features = encode(trials)
    place = features.names.index("inner")
    absent = trials.parameters["on"].to_numpy() == 0
    assert np.unique(features.matrix[absent, place]).tolist() == [features.medians[place]]
    logs = np.log(trials.parameters["inner"].dropna())
    assert features.medians[place] == pytest.approx(np.median(logs))
    assert features.indicators == ()  # `on` decides alone whether `inner` is there


def test_what_no_choice_decides_has_an_indicator() -> None:
    trials = planted()
    trials.parameters.loc[trials.parameters.index % 3 == 0, "z"] = np.nan
    features = encode(trials)
    (members,) = features.indicators
    assert [features.names[place] for place in members] == ["z"]
    np.testing.assert_array_equal(features.matrix[:, -1], trials.parameters["z"].notna())


def test_a_choice_takes_away_what_it_never_had() -> None:
    features = encode(planted())
    on, inner = (features.names.index(name) for name in ("on", "inner"))
    rows = features.matrix[features.matrix[:, on] == 1][:5]
    off = features.assign(rows, on, np.zeros(5))
    assert (off[:, inner] == features.medians[inner]).all()
    np.testing.assert_array_equal(np.delete(off, [on, inner], axis=1), np.delete(rows, [on, inner], axis=1))


def test_the_row_of_a_config_is_the_row_that_its_trial_has() -> None:
    trials = planted()
    trials.parameters.loc[trials.parameters.index % 3 == 0, "z"] = np.nan
    features = encode(trials)
    for place in (0, 1, 2, 3):
        row: pd.Series[float] = trials.parameters.iloc[place]
        np.testing.assert_allclose(features.row(row.to_dict()), features.matrix[place])


def test_a_parameter_of_one_value_is_left_out() -> None:
    assert "x" not in encode(planted(columns={"x": np.ones(120)})).names
