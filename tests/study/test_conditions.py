"""What the plan holds fixed reaches the attack, and the ledger says it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image

from gifd_ops.perceptual_weights import BACKBONES
from gifd_ops.quirks import REFERENCE
from gifd_ops.tasks import VICTIM_LAYERS
from gifd_ops.victims import build_victim
from search_spaces.registry import METHODS
from study.bench import Bench
from study.conditions import CONTROLS
from study.job import Job, trial_row
from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan, control_phase
from study.trial import run_block
from tests.study.conftest import SMALL


def plan_of(tmp_path: Path, *arguments: str) -> StudyPlan:
    return read_options(["--space", "ood", *SMALL, *arguments, "--results", str(tmp_path / "none")]).plan


def read(ledger: Ledger, table: str) -> pd.DataFrame:
    return pd.read_parquet(ledger.results / table)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fills_the_same_ledger(method: str, tmp_path: Path, ledger: Ledger) -> None:
    plan = plan_of(tmp_path, "--method", method, "--gallery", "9")
    job = Job(phase="search", trial=0, attempt=1, origin="published", params={})
    ledger.write_trial("search", 0, trial_row(plan, job, outcome=None))
    run_block(Bench(plan, pictures_folder=None), job, 0, ledger)
    rows, stages = read(ledger, "reconstructions"), read(ledger, "stages")
    assert set(rows.method) == {method}
    assert set(rows.control) == {"none"}
    assert set(rows.gradient_evaluations) == {24}
    assert set(rows.outcome) == {"ok"}
    assert set(rows.gallery_size) == {9}
    assert rows[["rank_psnr_db", "rank_ssim"]].stack().between(1, 9).all()
    assert stages.groupby("target_id").size().nunique() == 1
    assert (stages.layer.isna() == stages.kind.isin(["weights", "pixels"])).all()
    assert plan == StudyPlan.from_json(plan.to_json())


def test_controls_run_on_the_same_targets_and_are_told_apart(tmp_path: Path, ledger: Ledger) -> None:
    plan = plan_of(tmp_path, "--gallery", "0")
    bench = Bench(plan, pictures_folder=None)
    phases = {"none": "test"} | {name: control_phase(name) for name in CONTROLS if name != "none"}
    for phase in phases.values():
        run_block(bench, Job(phase=phase, trial=0, attempt=1, origin="published", params={}), 0, ledger)
    rows = read(ledger, "reconstructions").set_index(["control", "target_id"])
    assert set(rows.index.get_level_values("control")) == set(CONTROLS)
    assert rows.groupby("control").size().nunique() == 1
    assert set(rows.split) == {"test"}
    assert rows[["seed", "label"]].groupby("target_id").nunique().eq(1).all(axis=None)
    assert rows.psnr_db.groupby("target_id").nunique().eq(len(CONTROLS)).all()
    assert rows.rank_psnr_db.isna().all()
    mean = rows.psnr_db.groupby("control").mean()
    assert mean["none"] == mean.max()


def test_a_study_can_be_a_control_itself(tmp_path: Path, ledger: Ledger) -> None:
    whole = plan_of(tmp_path, "--control", "noise_gradient")
    plain = plan_of(tmp_path)
    noise = Bench(whole, pictures_folder=None).observation("search", 0)
    same = Bench(plain, pictures_folder=None).observation(control_phase("noise_gradient"), 0)
    assert whole.control_of("test") == "noise_gradient"
    assert not torch.equal(noise.gradients[0], same.gradients[0])  # other targets, but both noise
    job = Job(phase="search", trial=0, attempt=1, origin="published", params={})
    assert trial_row(whole, job, outcome=None)["control"] == "noise_gradient"
    assert whole.digest != plain.digest


def test_given_labels_are_those_the_attack_uses(tmp_path: Path) -> None:
    given = Bench(plan_of(tmp_path, "--labels", "given"), pictures_folder=None)
    observation = given.observation("search", 0)
    assert observation.labels is not None
    assert observation.labels.tolist() == [target.label for target in given.blocks("search")[0]]
    assert Bench(plan_of(tmp_path), pictures_folder=None).observation("search", 0).labels is None


def test_quirks_reach_every_config_and_are_columns(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "--compat", "reference", "--quirk", "rgb_skip=carry")
    for origin, params in (("published", {}), ("search", plan_params(plan))):
        config = plan.configure(params, origin=origin)
        assert config.quirks.rgb_skip == "carry"
        assert config.quirks.restart_select == REFERENCE.restart_select
        row = trial_row(plan, Job(phase="search", trial=1, attempt=1, origin=origin, params=params), outcome=None)
        assert (row["rgb_skip"], row["share_restart_noises"]) == ("carry", "true")
        assert json.loads(row["config"])["quirks"]["first_step"] == "zero"


def plan_params(plan: StudyPlan) -> dict[str, float]:
    return plan.search_space.point({}, plan.task_info.generator_shape, budget=plan.budget)


@pytest.fixture
def alexnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights in the file that torchvision publishes, where torch keeps such files, hash included."""
    features = {k: v for k, v in torchvision.models.alexnet(weights=None).state_dict().items() if k.startswith("feat")}
    path = tmp_path / "torch" / "hub" / "checkpoints" / BACKBONES["alex"].file
    path.parent.mkdir(parents=True)
    torch.save(features, path)
    prefix = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setitem(BACKBONES, "alex", replace(BACKBONES["alex"], sha256_prefix=prefix))
    return path


