from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.elsewhere.distance import picture_distances, picture_features, score_distances


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((255 * picture).round().astype(np.uint8)).save(buffer, format="png")
    return buffer.getvalue()


def targets(kinds: dict[str, float], *, num: int = 6) -> pd.DataFrame:
    """Pictures of noise whose strength is the domain's."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{name}-{index}", name, png(np.clip(0.5 + strength * rng.standard_normal((16, 16, 3)), 0, 1)))
        for name, strength in kinds.items()
        for index in range(num)
    ]
    return pd.DataFrame(rows, columns=["target_id", "domain", "png"])


def test_domains_that_look_alike_lie_nearer_than_those_that_do_not() -> None:
    names = ["calm", "calmer", "wild"]
    found = picture_distances(targets({"calm": 0.05, "calmer": 0.04, "wild": 0.25}), names)
    assert found is not None
    assert found[0, 1] < found[0, 2] < found[1, 2]
    assert not np.diag(found).any()
    np.testing.assert_allclose(found, found.T)


def test_fine_stripes_have_power_in_the_high_band_and_flat_pictures_in_none() -> None:
    stripes = np.zeros((16, 16, 3))
    stripes[:, ::2] = 1
    fine, flat = picture_features(stripes), picture_features(np.full((16, 16, 3), 0.3))
    assert fine[-1] > fine[-2]
    assert flat[6] == 0
    assert flat[-3:] == pytest.approx(np.log(1e-8))


def test_without_pictures_there_is_no_distance() -> None:
    table = targets({"a": 0.1, "b": 0.2})
    table.loc[table["domain"] == "b", "png"] = None
    assert picture_distances(table, ["a", "b"]) is None
    assert picture_distances(table.iloc[:0], ["a", "b"]) is None


def test_scores_lie_as_far_apart_as_their_means() -> None:
    found = score_distances(np.array([10.0, 12.0, 20.0]), np.array(["a", "a", "b"]), ["a", "b"])
    assert found.tolist() == [[0, 9], [9, 0]]
