from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from gifd_ops.attack import OutOfMemoryError, run_attacks
from gifd_ops.generators.loading import load_generator
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.metrics import psnr_db
from gifd_ops.tasks import PORTRAITS
from study.bench import Bench
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.trial import run_block, run_blocks

SCORES = ["psnr_db", "ssim", "mse", "lpips", "lpips_vgg", "matching_loss", "chosen_stage", "oracle_stage"]
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


def test_the_ledger_says_what_was_really_spent(plan: StudyPlan, bench: Bench, tmp_path: Path) -> None:
    """All is spent by rows that run to their end, one look each by rows that diverge, less by impatient ones."""
    spent = {}
    broken = Bench(plan, pictures_folder=None)
    for parameter in broken.victim("search", 0).parameters():
        parameter.fill_(float("nan"))
    impatient = Bench(replace(plan, patience=2), pictures_folder=None)
    for name, worker in (("whole", bench), ("diverged", broken), ("impatient", impatient)):
        ledger = Ledger(tmp_path / name)
        ledger.create()
        run_block(worker, PUBLISHED, 0, ledger)
        rows, stages = read(ledger, "reconstructions"), read(ledger, "stages")
        assert (stages.steps_taken <= stages.steps).all()
        spent[name] = rows.gradient_evaluations.tolist(), stages.groupby("target_id").steps_taken.sum().tolist()
    budget, updates = plan.budget, plan.budget - 4  # a stage's last evaluation scores its image
    assert spent["whole"] == ([budget] * 2, [updates] * 2)
    assert spent["diverged"] == ([1] * 2, [1] * 2)
    evaluations, steps = spent["impatient"]
    assert [one - more for one, more in zip(sorted(evaluations), sorted(steps), strict=True)] == [4, 4]
    assert max(steps) < updates


class Refused:
    """A generator for which there is never enough memory."""

    def __init__(self, generator: StyleGan2Generator) -> None:
        self.generator = generator

    def render(self, features: Features) -> torch.Tensor:
        return torch.empty(2**50, dtype=torch.uint8)  # the allocator itself says no

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


def test_a_target_that_does_not_fit_into_memory_is_an_outcome(bench: Bench, ledger: Ledger) -> None:
    bench.generator = lambda phase: Refused(load_generator(PORTRAITS.checkpoint, size_px=32))  # type: ignore[assignment]
    run_block(bench, PUBLISHED, 0, ledger)
    rows = read(ledger, "reconstructions")
    assert list(rows.outcome) == ["out_of_memory"] * 2
    assert rows[["psnr_db", "matching_loss", "chosen_stage", "label_inferred"]].isna().all(axis=None)
    assert rows.message.str.contains("GiB free.*lower restarts", regex=True).all()
    assert set(rows.gradient_evaluations) == {0}
    assert len(read(ledger, "images")) == len(read(ledger, "stages")) == 0
    assert ledger.has_block("search", 0, 0), "it is done, and not tried for ever"


def test_few_rows_at_a_time_give_the_same_rows(bench: Bench, tmp_path: Path) -> None:
    """To rounding, which single precision makes large in a few stages: the first one is compared."""
    rows, first = [], []
    for max_rows in (None, 1):
        ledger = Ledger(tmp_path / str(max_rows))
        ledger.create()
        run_block(bench, PUBLISHED, 0, ledger, max_rows=max_rows)
        rows.append(read(ledger, "reconstructions")[["target_id", "label_inferred", "gradient_evaluations", "outcome"]])
        first.append(read(ledger, "stages").query("stage == 0").reset_index(drop=True))
    pd.testing.assert_frame_equal(*rows)
    pd.testing.assert_frame_equal(*first, rtol=1e-3)


@pytest.fixture
def several(plan: StudyPlan) -> list[Job]:
    """Four configs of one schedule, the published recipe among them."""
    shape = plan.task_info.generator_shape
    changes: list[dict[str, float]] = [{}, {"lr_first": 0.02, "tv_weight": 0.1}, {"balls": 0, "steps_tilt": 2.0}]
    points = [plan.search_space.point(change, shape, budget=plan.budget) for change in changes]
    jobs = [replace(PUBLISHED, trial=trial, origin="search", params=params) for trial, params in enumerate(points, 1)]
    assert len({plan.configure(job.params, origin=job.origin).fuse_key for job in [PUBLISHED, *jobs]}) == 1
    return [PUBLISHED, *jobs]


def test_configs_run_as_one_leave_the_rows_that_each_leaves_alone(
    bench: Bench, several: list[Job], tmp_path: Path
) -> None:
    """To rounding, which Adam amplifies from stage to stage in single precision: scores are compared in the first."""
    rows, first = [], []
    for name, batches in (("one", [several]), ("alone", [[job] for job in several])):
        ledger = Ledger(tmp_path / name)
        ledger.create()
        for batch in batches:
            run_blocks(bench, batch, 0, ledger)
        table = read(ledger, "reconstructions").sort_values(["trial", "target_id"], ignore_index=True)
        amplified = [name for name in table if name.startswith("rank_") or name.endswith("_stage")]
        rows.append(table.drop(columns=[*SCORES, *amplified, "seconds"]))
        stages = read(ledger, "stages").sort_values(["trial", "target_id", "stage"], ignore_index=True)
        first.append(stages.query("stage == 0").reset_index(drop=True))
        assert len(stages) == 4 * 2 * 4
        assert len(read(ledger, "images")) == 4 * 2
    pd.testing.assert_frame_equal(*rows)
    pd.testing.assert_frame_equal(*first, rtol=1e-3)
    assert first[0].groupby("target_id").matching_loss.nunique().min() >= 3, "the configs do the same"


def test_of_several_configs_those_that_lack_the_block_are_run(bench: Bench, several: list[Job], ledger: Ledger) -> None:
    run_block(bench, several[1], 0, ledger)
    part = ledger.results / "reconstructions" / "search-00001-000.parquet"
    before = part.stat().st_mtime_ns
    run_blocks(bench, several, 0, ledger)
    assert part.stat().st_mtime_ns == before
    assert all(ledger.has_block("search", job.trial, 0) for job in several)


def test_configs_too_large_together_are_run_one_by_one(
    bench: Bench, several: list[Job], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run_as_if_memory_were_small(*arguments: Any, **named: Any) -> Any:
        configs = arguments[3]
        calls.append(len(configs))
        if len(configs) > 1 or configs[0].stages[0].lr == 0.02:
            raise OutOfMemoryError("too large")
        return run_attacks(*arguments, **named)

    monkeypatch.setattr("study.trial.run_attacks", run_as_if_memory_were_small)
    run_blocks(bench, several, 0, ledger)
    assert calls == [4, 1, 1, 1, 1]
    outcomes = read(ledger, "reconstructions").groupby("trial").outcome.unique()
    assert [list(found) for found in outcomes] == [["ok"], ["ok"], ["out_of_memory"], ["ok"]]


def test_splits_share_neither_images_nor_victims(bench: Bench) -> None:
    ids = {phase: {t.target_id for block in bench.blocks(phase) for t in block} for phase in ("search", "test")}
    assert not ids["search"] & ids["test"]
    tune, test = (next(bench.victim(phase, 0).parameters()) for phase in ("search", "test"))
    assert not torch.equal(tune, test)


def test_private_originals_are_kept_only_on_request(plan: StudyPlan, ledger: Ledger) -> None:
    run_block(Bench(replace(plan, keep_targets=False), pictures_folder=None), PUBLISHED, 0, ledger)
    assert read(ledger, "targets").png.isna().all()
