from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from gifd_ops.metrics import psnr_db
from study.bench import Bench
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.trial import run_block

PUBLISHED = Job(phase="search", trial=0, attempt=1, origin="published", params={})


@pytest.fixture
def bench(plan: StudyPlan) -> Bench:
    return Bench(plan, pictures_folder=None)


def read(ledger: Ledger, table: str) -> pd.DataFrame:
    return pd.read_parquet(ledger.results / table)


def pixels(png: bytes) -> torch.Tensor:
    return pil_to_tensor(Image.open(io.BytesIO(png)))[None] / 255


def test_a_block_leaves_a_row_per_target_and_stage(bench: Bench, ledger: Ledger) -> None:
    run_block(bench, PUBLISHED, 0, ledger)
    rows, stages = read(ledger, "reconstructions"), read(ledger, "stages")
    assert list(rows.domain) == ["photo", "sketch"]
    assert len(stages) == 2 * 4
    assert set(rows.outcome) == {"ok"}
    assert (rows.gradient_evaluations == bench.plan.budget).all()
    assert rows.lpips.isna().all()
    assert (rows.label == rows.label_inferred).all()
    by_stage = stages.pivot(index="target_id", columns="stage", values="matching_loss")
    assert (rows.set_index("target_id").matching_loss == by_stage.min(axis=1)).all()
    assert (rows.set_index("target_id").chosen_stage == by_stage.idxmin(axis=1)).all()
    oracle = stages.pivot(index="target_id", columns="stage", values="psnr_db").idxmax(axis=1)
    assert (rows.set_index("target_id").oracle_stage == oracle).all()


def test_the_stored_picture_has_the_stored_psnr(bench: Bench, ledger: Ledger) -> None:
    run_block(bench, PUBLISHED, 0, ledger)
    rows = read(ledger, "reconstructions").set_index("target_id")
    truth = read(ledger, "targets").set_index("target_id")
    for image in read(ledger, "images").itertuples():
        value = psnr_db(pixels(image.png), pixels(truth.loc[image.target_id].png))
        assert float(value) == pytest.approx(rows.loc[image.target_id].psnr_db, abs=0.05)


def test_the_same_config_target_and_seed_give_the_same_row(bench: Bench, plan: StudyPlan, tmp_path: Path) -> None:
    tables = []
    for name, worker in (("a", bench), ("b", Bench(plan, pictures_folder=None))):
        ledger = Ledger(tmp_path / name)
        ledger.create()
        run_block(worker, PUBLISHED, 0, ledger)
        tables.append(read(ledger, "reconstructions").drop(columns="seconds"))
    pd.testing.assert_frame_equal(*tables)


def test_a_committed_block_is_not_run_again(bench: Bench, ledger: Ledger) -> None:
    run_block(bench, PUBLISHED, 0, ledger)
    part = ledger.results / "reconstructions" / "search-00000-000.parquet"
    before = part.stat().st_mtime_ns
    run_block(bench, replace(PUBLISHED, attempt=2), 0, ledger)
    assert part.stat().st_mtime_ns == before


def test_rows_that_diverge_have_nulls_and_an_outcome(bench: Bench, ledger: Ledger) -> None:
    for parameter in bench.victim("search", 0).parameters():
        parameter.fill_(float("nan"))
    run_block(bench, PUBLISHED, 0, ledger)
    rows = read(ledger, "reconstructions")
    assert list(rows.outcome) == ["diverged", "diverged"]
    nulls = ["psnr_db", "ssim", "mse", "matching_loss", "chosen_stage", "oracle_stage"]
    assert rows[nulls].isna().all(axis=None)
    assert rows.message.str.contains("finite matching loss").all()
    assert len(read(ledger, "images")) == 0


def test_splits_share_neither_images_nor_victims(bench: Bench) -> None:
    ids = {phase: {t.target_id for block in bench.blocks(phase) for t in block} for phase in ("search", "test")}
    assert not ids["search"] & ids["test"]
    tune, test = (next(bench.victim(phase, 0).parameters()) for phase in ("search", "test"))
    assert not torch.equal(tune, test)


def test_private_originals_are_kept_only_on_request(plan: StudyPlan, ledger: Ledger) -> None:
    run_block(Bench(replace(plan, keep_targets=False), pictures_folder=None), PUBLISHED, 0, ledger)
    assert read(ledger, "targets").png.isna().all()
