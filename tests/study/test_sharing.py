"""What clients share is part of the plan, reaches the attack, and is said by the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
import torch

from gifd_ops.protocols import ClientProtocol
from study.bench import Bench
from study.job import Job
from study.ledger import Ledger
from study.options import read_unrehearsed
from study.plan import StudyPlan, control_phase
from study.rehearsal import rehearse
from study.sharing import PLAIN
from study.trial import run_block
from tests.study.conftest import SMALL

PUBLISHED = Job(phase="search", trial=0, attempt=1, origin="published", params={})
FEDAVG = ["--sharing", "fedavg", "--local-steps", "2", "--local-lr", "0.01"]
TWO = ["--batch-size", "2", "--targets-per-domain", "2", "--test-targets-per-domain", "2"]


def plan_of(tmp_path: Path, *arguments: str, space: str = "ood") -> StudyPlan:
    return read_unrehearsed(["--space", space, *SMALL, *arguments, "--results", str(tmp_path / "none")]).plan


def bench_of(tmp_path: Path, *arguments: str) -> Bench:
    return Bench(plan_of(tmp_path, *arguments), pictures_folder=None)


def read(ledger: Ledger, table: str) -> pd.DataFrame:
    return pd.read_parquet(ledger.results / table)


def test_without_options_everything_is_shared_as_ever(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert plan.sharing == PLAIN
    assert plan.configure({}, origin="published").answer is None
    assert Bench(plan, pictures_folder=None).observation("search", 0).batch_size is None


def test_a_plan_from_before_is_continued_and_one_that_shares_otherwise_is_not(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    values = plan.to_dict()
    del values["sharing"]
    (tmp_path / "plan.json").write_text(json.dumps(values))
    plan.check_continues(tmp_path)
    assert StudyPlan.from_json(json.dumps({k: v for k, v in values.items() if k != "steered_domains"})) == plan
    with pytest.raises(ValueError, match=r"sharing.defense: none there, noise=1r here"):
        plan_of(tmp_path, "--defense", "noise=1r").check_continues(tmp_path)


def test_what_is_shared_is_hashed_and_comes_back_from_json(tmp_path: Path) -> None:
    options = (["--defense", "dp=1,0.1"], [*TWO, *FEDAVG], ["--victim-state", "epochs=1"], ["--victim-mode", "train"])
    plans = [plan_of(tmp_path), *(plan_of(tmp_path, *more) for more in options)]
    assert len({plan.digest for plan in plans}) == len(plans)
    assert [StudyPlan.from_json(plan.to_json()) for plan in plans] == plans
    assert json.loads(json.dumps(asdict(plans[2])))["sharing"]["protocol"]["local_steps"] == 2


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--defense", "noise=1r"], "knows"),
        (["--defense", "noise=1r", "--answer", "estimates"], "estimates"),
        (["--defense", "noise=1r", "--answer", "ignores"], None),
        (["--defense", "noise=1r", "--compat", "reference"], "repeats"),
        ([], None),
    ],
)
def test_the_answer_reaches_the_recipe_and_every_config(
    arguments: list[str], answer: str | None, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, *arguments)
    point = plan.search_space.point({}, plan.task_info.generator_shape, budget=plan.budget)
    for config in (plan.configure({}, origin="published"), plan.configure(point, origin="search")):
        assert (None if config.answer is None else config.answer.how) == answer
        assert config.answer is None or config.answer.strength == 1


def test_a_defense_draws_from_the_target_alone(tmp_path: Path) -> None:
    first, again = (bench_of(tmp_path, "--defense", "noise=1r").observation("search", 0) for _ in range(2))
    plain = bench_of(tmp_path).observation("search", 0)
    for one, two, without in zip(first.gradients, again.gradients, plain.gradients, strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, without)


def test_a_controls_noise_hides_what_a_defense_took_from_the_image(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, "--defense", "sparsification=90")
    shared = bench.observation("test", 0).gradients
    noise = bench.observation(control_phase("noise_gradient"), 0).gradients
    for one, other in zip(shared, noise, strict=True):
        torch.testing.assert_close(one.flatten(1).norm(dim=1), other.flatten(1).norm(dim=1))
        assert (other != 0).all()


def test_the_ledger_says_what_was_shared(tmp_path: Path, ledger: Ledger) -> None:
    plan = plan_of(tmp_path, "--defense", "sparsification=90", "--answer", "estimates", *FEDAVG)
    run_block(Bench(plan, pictures_folder=None), PUBLISHED, 0, ledger)
    rows = read(ledger, "reconstructions")
    assert set(rows.defense) == {"sparsification=90"}
    assert set(rows.answer) == {"estimates"}
    assert set(rows.sharing) == {"fedavg"}
    assert set(rows.batch_size) == {1}
    assert rows[["batch_id", "victim_accuracy"]].isna().all(axis=None)
    assert set(rows.outcome) == {"ok"}


def test_every_image_of_a_batch_has_rows_of_its_own(tmp_path: Path, ledger: Ledger) -> None:
    plan = plan_of(tmp_path, *TWO, "--gallery", "5")
    bench = Bench(plan, pictures_folder=None)
    assert plan.num_blocks("search") == 1
    assert bench.observation("search", 0).batch_size == 2
    run_block(bench, PUBLISHED, 0, ledger)
    rows, stages, images = (read(ledger, table) for table in ("reconstructions", "stages", "images"))
    assert rows.target_id.is_unique
    assert len(rows) == 4
    assert list(rows.target_id) == list(images.target_id)
    assert stages.groupby("target_id").size().eq(4).all()
    batches = rows.groupby("batch_id")
    assert batches.size().eq(2).all()
    shared = ["domain", "seed", "matching_loss", "gradient_evaluations", "chosen_stage"]
    assert batches[shared].nunique().eq(1).all(axis=None), "what a batch has in common is said of each image"
    assert set(rows.gradient_evaluations) == {plan.budget}
    assert batches.target_id.first().eq(batches.target_id.first().index).all()
    assert sorted(rows.label) == sorted(rows.label_inferred)
    assert rows.psnr_db.nunique() == 4
    assert rows.gallery_size.eq(5).all()


def test_reconstructions_take_the_places_of_the_images_they_are_nearest_to(tmp_path: Path, ledger: Ledger) -> None:
    from gifd_ops.attack import run_attack
    from gifd_ops.metrics import psnr_db
    from study.bench import truth_of

    bench = bench_of(tmp_path, *TWO)
    run_block(bench, PUBLISHED, 0, ledger)
    kept = read(ledger, "reconstructions").groupby("batch_id", sort=False).mse.sum()
    config, seeds = bench.plan.configure({}, origin="published"), bench.seeds("search", 0)
    result = run_attack(
        bench.observation("search", 0), bench.generator("search"), bench.victim("search", 0), config, seeds=seeds
    )
    truth = truth_of(bench.blocks("search")[0]).unflatten(0, (-1, 2))
    either = [
        10 ** (-psnr_db(images.flatten(0, 1), truth.flatten(0, 1)) / 10) for images in _orders(result.best.images)
    ]
    best = torch.stack([errors.view(-1, 2).sum(dim=1) for errors in either]).min(dim=0).values
    assert kept.tolist() == pytest.approx(best.tolist(), rel=1e-3)


def _orders(images: torch.Tensor) -> list[torch.Tensor]:
    return [images, images.flip(1)]


def test_a_trained_victim_says_how_well_it_classifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gifd_ops.training.IMAGES_PER_EPOCH", 100)
    trained, untrained = bench_of(tmp_path, "--victim-state", "epochs=1"), bench_of(tmp_path)
    first, other = trained.victim("search", 0), untrained.victim("search", 0)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
    accuracy = trained.victim_accuracy("search", 0)
    assert accuracy is not None
    assert 0 <= accuracy <= 1
    assert untrained.victim_accuracy("search", 0) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--defense", "noise=-1"], r"noise needs its std >= 0, got -1"),
        (["--defense", "soteria=101"], r"soteria takes a percentage from 0 to 100, got 101"),
        (["--defense", "nose=1"], r"did you mean noise"),
        (["--answer", "knows"], r"--answer knows needs a defense"),
        (["--defense", "noise=1", "--answer", "guesses"], r"no answer 'guesses'; choose from knows, estimates"),
        (["--defense", "dp=1,1", *FEDAVG], r"--defense dp=1,1 is one private release.*use --sharing gradient"),
        (["--local-steps", "2"], r"--local-steps 2 is of clients that train.*give --sharing fedavg"),
        (["--local-lr", "0.1"], r"--local-lr 0.1 is of clients that train"),
        (["--sharing", "fedavg"], r"--sharing fedavg needs a --local-lr above 0.*got None"),
        (["--sharing", "fedavg", "--local-lr", "-1"], r"--local-lr above 0.*got -1"),
        ([*FEDAVG, "--local-steps", "0"], r"--local-steps must be 1 or more, got 0"),
        ([*FEDAVG, "--local-batch-size", "2"], r"local_batch_size must be at most the client's 1 images, got 2"),
        (["--sharing", "weights"], r"no way of sharing 'weights'; choose from gradient, fedavg"),
        (["--batch-size", "33"], r"--batch-size must be 1 to 32, got 33"),
        (["--batch-size", "2"], r"whole batches of --batch-size 2, got 1; give --targets-per-domain 2"),
        ([*TWO, "--racing", "on"], r"--racing on takes images for independent"),
        (["--victim-mode", "both"], r"no victim mode 'both'; choose from eval, train"),
        (["--victim-state", "epochs=0"], r"1 to 1000 epochs, got 0; 0 is untrained"),
        (["--victim-state", "no.file"], r"untrained, epochs=K or a safetensors file"),
    ],
)
def test_contradictions_are_refused_with_rule_value_and_remedy(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_of(tmp_path, *arguments)


def test_what_only_a_victim_can_tell_is_rehearsed(tmp_path: Path) -> None:
    one_value = plan_of(tmp_path, "--victim", "resnet18_imagenet", "--victim-mode", "train")
    with pytest.raises(ValueError, match="more than one value per channel"):
        rehearse(one_value, inputs=None)
    rehearse(plan_of(tmp_path, *TWO, *FEDAVG, "--defense", "soteria=50"), inputs=None)


def test_a_fedavg_client_of_one_step_shares_the_gradient(tmp_path: Path) -> None:
    stepped = bench_of(tmp_path, "--sharing", "fedavg", "--local-lr", "0.5").observation("search", 0)
    assert stepped.protocol == ClientProtocol(kind="fedavg", local_lr=0.5)
    for one, other in zip(stepped.gradients, bench_of(tmp_path).observation("search", 0).gradients, strict=True):
        torch.testing.assert_close(one, other)
