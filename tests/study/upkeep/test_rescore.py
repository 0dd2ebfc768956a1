from __future__ import annotations

import io
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gifd_ops import metrics
from study.ledger import Ledger
from study.upkeep.check import check
from study.upkeep.commands import main
from study.upkeep.compact import compact
from study.upkeep.rescore import from_png, rescore
from tests.study.upkeep.studies import SIZE_PX, parts, png


def gray(value: float) -> torch.Tensor:
    return torch.full((1, 3, SIZE_PX, SIZE_PX), round(255 * value) / 255)


def change_all(ledger: Ledger, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    for path in (ledger.results / table).rglob("*.parquet"):
        pq.write_table(change(pq.read_table(path, partitioning=None)), path)


@pytest.mark.parametrize("packed", [False, True])
def test_a_column_is_filled_from_the_stored_images(whole: Ledger, packed: bool) -> None:
    if packed:
        compact(whole.results)
    before = pd.read_parquet(whole.results / "reconstructions")
    assert before.ssim.isna().all()
    done = rescore(whole.results, ["ssim", "mse"])
    rows = pd.read_parquet(whole.results / "reconstructions")
    for trial, found in rows.groupby("trial"):
        image, truth = gray(0.4 + 0.01 * int(trial)), gray(0.5)  # type: ignore[call-overload]
        assert found.mse.to_list() == pytest.approx([metrics.mse(image, truth).item()] * 6)
        assert found.ssim.to_list() == pytest.approx([metrics.ssim(image, truth).item()] * 6)
    assert (done["ssim"].filled, done["ssim"].kept, done["ssim"].no_image) == (30, 0, 0)
    pd.testing.assert_frame_equal(rows.drop(columns=["ssim", "mse"]), before.drop(columns=["ssim", "mse"]))
    assert check(whole.results).findings == ()


def test_scores_that_are_there_are_kept_unless_told_otherwise(whole: Ledger) -> None:
    before = pd.read_parquet(whole.results / "reconstructions").psnr_db
    kept = rescore(whole.results, ["psnr_db"])["psnr_db"]
    assert (kept.kept, kept.filled, kept.replaced) == (30, 0, 0)
    assert pd.read_parquet(whole.results / "reconstructions").psnr_db.to_list() == before.to_list()
    replaced = rescore(whole.results, ["psnr_db"], replace=True)["psnr_db"]
    after = pd.read_parquet(whole.results / "reconstructions").psnr_db
    assert replaced.replaced == 30
    assert replaced.largest_difference == kept.largest_difference == pytest.approx((before - after).abs().max())
    assert replaced.largest_difference > 0


def test_a_row_without_an_image_stays_without_a_score(whole: Ledger) -> None:
    change_all(whole, "images", lambda rows: rows.slice(1))  # of every block one row less
    done = rescore(whole.results, ["mse"])["mse"]
    assert (done.filled, done.no_image) == (15, 15)
    assert pd.read_parquet(whole.results / "reconstructions").mse.isna().sum() == 15


@pytest.mark.parametrize(
    ("metric", "says"),
    [("matching_loss", "metric of stored images"), ("sim", "did you mean"), ("lpips", "are not on this machine")],
)
def test_a_metric_that_images_do_not_tell_is_refused(
    whole: Ledger, metric: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(whole.results))  # no weights there
    before = parts(whole.results)
    assert main(["rescore", str(whole.results), "--metric", metric]) == 2
    assert says in capsys.readouterr().err
    assert parts(whole.results) == before


def test_private_images_that_were_not_kept_are_asked_for(whole: Ledger) -> None:
    def forget(rows: pa.Table) -> pa.Table:
        return rows.set_column(rows.column_names.index("png"), "png", pa.nulls(len(rows), pa.binary()))

    change_all(whole, "targets", forget)
    with pytest.raises(ValueError, match="--keep-targets"):
        rescore(whole.results, ["ssim"])


def test_a_png_is_read_as_it_was_written() -> None:
    assert torch.equal(from_png(png(0.2)), gray(0.2)[0])
    buffer = io.BytesIO()
    image = Image.new("RGB", (3, 2))
    image.putpixel((2, 1), (255, 0, 51))
    image.save(buffer, format="PNG")
    assert from_png(buffer.getvalue())[:, 1, 2].tolist() == pytest.approx([1, 0, 0.2])


def test_rounding_to_eight_bits_is_said(whole: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rescore", str(whole.results), "--metric", "ssim,psnr_db"]) == 0
    out = capsys.readouterr().out
    assert "ssim: 30 filled in, 0 kept; 0 rows have no image" in out
    assert "psnr_db: 0 filled in, 30 kept, up to " in out
    assert "rounded to 8 bits" in out
