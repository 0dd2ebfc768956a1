from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from synthetic_ledger import Ledger, Params, write_ledger

from analysis.findings import findings, header, main
from analysis.load import load_results

Write = Callable[[Ledger], Path]


def two_better(params: Params, domain: str) -> float:
    return 2.0


def test_a_planted_gain_is_found_within_its_interval(write: Write) -> None:
    first = findings(load_results(write(Ledger(effect=two_better))))[0]
    assert first.text.startswith("Tuned settings beat the published recipe by ")
    assert " on out-of-distribution images, and by " in first.text
    assert first.text.endswith(" on photos.")
    assert first.estimate is not None
    assert first.estimate.low is not None
    assert first.estimate.high is not None
    assert first.estimate.low < 2.0 < first.estimate.high
    assert first.estimate.num_targets == 24


def test_no_gain_cannot_be_told_apart(write: Write) -> None:
    first, second, third = findings(load_results(write(Ledger(noise_db=0.5, seed=1))))
    assert "cannot be told apart from the published recipe" in first.text
    assert "told apart from no effect" in second.text
    assert third.text.endswith("against choosing with the private images: cannot be told apart.")


def test_one_choice_by_both_criteria_gives_nothing_up(write: Write) -> None:
    results = load_results(write(Ledger(finalists={"published": 0, "oracle": 7, "observable": 7})))
    assert findings(results)[2].text.endswith("both chose trial 7: nothing given up.")


def test_the_published_recipe_as_choice_is_said(write: Write) -> None:
    results = load_results(write(Ledger(finalists={"published": 0, "oracle": 0, "observable": 0})))
    assert "nothing that beats the published recipe" in findings(results)[0].text


def test_a_users_own_pictures_are_named_so(write: Write) -> None:
    results = load_results(write(Ledger(effect=two_better, domains=("user",), steered=("user",))))
    assert findings(results)[0].text.endswith(" on your pictures.")
    assert "photos" not in findings(results)[0].text


def test_before_the_test_phase_nothing_is_claimed_about_new_images(write: Write) -> None:
    results = load_results(write(Ledger(finalists=None)))
    first, _, third = findings(results)
    assert "nothing can be said yet" in header(results)
    assert "cannot be said" in first.text
    assert "cannot be said" in third.text


def test_the_command_prints_a_header_and_three_numbered_sentences(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write(Ledger()))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "On 32 images that the search never saw (8 per domain, fresh seeds):"
    assert [line[:4] for line in lines[1:]] == [" 1. ", " 2. ", " 3. "]


def test_pictures_that_steered_the_search_are_not_called_unseen(tmp_path: Path) -> None:
    path = write_ledger(tmp_path, Ledger())
    part = path / "reconstructions" / "part-0.parquet"
    table = pq.read_table(part, partitioning=None)
    targets = ["tune-art-0" if name == "test-art-0" else name for name in table["target_id"].to_pylist()]
    column = table.schema.get_field_index("target_id")
    pq.write_table(table.set_column(column, table.schema.field(column), [targets]), part)
    assert "steered the search as well" in header(load_results(path))


def test_an_unfinished_test_is_said(tmp_path: Path) -> None:
    path = write_ledger(tmp_path, Ledger(test_targets=3))
    plan = json.loads((path / "plan.json").read_text())
    (path / "plan.json").write_text(json.dumps(plan | {"test_targets_per_domain": 8}))
    assert "unfinished, 12 of 32" in header(load_results(path))
