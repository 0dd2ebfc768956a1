"""Domains of a task that is not built in are called by what its plan says of them, not by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.findings import _place
from analysis.load import Results


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("faces", "on images of what its generator was trained on"),
        ("photo", "on out-of-distribution images"),
        ("cartoon", "on out-of-distribution images that did not steer the search"),
    ],
)
def test_a_photo_is_out_of_distribution_where_the_generator_has_seen_none(domain: str, words: str) -> None:
    plan = {"own_task": {"in_distribution": ["faces"]}, "steered_domains": ["photo"]}
    results = Results(path=Path(), plan=plan, finalists=None)
    assert _place(domain, results) == words


def test_photos_of_the_embedded_task_stay_photos() -> None:
    results = Results(path=Path(), plan={"own_task": None, "steered_domains": ["sketch"]}, finalists=None)
    assert _place("photo", results) == "on photos"
