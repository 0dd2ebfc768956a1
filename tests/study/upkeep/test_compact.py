from __future__ import annotations

import pickle
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from analysis.load import load_results
from study.job import trial_row
from study.ledger import BLOCK_TABLES, Ledger
from study.packs import Span
from study.plan import StudyPlan
from study.search.search import Search
from study.upkeep import compact as compacting
from study.upkeep.check import check
from study.upkeep.commands import main
from study.upkeep.compact import compact, compact_many, count_parts
from tests.study.upkeep.studies import block_of, commit_whole, job_like, parts

KEYS = ["phase", "trial", "block", "target_id"]


def frame(results: Path, table: str) -> pd.DataFrame:
    return pd.read_parquet(results / table).sort_values(KEYS).reset_index(drop=True)


def all_known(ledger: Ledger, plan: StudyPlan) -> list[object]:
    blocks = plan.num_blocks("search")
    return [
        (
            ledger.trial_row("search", trial),
            [ledger.has_block("search", trial, block) for block in range(blocks + 1)],
            ledger.is_complete("search", trial, blocks=blocks),
            [ledger.block_rows(table, "search", trial, blocks=blocks) for table in BLOCK_TABLES],
            ledger.rows("search", trial, blocks=1),
        )
        for trial in range(7)
    ]


def test_readers_and_the_ledger_see_what_they_saw_before(plan: StudyPlan, whole: Ledger) -> None:
    before = {table: frame(whole.results, table) for table in BLOCK_TABLES}
    known, loaded = all_known(whole, plan), load_results(whole.results).trials()
    done = compact(whole.results)
    assert (done.parts_before, done.parts_after, done.trials) == (5 * (1 + 3 * 3) + 1, 5, 5)
    for table in BLOCK_TABLES:
        pd.testing.assert_frame_equal(frame(whole.results, table), before[table])
    pd.testing.assert_frame_equal(load_results(whole.results).trials(), loaded)
    assert all_known(Ledger(whole.results), plan) == known
    assert Ledger(whole.results).trial_numbers("search") == set(range(5))
    assert Ledger(whole.results).phases() == ["search"]
    assert check(whole.results).findings == ()


