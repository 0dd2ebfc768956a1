from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from synthetic_ledger import Ledger, Params

from analysis.load import load_results
from analysis.parameters.effects import effect_curve
from analysis.parameters.searched import searched_trials
from analysis.sensitivity import main, write_sensitivity

Write = Callable[[Ledger], Path]
SURROGATE = (
    *(f"sensitivity_surrogate.{ending}" for ending in ("png", "pdf", "md")),
    *(f"sensitivity_{name}.csv" for name in ("partial_dependence", "interactions", "tunability")),
)


def decay_matters(params: Params, domain: str) -> float:
    return 6 * params["lr_decay"]


def decay_matters_in_art(params: Params, domain: str) -> float:
    return 6 * params["lr_decay"] if domain == "art" else 0.0


def test_figure_and_the_numbers_drawn_are_kept(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(Ledger())
    assert main([str(folder)]) == 0
    assert "lr_layer_2" in capsys.readouterr().out
    results = load_results(folder)
    table = write_sensitivity(results)
    assert (folder / "analysis" / "sensitivity.png").stat().st_size > 10_000
    kept = pd.read_csv(folder / "analysis" / "sensitivity.csv")
    assert list(kept.columns)[:6] == ["parameter", "importance", "low", "high", "null_95", "num_trials"]
    pd.testing.assert_frame_equal(kept, table.drop(columns=["log", "choice"]), check_dtype=False)
    points = pd.read_csv(folder / "analysis" / "sensitivity_effects.csv").query("parameter == 'lr_decay'")
    trials = searched_trials(results)
    assert points["improvement"].tolist() == pytest.approx(trials.values().tolist())
    assert points["value"].tolist() == pytest.approx(trials.parameters["lr_decay"].tolist())
    caption = (folder / "analysis" / "sensitivity.md").read_text()
    assert "23 trials on 12 tuning targets (art 4, cartoon 4, sketch 4)" in caption
    assert "95 %" in caption


def test_every_domain_and_both_objectives_have_their_rows(write: Write) -> None:
    folder = write(Ledger(effect=decay_matters_in_art, num_trials=60))
    write_sensitivity(load_results(folder))
    by_domain = pd.read_csv(folder / "analysis" / "sensitivity_by_domain.csv").set_index(["domain", "parameter"])
    assert set(by_domain.index.get_level_values(0)) == {"art", "cartoon", "sketch", "photo"}
    art, photo = (by_domain.loc[(domain, "lr_decay")] for domain in ("art", "photo"))
    assert art["low"] > art["null_95"]
    assert photo["low"] < photo["null_95"]
    by_objective = pd.read_csv(folder / "analysis" / "sensitivity_by_objective.csv").set_index(
        ["objective", "parameter"]
    )
    assert set(by_objective.index.get_level_values(0)) == {"psnr_db", "matching_loss"}
    # the ledger's matching loss is the negative score: both objectives see the same
    same = by_objective["importance"].unstack("objective")
    assert same["psnr_db"].tolist() == pytest.approx(same["matching_loss"].tolist())


def test_a_surrogate_with_skill_draws_its_figure(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(Ledger(effect=decay_matters, num_trials=80))
    assert main([str(folder)]) == 0
    said = capsys.readouterr().out
    assert "loses R^2 without: lr_decay" in said
    assert all((folder / "analysis" / name).is_file() for name in SURROGATE)
    table = pd.read_csv(folder / "analysis" / "sensitivity.csv").set_index("parameter")
    assert table.loc["lr_decay", "permutation_p_holm"] < 0.01
    assert table["fanova"].idxmax() == "lr_decay"
    assert "nothing here was run" in (folder / "analysis" / "sensitivity_surrogate.md").read_text()


def test_without_skill_nothing_is_claimed_and_older_claims_go(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(Ledger(num_trials=40))
    (folder / "analysis").mkdir()
    for name in SURROGATE:
        (folder / "analysis" / name).write_text("an earlier claim")
    assert main([str(folder)]) == 0
    assert "no skill shown" in capsys.readouterr().out
    assert not any((folder / "analysis" / name).exists() for name in SURROGATE)
    assert pd.read_csv(folder / "analysis" / "sensitivity.csv")["permutation"].isna().all()
    assert len(pd.read_csv(folder / "analysis" / "sensitivity_skill.csv")) == 1


def test_a_search_of_one_domain_and_one_target_can_be_read(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(Ledger(domains=("art",), steered=("art",), tune_targets=1, num_trials=12, finalists=None))
    assert main([str(folder)]) == 0
    assert "a surrogate needs at least 20 searched trials" in capsys.readouterr().out


def test_nothing_to_say_says_why_and_what_to_do(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(Ledger(num_trials=1, finalists=None)))]) == 2
    error = capsys.readouterr().err
    assert "importance needs at least 6 searched trials" in error
    assert "--ablation" in error


def test_a_curve_bins_few_values_by_value_and_many_by_neighbours() -> None:
    few = pd.DataFrame({"value": [1.0, 1.0, 2.0, 2.0], "improvement": [0.0, 2.0, 5.0, 7.0]})
    curve = effect_curve(few, log=False)
    assert curve[["value", "improvement"]].values.tolist() == [[1.0, 1.0], [2.0, 6.0]]
    many = pd.DataFrame({"value": range(1, 25), "improvement": range(24)})
    assert effect_curve(many, log=True)["num_trials"].tolist() == [6, 6, 6, 6]
