from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest

from analysis.improvement import paired_improvement
from analysis.load import Results, load_results
from analysis.stats import mean_intervals
from benchmarks.planted_ledger import main, write_ledger
from benchmarks.planted_rows import DOMAINS, Ledger
from benchmarks.planted_truth import Truth
from study.ledger import Ledger as StudyLedger
from study.schema import TABLES

PLANTED = Ledger(trials=40, targets_per_domain=8, stages=4, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("planted")
    write_ledger(path, PLANTED)
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return load_results(folder)


@pytest.fixture(scope="module")
def truth(folder: Path) -> Mapping[str, Any]:
    known: dict[str, Any] = json.loads((folder / "truth.json").read_text())
    return known


def test_tables_are_those_of_a_study(folder: Path) -> None:
    for name in ("trials", "reconstructions", "stages", "targets"):
        rows = ds.dataset(folder / name, schema=TABLES[name], format="parquet").to_table()
        assert rows.num_rows > 0
        for field in TABLES[name]:
            assert field.nullable or rows[field.name].null_count == 0, f"{name}.{field.name}"


def test_a_ledger_finds_every_trial_and_block(folder: Path) -> None:
    ledger = StudyLedger(folder)
    assert ledger.trial_numbers("search") == set(range(40))
    assert all(ledger.is_complete("search", trial, blocks=4) for trial in range(40))
    assert len(ledger.rows("search", 7, blocks=4)) == 8 * len(DOMAINS)


def test_scores_lie_around_what_is_said_to_be_true(results: Results, truth: Mapping[str, Any]) -> None:
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", "psnr_db"], "search")
    wide = paired_improvement(rows, metric=results.metric).pivot(
        index="trial", columns=["domain", "target_id"], values="improvement"
    )
    domains = wide.columns.get_level_values(0)
    inside = []
    for domain in DOMAINS:
        found = mean_intervals(wide.loc[:, domains == domain].to_numpy()[1:])
        true_gain = np.array(truth["improvement_db"][domain])[wide.index[1:]]
        inside.append((found.low <= true_gain) & (true_gain <= found.high))
    assert np.mean(inside) > 0.85  # trials of a domain share the recipe's noise


def test_the_kept_stage_is_the_last_and_carries_the_score(results: Results) -> None:
    read = ["phase", "trial", "target_id", "psnr_db"]
    rows = results.reconstructions([*read, "chosen_stage"]).dropna()
    stages = ds.dataset(results.path / "stages").to_table(columns=[*read, "stage", "layer"]).to_pandas()
    last = stages.loc[stages.groupby(read[:3])["stage"].idxmax()]
    both = rows.merge(last, on=read[:3])
    assert len(both) == len(rows)
    assert (both["chosen_stage"] == both["stage"]).all()
    assert np.allclose(both["psnr_db_x"], both["psnr_db_y"])
    ends = results.parameters()["end_layer"]
    searched = last[(last["phase"] == "search") & (last["trial"] > 0)].drop_duplicates("trial").set_index("trial")
    assert (searched["layer"] == ends[searched.index]).all()


def test_features_stay_inside_their_balls(results: Results) -> None:
    rows = ds.dataset(results.path / "stages").to_table(columns=["feature_radius", "feature_moved_l1"]).to_pandas()
    both = rows.dropna()
    assert (both["feature_moved_l1"] <= both["feature_radius"] * (1 + 1e-6)).all()
    assert 0.1 < (both["feature_moved_l1"] > 0.999 * both["feature_radius"]).mean() < 0.9


def test_conditional_parameters_are_there_with_balls_only(results: Results) -> None:
    parameters = results.parameters()
    assert 0 < parameters["feature_radius_last"].isna().sum() < len(parameters)
    assert (parameters["feature_radius_last"].notna() == (parameters["balls"] == 1)).all()


def test_the_search_closes_in_while_random_trials_do_not(results: Results) -> None:
    assert set(results.trials()["origin"]) == {"published", "random", "search"}
    truth = Truth(domains=DOMAINS, num_stages=4)
    values, is_random = truth.draw(np.random.default_rng(0), 2000, random_share=0.2)
    rate = np.log(values[:, [parameter.name for parameter in truth.parameters].index("lr_first")])
    late = np.arange(2000) > 1000
    assert rate[late & ~is_random].std() < 0.7 * rate[is_random].std()
    assert is_random[late].mean() == pytest.approx(0.2, abs=0.05)


def test_the_ablation_leads_from_the_recipe_to_the_choice_one_step_at_a_time(
    results: Results, truth: Mapping[str, Any]
) -> None:
    assert results.finalists is not None
    trials = results.trials()
    steps = trials[trials["phase"] == "ablation"].sort_values("trial")[list(truth["parameters"])]
    changed = (steps.diff().iloc[1:].fillna(0) != 0).sum(axis=1)
    assert (changed <= 1).all()
    chosen = results.parameters().loc[results.finalists["oracle"]]
    assert np.allclose(steps.iloc[-1][chosen.index], chosen, equal_nan=True)


def test_domains_that_are_far_apart_give_up_more(truth: Mapping[str, Any]) -> None:
    regret = truth["regret_db"]
    assert all(regret[domain][domain] == 0 for domain in DOMAINS)
    assert regret["photo"]["sketch"] > regret["art"]["cartoon"]


def test_without_effects_nothing_is_worth_anything(tmp_path: Path) -> None:
    known: Mapping[str, Any] = write_ledger(tmp_path, Ledger(trials=12, targets_per_domain=2, stages=3, null=True))
    assert {entry["kind"] for entry in known["parameters"].values()} == {"inert"}
    assert not np.any([known["improvement_db"][domain] for domain in DOMAINS])
    assert not np.any([known["path_db"][domain] for domain in DOMAINS])


def test_the_same_seed_writes_the_same_rows(folder: Path, tmp_path: Path) -> None:
    write_ledger(tmp_path, PLANTED)
    one, other = (load_results(path).reconstructions(["psnr_db"]) for path in (folder, tmp_path))
    assert one.equals(other)


@pytest.mark.parametrize(
    "arguments", [["--trials", "0"], ["--stages", "2"], ["--domains", "photo,photo"], ["--targets-per-domain", "0"]]
)
def test_what_cannot_be_planted_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main([str(tmp_path / "new"), *arguments])
    assert status.value.code == 2
    assert not (tmp_path / "new").exists()


def test_a_study_is_never_written_over(folder: Path) -> None:
    with pytest.raises(ValueError, match="holds a study already"):
        write_ledger(folder, PLANTED)
