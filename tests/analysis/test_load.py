from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_ledger import Ledger, write_ledger
from synthetic_stages import Attacks, stage_rows, write_stages

from analysis import findings, generalization, pictures, sensitivity, stages
from analysis.load import load_results


def test_parameters_become_columns_and_absence_stays_absent(tmp_path: Path) -> None:
    results = load_results(write_ledger(tmp_path, Ledger(num_trials=10)))
    trials = results.trials()
    assert len(trials) == 10 + 3
    published = trials[trials["trial"] == 0].iloc[0]
    assert math.isnan(published["lr_io"])
    parameters = results.parameters()
    assert list(parameters.index) == list(range(1, 10))
    assert parameters["lr_io"].notna().all()
    assert parameters["lr_layer_2"].isna().any()


def test_only_the_asked_columns_and_phase_are_read(tmp_path: Path) -> None:
    results = load_results(write_ledger(tmp_path, Ledger(num_trials=10)))
    rows = results.reconstructions(["phase", "psnr_db"], "test")
    assert list(rows.columns) == ["phase", "psnr_db"]
    assert set(rows["phase"]) == {"test"}
    assert len(rows) == 3 * 32


def test_columns_that_parts_of_an_earlier_version_lack_are_absent_and_noted_once(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path, Ledger(num_trials=10))
    part = folder / "reconstructions" / "part-0.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["rank_ssim"]), part)
    results = load_results(folder)
    assert list(results.notes) == []  # nobody has asked for it
    for _ in range(2):
        assert results.reconstructions(["rank_ssim", "psnr_db"])["psnr_db"].notna().all()
    (note,) = results.notes
    assert note.startswith("1 of 2 parts of reconstructions are of an earlier version and hold no rank_ssim")
    assert note.endswith(f"run: python -m study.ledger migrate {folder}")


def test_stages_are_read_in_few_bytes_and_scores_to_the_digit_that_matters(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path, Ledger(num_trials=10))
    rows = stage_rows(Attacks())
    write_stages(folder, rows, parts=1)
    table = load_results(folder).stages(["target_id", "psnr_db", "matching_loss"], "search")
    assert pa.types.is_dictionary(table.schema.field("target_id").type)
    assert table.schema.field("psnr_db").type == pa.float32()
    wanted = sorted((str(row["target_id"]), float(row["psnr_db"]), row["matching_loss"]) for row in rows)
    for found, expected in zip(sorted(tuple(row.values()) for row in table.to_pylist()), wanted, strict=True):
        assert found[0] == expected[0]
        assert found[1] == pytest.approx(expected[1], abs=1e-5)
        assert found[2] == expected[2]  # the least one decides, so not a digit is lost


def test_an_unfinished_study_has_no_finalists(tmp_path: Path) -> None:
    assert load_results(write_ledger(tmp_path, Ledger(finalists=None))).finalists is None


@pytest.mark.parametrize("module", [sensitivity, generalization, findings, pictures, stages])
def test_a_folder_that_holds_no_study_ends_in_one_sentence(
    module: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main([str(tmp_path / "nowhere")]) == 2  # type: ignore[attr-defined]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("analysis: a results folder holds plan.json")
    assert captured.err.count("\n") == 1


def test_a_study_without_a_finished_block_says_how_to_continue(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ValueError, match=r"at least one finished block.*again to continue"):
        load_results(tmp_path)


def test_images_of_a_batch_are_one_witness(write: Callable[[Ledger], Path]) -> None:
    path = write(Ledger(num_trials=3, finalists=None))
    plan = json.loads((path / "plan.json").read_text())
    (path / "plan.json").write_text(json.dumps(plan | {"sharing": {"batch_size": 2}}))
    for part in (path / "reconstructions").glob("[!.]*.parquet"):
        table = pq.read_table(part)
        first = [f"{name[:-1]}{int(name[-1]) // 2 * 2}" for name in table["target_id"].to_pylist()]
        batches = pa.array(first, type=pa.string())
        pq.write_table(table.set_column(table.schema.get_field_index("batch_id"), "batch_id", batches), part)
    rows = load_results(path).reconstructions(["domain", "target_id", "trial", "psnr_db"], "search")
    assert rows.columns.tolist() == ["domain", "target_id", "trial", "psnr_db"]
    assert rows.groupby(["trial", "target_id"]).size().eq(2).all()
