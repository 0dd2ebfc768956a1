from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from synthetic_ledger import Ledger, write_ledger

from analysis.load import Results, load_results
from analysis.methods import INSIDE, OUTSIDE, compare_methods, main
from analysis.stats import mean_interval

CONTROLS = ("noise_gradient", "other_image")
# Equal seeds give the same images and noise: GIFD gains 2 dB over the recipe, the other attack loses 3 to it, about.
LUCK = np.random.default_rng(1)
GIFD = Ledger(effect=lambda params, domain: 2.0, test_targets=16, controls=CONTROLS)
OTHER = replace(GIFD, method="ig", effect=lambda params, domain: -3.0 + LUCK.normal(0, 0.8))


@pytest.fixture
def studies(tmp_path: Path) -> list[Results]:
    return [load_results(write_ledger(tmp_path / ledger.method, ledger)) for ledger in (GIFD, OTHER)]


@pytest.fixture
def table(studies: list[Results]) -> pd.DataFrame:
    return compare_methods(studies).set_index(["method", "settings", "control", "place"]).sort_index()


def test_there_is_a_row_for_every_method_choice_control_and_place(table: pd.DataFrame) -> None:
    assert len(table) == 2 * 3 * 3 * 2
    assert set(table.xs(OUTSIDE, level="place").num_targets) == {48}
    assert set(table.xs(INSIDE, level="place").num_targets) == {16}


def test_means_are_of_the_test_targets_of_one_control_alone(studies: list[Results], table: pd.DataFrame) -> None:
    rows = studies[0].reconstructions(["phase", "trial", "domain", "target_id", "psnr_db"])
    for phase, control in (("test", "none"), ("test_other_image", "other_image")):
        part = rows[(rows.phase == phase) & (rows.trial == 7) & (rows.domain != "photo")]
        found = table.loc[("gifd", "oracle", control, OUTSIDE)]
        expected = mean_interval(part.psnr_db, part.domain)
        assert [found["mean"], found["low"], found["high"]] == pytest.approx(
            [expected.mean, expected.low, expected.high], rel=1e-12
        )


def test_the_paired_difference_to_gifd_finds_the_truth_and_its_width_is_that_of_pairs(table: pd.DataFrame) -> None:
    tuned = table.loc[("ig", "oracle", "none", OUTSIDE)]
    assert tuned.against_low < -5.0 < tuned.against_high
    assert table.loc[("ig", "published", "none", OUTSIDE)].against_gifd == pytest.approx(0, abs=1e-9)
    # targets differ by 3 dB from one another, pairs by less than 1: pairing must pay
    assert (tuned.against_high - tuned.against_low) < 0.6 * (tuned.high - tuned.low)
    assert table.loc["gifd"].against_gifd.isna().all()


def test_controls_lose_what_they_must(table: pd.DataFrame) -> None:
    for method in ("gifd", "ig"):
        lost = (
            table.loc[(method, "oracle", "none", OUTSIDE)]["mean"]
            - table.loc[(method, "oracle", "noise_gradient", OUTSIDE)]["mean"]
        )
        assert lost == pytest.approx(4, abs=1.5)


def test_rank_one_is_a_share_with_wilsons_interval(studies: list[Results], table: pd.DataFrame) -> None:
    rows = studies[1].reconstructions(["phase", "trial", "domain", "rank_psnr_db"])
    part = rows[(rows.phase == "test") & (rows.trial == 7) & (rows.domain != "photo")]
    share, count = (part.rank_psnr_db == 1).mean(), len(part)
    found = table.loc[("ig", "oracle", "none", OUTSIDE)]
    assert found.rank_one == share
    z = 1.959964
    center = (share + z**2 / 2 / count) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / 4 / count**2)
    assert (found.rank_one_low, found.rank_one_high) == pytest.approx((center - half, center + half), abs=1e-5)


def test_the_command_writes_table_and_figure_and_prints_markdown(
    studies: list[Results], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(study.path) for study in studies]) == 0
    written = pd.read_csv(tmp_path / "analysis" / "methods.csv")
    assert len(written) == 36
    assert imread(tmp_path / "analysis" / "methods.png").std() > 0.01
    caption = (tmp_path / "analysis" / "methods.md").read_text()
    assert "Leakage of gifd, ig on test targets (16 in distribution; 48 out of distribution;" in caption
    assert "95 % t intervals" in caption
    assert "`methods.csv`" in caption
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Out of distribution, 48 targets:"
    header = next(line for line in out if line.startswith("| method"))
    assert [cell.strip() for cell in header.strip("|").split("|")][-2:] == list(CONTROLS)
    assert sum(line.startswith("| ig ") for line in out) == 6


def test_a_study_without_a_test_is_told_so(write: Callable[[Ledger], Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(Ledger(finalists=None)))]) == 2
    assert "no study has run any; continue them to their end" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domains": ("art", "photo"), "steered": ("art",)}, "same task at the same budget, but domains is"),
        ({"method": "gifd"}, "each method is compared once, but gifd was given twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    change: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_ledger(tmp_path / "one", GIFD)
    second = write_ledger(tmp_path / "two", replace(OTHER, **change))
    assert main([str(first), str(second)]) == 2
    assert message in capsys.readouterr().err