def test_a_pack_holds_so_many_rows_and_every_phase_has_its_own(
    plan: StudyPlan, whole: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_whole(plan, whole, job_like(whole, 3, phase="test"))
    monkeypatch.setattr(compacting, "PACK_ROWS", 2 * 18)
    compact(whole.results)
    packs = sorted(path.stem for path in (whole.results / "reconstructions/packed").iterdir())
    assert packs == ["search-00000-00001", "search-00002-00003", "search-00004-00004", "test-00003-00003"]
    ledger = Ledger(whole.results)
    assert [ledger.trial_row("search", trial)["trial"] for trial in (4, 0, 3, 1, 2)] == [4, 0, 3, 1, 2]  # type: ignore[index]
    assert ledger.trial_numbers("test") == {3}


def test_the_name_of_a_phase_may_hold_anything() -> None:
    span = Span(phase="test_noise_gradient", first=3, last=123456)
    assert Span.of(Path(f"{span}.parquet")) == span


def test_a_study_goes_on_beside_its_packs_and_is_packed_again(plan: StudyPlan, whole: Ledger) -> None:
    compact(whole.results)
    ledger = Ledger(whole.results)
    search = Search(plan, ledger, trials=8)
    numbers = []
    while (job := search.next_job()) is not None:
        commit_whole(plan, ledger, job)
        search.finish(job)
        numbers.append(job.trial)
    assert numbers == [5, 6, 7]
    assert check(whole.results).findings == ()
    compact(whole.results)
    assert count_parts(whole.results) == 5
    assert len(frame(whole.results, "images")) == 8 * 6
    assert check(whole.results).findings == ()


def test_what_is_packed_is_not_written_again(plan: StudyPlan, whole: Ledger) -> None:
    compact(whole.results)
    before = parts(whole.results)
    job = job_like(Ledger(whole.results), 2)
    whole.write_trial("search", 2, trial_row(plan, job, outcome=None))  # by one that has not heard of it
    whole.write_block("search", 2, 1, block_of(plan, job, 1, psnr_db=0.0))
    assert parts(whole.results) == before


def test_a_late_part_of_what_is_packed_goes_at_the_next_start(plan: StudyPlan, whole: Ledger) -> None:
    names = [f"{table}/search-00001-002.parquet" for table in BLOCK_TABLES]
    late = {name: (whole.results / name).read_bytes() for name in names}
    compact(whole.results)
    before = parts(whole.results)
    for name, data in late.items():
        (whole.results / name).write_bytes(data)
    assert len(frame(whole.results, "reconstructions")) == 5 * 6 + 2
    Ledger(whole.results).remove_partials()
    assert parts(whole.results) == before


def test_unfinished_trials_stay_as_they_are(plan: StudyPlan, whole: Ledger) -> None:
    for trial, outcome, blocks in ((5, None, 2), (6, "stopped", 1), (7, "error", 1), (8, None, 0)):
        job = job_like(whole, 4, number=trial)
        whole.write_trial("search", trial, trial_row(plan, job, outcome=outcome))
        for block in range(blocks):
            whole.write_block("search", trial, block, block_of(plan, job, block, psnr_db=1.0))
    before = parts(whole.results)
    compact(whole.results)
    after = parts(whole.results)
    small = {name for name in after if "packed" not in name and not name.startswith("targets")}
    assert {name.split("/")[1].split("-")[1].split(".")[0] for name in small} == {"00005", "00007", "00008"}
    assert all(after[name] == before[name] for name in small)
    ledger = Ledger(whole.results)
    assert [ledger.has_block("search", 6, block) for block in (0, 1)] == [True, False]
    assert ledger.trial_numbers("search") == set(range(9))


@pytest.mark.parametrize("table", BLOCK_TABLES)
def test_a_damaged_pack_is_set_aside_and_its_blocks_are_run_again(plan: StudyPlan, whole: Ledger, table: str) -> None:
    settings = [whole.trial_row("search", trial) for trial in range(5)]
    compact(whole.results)
    pack = whole.results / table / "packed" / "search-00000-00004.parquet"
    pack.write_bytes(pack.read_bytes()[:-9])
    ledger = Ledger(whole.results)
    moved = [path.as_posix() for path in ledger.set_aside_damaged()]
    assert "reconstructions/packed/search-00000-00004.parquet" in moved
    assert (whole.results / ".damaged" / table / "packed" / pack.name).exists()
    assert [ledger.trial_row("search", trial) for trial in range(5)] == settings
    search = Search(plan, ledger, trials=5)
    while (job := search.next_job()) is not None:
        commit_whole(plan, ledger, job)
        search.finish(job)
    ledger.remove_partials()
    compact(whole.results)
    assert check(whole.results).findings == ()
    assert len(frame(whole.results, "reconstructions")) == 5 * 6


def test_the_search_is_rebuilt_from_packs(plan: StudyPlan, whole: Ledger) -> None:
    told = [Search(plan, whole, trials=5).improvement(trial) for trial in range(5)]
    compact(whole.results)
    (whole.results / "optuna.journal").unlink()
    search = Search(plan, Ledger(whole.results), trials=5)
    assert [search.improvement(trial) for trial in range(5)] == told
    assert search.next_job() is None


def test_few_parts_are_not_packed(whole: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compact_many(whole.results) is None
    monkeypatch.setattr(compacting, "MANY_PARTS", 50)
    assert compact_many(whole.results) is not None
    assert compact_many(whole.results) is None


def test_a_ledger_travels_to_workers(whole: Ledger) -> None:
    compact(whole.results)
    assert Ledger(whole.results).has_block("search", 0, 0)
    assert pickle.loads(pickle.dumps(whole)).has_block("search", 0, 0)


def test_a_compaction_that_is_killed_is_undone_by_the_next_command(
    whole: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    before = parts(whole.results)
    process = subprocess.Popen([sys.executable, "-m", "study.ledger", "compact", str(whole.results)])
    while not (whole.results / ".rewrite").exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    process.kill()
    process.wait()
    if not (whole.results / ".rewrite" / "mark.json").exists():
        assert parts(whole.results) == before
    assert any("a rewrite was interrupted" in str(finding) for finding in check(whole.results).findings)
    assert main(["compact", str(whole.results)]) == 0
    assert "an interrupted rewrite of the tables" in capsys.readouterr().out
    assert count_parts(whole.results) == 5
    assert check(whole.results).findings == ()
