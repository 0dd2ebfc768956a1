from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from synthetic_ledger import Ledger

from analysis.load import load_results
from analysis.pictures import main, median_targets, write_pictures

Write = Callable[[Ledger], Path]


def test_the_median_target_and_the_next_better_one_are_shown() -> None:
    improvement = pd.DataFrame(
        {"domain": "art", "target_id": ["a", "b", "c", "d", "e"], "improvement": [5.0, 1.0, 2.0, 4.0, 3.0]}
    )
    assert median_targets(improvement)["target_id"].tolist() == ["e", "d"]


@pytest.mark.parametrize("private", [True, False])
def test_the_sheet_says_when_private_images_were_not_kept(write: Write, private: bool) -> None:
    results = load_results(write(Ledger(pictures=True, private=private, num_trials=10)))
    caption = write_pictures(results)
    assert (results.path / "analysis" / "pictures.png").is_file()
    assert ("row is left out" in caption) is not private
    assert "median" in caption


def test_without_a_test_phase_there_is_no_sheet(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(Ledger(finalists=None)))]) == 2
    assert "continue the study to its end" in capsys.readouterr().err


def test_without_kept_images_there_is_no_sheet(write: Write) -> None:
    with pytest.raises(ValueError, match="0 images and 32 scores"):
        write_pictures(load_results(write(Ledger())))
