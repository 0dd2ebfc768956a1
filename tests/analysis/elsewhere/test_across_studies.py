from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from synthetic_ledger import Ledger, write_ledger

from analysis.elsewhere.across_studies import compare_studies
from analysis.elsewhere.shared_settings import shared_trials
from analysis.generalization import main
from analysis.load import Results, load_results
from analysis.stats import mean_interval

CIRCUMSTANCES = {"task": "portraits", "victim": "lenet", "budget": 120, "seed": 0, "space": "ood", "labels": "inferred"}


def study(path: Path, ledger: Ledger, **plan: object) -> Results:
    write_ledger(path, ledger)
    file = path / "plan.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | CIRCUMSTANCES | plan))
    return load_results(path)


def likes_warmup(params: Mapping[str, float], domain: str) -> float:
    return 10 * params["warmup"]


def dislikes_warmup(params: Mapping[str, float], domain: str) -> float:
    return -10 * params["warmup"]


def ood_gains_two(params: Mapping[str, float], domain: str) -> float:
    return 2.0 if domain != "photo" else 0.0


def test_choices_are_compared_target_by_target_with_holm_over_domains(tmp_path: Path) -> None:
    ood = study(tmp_path / "ood", Ledger(effect=ood_gains_two))
    inside = study(tmp_path / "inside", Ledger(), space="in_distribution")
    table = compare_studies([ood, inside], seed=0).table.set_index("domain")
    rows = [r.reconstructions(["trial", "domain", "target_id", "psnr_db"], "test") for r in (ood, inside)]
    mine, other = (
        r[(r["trial"] == 7) & (r["domain"] == "art")].set_index("target_id")["psnr_db"].sort_index() for r in rows
    )
    expected = mean_interval(mine - other)
    assert table.loc["art", ["mean", "low", "high"]].tolist() == pytest.approx(
        [expected.mean, expected.low, expected.high]
    )
    assert (table.loc[["art", "cartoon", "sketch", "all"], "p_holm"] < 0.05).all()
    assert table.loc["photo", "mean"] == pytest.approx(0, abs=1e-9)
    assert table.loc["all", "num_targets"] == 32
    assert "space: ood / in_distribution" in table.loc["all", "differs"]


@pytest.mark.parametrize(("name", "value"), [("budget", 240), ("metric", "ssim"), ("seed", 1)])
def test_studies_that_cannot_be_compared_are_refused_by_the_name_of_what_differs(
    tmp_path: Path, name: str, value: object
) -> None:
    one, other = study(tmp_path / "a", Ledger()), study(tmp_path / "b", Ledger(), **{name: value})
    with pytest.raises(ValueError, match=f"but {name} is .* run them with equal options"):
        compare_studies([one, other], seed=0)


def test_settings_of_another_victim_lose_what_this_victim_does_not_want(tmp_path: Path) -> None:
    one = study(tmp_path / "a", Ledger(effect=likes_warmup))
    other = study(tmp_path / "b", Ledger(effect=dislikes_warmup), victim="convnet")
    across = compare_studies([one, other], seed=0)
    table = across.table.set_index(["settings_from", "quantity", "domain"])
    warmups = one.parameters()["warmup"]
    expected = 10 * (warmups.max() - warmups.min())  # which convnet pays for what lenet wants; the recipe has none
    regret = table.loc[("a", "regret", "all")]
    assert regret["low"] < expected + 0.5
    assert regret["mean"] == pytest.approx(10 * warmups.max(), abs=1)  # its own best: the recipe, or no warmup
    assert regret["low"] > 0
    assert table.loc[("a", "gain", "all"), "high"] < 0
    assert any("the same images" in note for note in across.notes)


def test_settings_that_both_victims_want_are_carried_at_no_loss(tmp_path: Path) -> None:
    one = study(tmp_path / "a", Ledger(effect=likes_warmup, noise_db=0.1))
    other = study(tmp_path / "b", Ledger(effect=likes_warmup, noise_db=0.1), victim="convnet")
    table = compare_studies([one, other], seed=0).table.set_index(["settings_from", "quantity", "domain"])
    assert table.loc[("a", "regret", "all"), "mean"] == pytest.approx(0, abs=0.3)
    assert table.loc[("a", "gain", "all"), "low"] > 1


def test_without_shared_settings_the_command_that_makes_some_is_named(tmp_path: Path) -> None:
    one = study(tmp_path / "a", Ledger(seed=0))
    other = study(tmp_path / "b", Ledger(seed=1), victim="convnet")
    with pytest.raises(ValueError, match=r"none of the settings .*--victim convnet .*--warm-start .*a --results"):
        compare_studies([one, other], seed=0)


def test_settings_are_shared_where_the_same_parameters_were_asked_with_the_same_values(tmp_path: Path) -> None:
    one, other = (study(tmp_path / str(num), Ledger(num_trials=num, finalists=None)) for num in (5, 9))
    pairs = shared_trials(one, other)
    assert pairs["tuned"].tolist() == pairs["valued"].tolist() == [1, 2, 3, 4]


def test_on_other_images_all_of_the_first_studys_targets_choose(tmp_path: Path) -> None:
    one = study(tmp_path / "a", Ledger(effect=likes_warmup, domains=("art", "photo"), steered=("art",)))
    other = study(
        tmp_path / "b", Ledger(effect=likes_warmup, domains=("cartoon", "sketch"), steered=("sketch",)), task="objects"
    )
    across = compare_studies([one, other], seed=0)
    assert not any("the same images" in note for note in across.notes)
    assert np.isfinite(across.table.query("quantity == 'regret'")["low"]).all()


def test_the_command_line_compares_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path / "ood", Ledger(effect=ood_gains_two))
    study(tmp_path / "inside", Ledger(), space="in_distribution")
    folders = [str(tmp_path / "ood"), str(tmp_path / "inside")]
    assert main([folders[0], "--studies", *folders]) == 0
    assert "ood minus inside on shared test images" in capsys.readouterr().out
    written = {file.name for file in (tmp_path / "ood" / "analysis").iterdir()}
    assert {f"generalization_studies.{ending}" for ending in ("csv", "png", "pdf", "md")} <= written
    assert main([folders[0], "--studies", folders[0]]) == 2
