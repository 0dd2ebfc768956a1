"""Bad input: one clear sentence with rule, value and remedy, exit code 2, nothing touched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gifd_ops.tasks import TASKS, Task
from study.launch import main
from study.ledger import Ledger
from study.options import check_checkpoint, read_options
from study.plan import StudyPlan


def refuse(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, expect exit code 2, and return the sentence."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("study: ")
    assert error.count("\n") == 1, "one sentence"
    return error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--space", "odd"], ["odd", "in_distribution, ood", "did you mean 'ood'"]),
        (["--space", "ood", "--task", "portrait"], ["portrait", "did you mean 'portraits'"]),
        (["--space", "ood", "--victim", "lennet"], ["lennet", "did you mean 'lenet'"]),
        (["--space", "ood", "--metric", "psnr"], ["psnr", "did you mean 'psnr_db'"]),
        (["--space", "ood", "--domains", "photo,skech"], ["skech", "did you mean 'sketch'"]),
        (["--space", "ood", "--set", "lr_frist=0.1"], ["lr_frist", "did you mean 'lr_first'"]),
        (["--space", "ood", "--set", "lr_first=7"], ["lr_first=7", "0.02 to 0.4"]),
        (["--space", "ood", "--set", "restarts=2.5"], ["restarts=2.5", "one of 1, 2"]),
        (["--space", "ood", "--set", "lr_first=fast"], ["'fast'", "number"]),
        (["--space", "ood", "--set", "lr_first=nan"], ["lr_first=nan", "0.02 to 0.4"]),
        (["--space", "ood", "--set", "lr_first"], ["NAME=VALUE"]),
        (["--space", "ood", "--trials", "0"], ["--trials", "1 or more", "got 0"]),
        (["--space", "ood", "--budget", "7"], ["budget", "8", "7"]),
        (["--space", "ood", "--targets-per-domain", "9999"], ["--targets-per-domain", "256", "9999"]),
        (["--space", "ood", "--max-concurrent", "0"], ["--max-concurrent"]),
        (["--space", "ood", "--seed", "-1"], ["--seed", "-1"]),
        (["--space", "ood", "--patience", "-1"], ["--patience", "0 or more", "-1"]),
        (["--space", "ood", "--configs-per-trial", "0"], ["--configs-per-trial", "1 to 64", "got 0"]),
        (["--space", "ood", "--configs-per-trial", "65"], ["--configs-per-trial", "1 to 64", "got 65"]),
        (["--space", "ood", "--configs-per-trial", "2", "--racing", "on"], ["--racing on", "--configs-per-trial 2"]),
        (["--space", "ood", "--configs-per-trial", "2", "--method", "ggl"], ["--configs-per-trial 2", "--method ggl"]),
        (["--space", "ood", "--configs-per-trial", "2", "--method", "gi"], ["--configs-per-trial 2", "--method gi"]),
        (["--space", "ood", "--images", "/no/such/folder"], ["/no/such/folder", "folder"]),
    ],
)
def test_a_bad_value_is_named_with_its_rule(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    error = refuse([*arguments, "--results", str(tmp_path / "results")], capsys)
    assert [word for word in words if word not in error] == []
    assert not (tmp_path / "results").exists()


def test_another_plan_is_refused_and_the_differing_fields_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    read_options(["--space", "ood", "--results", str(tmp_path / "none")]).plan.save(results)
    before = (results / "plan.json").read_bytes()
    error = refuse(["--space", "ood", "--seed", "7", "--victim", "convnet", "--results", str(results)], capsys)
    assert "seed: 0 there, 7 here" in error
    assert "victim: lenet there, convnet here" in error
    assert "budget" not in error
    assert [path.name for path in results.iterdir()] == ["plan.json"]
    assert (results / "plan.json").read_bytes() == before


def test_how_a_study_runs_is_not_part_of_its_plan(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    first = read_options(["--space", "ood", "--results", str(results)])
    first.plan.save(results)
    second = read_options(
        [
            "--space",
            "ood",
            "--trials",
            "99",
            "--max-concurrent",
            "1",
            "--results",
            str(results),
        ]
    )
    assert second.plan == first.plan


def test_a_folder_that_is_no_study_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    assert "no plan.json" in refuse(["--space", "ood", "--results", str(tmp_path)], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_file_is_no_results_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results"
    file.write_text("x")
    assert "is a file" in refuse(["--space", "ood", "--results", str(file)], capsys)


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pics"
    folder.mkdir()
    assert "no pictures" in refuse(["--space", "ood", "--images", str(folder)], capsys)
    Image.new("RGB", (40, 40), "red").save(folder / "good.png")
    (folder / "holiday.heic").write_bytes(b"not a picture")
    error = refuse(["--space", "ood", "--images", str(folder)], capsys)
    assert "holiday.heic" in error
    assert "PNG" in error
    (folder / "holiday.heic").unlink()
    error = refuse(["--space", "ood", "--images", str(folder), "--domains", "photo"], capsys)
    assert "--domains" in error


def test_an_altered_checkpoint_is_refused(tmp_path: Path) -> None:
    task: Task = TASKS["portraits"]
    copy = tmp_path / task.checkpoint.name
    data = bytearray(task.checkpoint.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    copy.with_suffix(".json").write_text(task.checkpoint.with_suffix(".json").read_text())
    with pytest.raises(ValueError, match=r"sha256 should be [0-9a-f]{64}, got [0-9a-f]{64}; restore"):
        check_checkpoint(replace(task, checkpoint=copy))


def test_pictures_are_split_into_disjoint_sets_unless_there_are_too_few(plan: StudyPlan) -> None:
    many = replace(plan, pictures=tuple(map(str, range(20))), domains=("user",), targets_per_domain=4)
    many = replace(many, test_targets_per_domain=8)
    assert not many.reuses_pictures
    assert (len(many.picture_split("tune")), len(many.picture_split("test"))) == (4, 8)
    assert not set(many.picture_split("tune")) & set(many.picture_split("test"))
    few = replace(many, pictures=tuple(map(str, range(5))))
    assert few.reuses_pictures
    assert few.picture_split("tune") == few.picture_split("test") == few.pictures


def test_a_plan_survives_json(plan: StudyPlan) -> None:
    full = replace(plan, fixed=(("restarts", 2.0),), pictures=("a", "b"))
    assert StudyPlan.from_json(full.to_json()) == full
    assert StudyPlan.from_json(full.to_json()).digest == full.digest != plan.digest


def test_dry_run_prints_the_plan_and_three_configs_and_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    assert main(["--space", "ood", "--dry-run", "--set", "restarts=2", "--results", str(results)]) == 0
    printed = capsys.readouterr().out
    for words in ("published recipe:", "sample 1:", "sample 3:", "tv_weight", "2 (set)", "32 trials"):
        assert words in printed
    assert not results.exists()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for group in ("what to attack", "what to search", "how long", "where", "results", "examples"):
        assert group in printed


def test_steering_leaves_out_the_generators_own_domain_unless_it_is_alone(tmp_path: Path) -> None:
    def steered(*arguments: str) -> tuple[str, ...]:
        return read_options([*arguments, "--results", str(tmp_path / "none")]).plan.steered_domains

    assert steered("--space", "ood") == ("art", "cartoon", "sketch")
    assert steered("--space", "ood", "--domains", "photo") == ("photo",)
    assert steered("--space", "in_distribution") == ("photo",)


def test_the_saved_plan_names_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "secret-holiday"
    folder.mkdir()
    Image.new("RGB", (40, 40), "red").save(folder / "beach.png")
    plan = read_options(["--space", "ood", "--images", str(folder), "--results", str(tmp_path / "r")]).plan
    plan.save(tmp_path)
    text = (tmp_path / "plan.json").read_text()
    assert "secret" not in text
    assert "beach" not in text
    assert json.loads(text)["domains"] == ["user"]


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nothing_answers_is_refused_at_once(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refuse(["--space", "ood", "--address", address, "--results", str(tmp_path / "results")], capsys)
    assert address in error
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("method", [["gifd"], ["latent"], ["ig"], ["gi", "--set", "restarts=1"]], ids=" ".join)
def test_methods_whose_configs_can_be_fused_may_be(method: list[str], tmp_path: Path) -> None:
    arguments = ["--space", "ood", "--configs-per-trial", "8", "--method", *method]
    assert read_options([*arguments, "--results", str(tmp_path / "none")]).plan.configs_per_trial == 8


def test_what_a_study_killed_in_its_first_second_leaves_can_be_continued(tmp_path: Path) -> None:
    results = tmp_path / "results"
    Ledger(results).create()
    (results / ".lock").touch()
    assert read_options(["--space", "ood", "--results", str(results)]).results == results


def test_a_plan_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.json").write_text("[]")
    assert "plan.json cannot be read" in refuse(["--space", "ood", "--results", str(tmp_path)], capsys)


def test_pictures_of_more_than_eight_bits_are_refused_and_not_bleached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("I;16", (40, 40), 30000).save(tmp_path / "deep.png")
    error = refuse(["--space", "ood", "--images", str(tmp_path), "--results", str(tmp_path / "r")], capsys)
    assert "deep.png" in error
    assert "8-bit" in error