def test_lpips_is_measured_where_its_weights_are_and_the_authors_ranges_where_asked_for(
    alexnet: Path, tmp_path: Path, ledger: Ledger
) -> None:
    plan = plan_of(tmp_path, "--authors-ranges", "--gallery", "5", "--metric", "lpips")
    bench = Bench(plan, pictures_folder=None)
    run_block(bench, Job(phase="search", trial=0, attempt=1, origin="published", params={}), 0, ledger)
    rows = read(ledger, "reconstructions")
    measured = ["lpips", "ssim_authors", "lpips_authors"]
    assert rows[measured].gt(0).all(axis=None)
    assert (rows.lpips_authors - rows.lpips).abs().min() > 1e-6
    assert rows.rank_lpips.between(1, 5).all()
    assert rows[["lpips_vgg", "lpips_vgg_authors"]].isna().all(axis=None)
    assert read(ledger, "stages").lpips.isna().all()


def test_an_altered_network_is_refused_before_anything_starts(alexnet: Path, tmp_path: Path) -> None:
    alexnet.write_bytes(alexnet.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"is not the published alexnet.*cut short or altered"):
        plan_of(tmp_path)


@pytest.mark.parametrize("name", VICTIM_LAYERS)
def test_the_table_of_layers_is_true(name: str) -> None:
    victim = build_victim(name, seed=0, num_classes=10, size_px=32, pixel_mean=0.5, pixel_std=0.25)
    layers = [module for module in victim.modules() if next(module.parameters(recurse=False), None) is not None]
    assert len(layers) == VICTIM_LAYERS[name]


def test_matched_layers_reach_the_config(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "--match-layers", "0:2")
    assert plan.configure({}, origin="published").matched_layers == (0, 2)
    assert StudyPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "gidf"], r"no method 'gidf'.*did you mean 'gifd'"),
        (["--control", "noise"], r"no control 'noise'; choose from none, noise_gradient"),
        (["--controls", "noise"], r"no control 'noise'.*or all, or none"),
        (["--control", "other_image", "--controls", "all"], r"--control other_image makes the whole study a control"),
        (["--labels", "known"], r"no way of labels 'known'"),
        (["--compat", "theirs"], r"no compatibility 'theirs'; choose from mended, reference"),
        (["--quirk", "rgb_skip"], r"--quirk takes NAME=VALUE, got 'rgb_skip'"),
        (["--quirk", "rgb_skip=maybe"], r"quirk rgb_skip must be carry or drop, got 'maybe'"),
        (["--quirk", "skip=drop"], r"no quirk 'skip'; choose from restart_select"),
        (["--match-layers", "2:2"], r"--match-layers takes FIRST:END with 0 <= FIRST < END <= 4.*got '2:2'"),
        (["--match-layers", "0:5"], r"END <= 4, the victim's layers with parameters, got '0:5'"),
        (["--gallery", "-1"], r"--gallery must be 0 to 10000, got -1"),
        (["--metric", "lpips"], r"--metric lpips needs the weights of its network.*alexnet-owt-7be5be79.pth"),
        (["--budget", "7"], r"4 stages and needs a budget >= 8, got 7"),
        (["--method", "gias", "--budget", "3"], r"GIAS has two stages and needs a budget >= 4, got 3"),
        (["--method", "ggl", "--budget", "4"], r"GGL needs a budget >= 5, got 4"),
    ],
)
def test_bad_input_is_refused_with_rule_value_and_remedy(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        plan_of(tmp_path, *arguments)


@pytest.mark.parametrize("reached", ["other_image", "gallery"])
def test_a_persons_own_pictures_have_others_among_themselves(tmp_path: Path, reached: str) -> None:
    folder = tmp_path / "pictures"
    for index in range(8):
        path = folder / ("ab"[index % 2]) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (30 * index, 10, 200)).save(path)
    arguments = ["--space", "ood", "--images", str(folder), "--budget", "24", "--results", str(tmp_path / "none")]
    plan = read_options(arguments).plan
    bench = Bench(plan, pictures_folder=folder)
    targets = bench.blocks("search")[0]
    if reached == "gallery":
        gallery = bench.gallery_of(targets[0])
        assert gallery.shape == (7, 3, 32, 32)
        assert not any(torch.equal(image, targets[0].image) for image in gallery)
        return
    others = bench._others(targets)
    assert len(others) == len(targets)
    for target, other in zip(targets, others, strict=True):
        assert not torch.equal(target.image, other)
        assert round(float(other[0, 0, 0]) * 255 / 30) % 2 == target.label
