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


def test_the_numbers_under_the_pictures_are_kept_beside_them(write: Write) -> None:
    results = load_results(write(Ledger(pictures=True, num_trials=10)))
    write_pictures(results)
    table = pd.read_csv(results.path / "analysis" / "pictures.csv")
    assert table.groupby(["row", "domain"]).size().to_dict() == {
        (row, domain): 2 for row in ("published recipe", "tuned") for domain in ("art", "cartoon", "photo", "sketch")
    }
    rows = results.reconstructions(["trial", "target_id", "psnr_db"], "test").set_index(["trial", "target_id"])
    tuned = table[table["row"] == "tuned"]
    assert tuned["score"].tolist() == pytest.approx(rows.loc[7].loc[tuned["target_id"], "psnr_db"].tolist())
    said = (results.path / "analysis" / "pictures.md").read_text()
    assert said.startswith("8 of 32 test images, by a rule")
    assert "no interval" in said


def test_without_a_test_phase_there_is_no_sheet(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(Ledger(finalists=None)))]) == 2
    assert "continue the study to its end" in capsys.readouterr().err


def test_without_kept_images_there_is_no_sheet(write: Write) -> None:
    with pytest.raises(ValueError, match="0 images and 32 scores"):
        write_pictures(load_results(write(Ledger())))
