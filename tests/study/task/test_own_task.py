"""The paper's tasks and a person's own, through the real command line, on small data."""

from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path

import pytest
import torch
from PIL import Image

from gifd_ops.stages import FeatureStage
from gifd_ops.targets import load_picture
from study.bench import Bench
from study.job import Job
from study.launch import main
from study.ledger import Ledger
from study.options import Launch, read_options
from study.plan import StudyPlan, control_phase
from study.task.inputs import NAME, Inputs
from study.task.inspection import answer
from study.task.published import CIFAR10_MEAN, IMAGENET_STD
from study.trial import run_block
from tests.study.task.conftest import SMALL, ffhq_arguments, imagenet_arguments

TASK = """\
size_px = 32
num_classes = 2
[generator]
architecture = "stylegan2"
checkpoint = "faces.safetensors"
trained_on = ["faces"]
[victim]
model = "own_victim:small"
[domains.faces]
folder = "ffhq-data/ffhq"
layout = "flat"
[domains.sketch]
folder = "ffhq-data/sketch"
[splits]
tune = 1
test = 1
[conditions]
budget = 24
gallery = 3
"""
VICTIM = """\
from torch import nn

def small(num_classes, size_px):
    side = size_px // 2
    first = nn.Conv2d(3, 4, 5, stride=2, padding=2)
    return nn.Sequential(first, nn.Sigmoid(), nn.Flatten(), nn.Linear(4 * side * side, num_classes))
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are opened in this process: the same code, without the seconds that another Python takes to begin."""
    monkeypatch.setattr("study.task.prepare.open_elsewhere", lambda asked: json.loads(json.dumps(answer(asked))))


@pytest.fixture(scope="module")
def ffhq(originals: Path) -> Launch:
    return read_options(ffhq_arguments(originals))


@pytest.fixture(scope="module")
def imagenet(originals: Path) -> Launch:
    return read_options(imagenet_arguments(originals))


@pytest.fixture
def own(originals: Path, tmp_path: Path, here: None) -> Path:
    """A folder with a task file, to be changed."""
    folder = tmp_path / "mine"
    shutil.copytree(originals, folder)
    (folder / "task.toml").write_text(TASK)
    (folder / "own_victim.py").write_text(VICTIM)
    return folder


def own_arguments(folder: Path, *more: str) -> list[str]:
    return ["--space", "ood", "--task", str(folder / "task.toml"), "--results", str(folder / "results"), *more]


def bench_of(launch: Launch, folder: Path) -> Bench:
    return Bench(launch.plan, pictures_folder=launch.place_inputs(folder).pictures_folder)


def test_the_faces_of_the_paper_are_attacked_as_published(ffhq: Launch) -> None:
    plan, task = ffhq.plan, ffhq.plan.task_info
    assert (task.size_px, task.num_classes, task.recipe) == (64, 10, "paper_stylegan2")
    assert (plan.domains, plan.steered_domains) == (("ffhq", "sketch"), ("sketch",))
    assert task.pixel_mean == CIFAR10_MEAN
    published = plan.configure({}, origin="published")
    assert published.restarts == 4
    stages = [stage for stage in published.stages if isinstance(stage, FeatureStage)]
    assert [stage.feature_radius and stage.feature_radius.value for stage in stages] == [None, 2000, 3000, 4000, 5000]


def test_the_objects_of_the_paper_are_attacked_as_published(imagenet: Launch, tmp_path: Path) -> None:
    plan, task = imagenet.plan, imagenet.plan.task_info
    assert (task.num_classes, task.recipe, task.pixel_std) == (1000, "paper_biggan", IMAGENET_STD)
    stages = [stage for stage in plan.configure({}, origin="published").stages if isinstance(stage, FeatureStage)]
    radii = [stage.feature_radius and stage.feature_radius.value for stage in stages]
    assert radii == [None, 2000, 2500, 3000, 3500, 4000]
    assert all(stage.latent_radius is None and stage.noise_radius is None for stage in stages)
    labels = {
        target.label for target in bench_of(imagenet, tmp_path).blocks("search")[0] if target.domain == "imagenet"
    }
    assert labels <= {7, 903}


@pytest.mark.parametrize("name", ["ffhq", "imagenet"])
def test_a_block_of_the_papers_settings_runs(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    launch: Launch = request.getfixturevalue(name)
    bench, ledger = bench_of(launch, tmp_path), Ledger(tmp_path / "results")
    ledger.create()
    for phase in ("search", "test", control_phase("other_image"), control_phase("untrained_generator")):
        job = Job(phase=phase, trial=0, attempt=1, origin="published", params={})
        run_block(bench, job, 0, ledger)
        rows = ledger.block_rows("reconstructions", phase, 0, blocks=1)
        assert [row["outcome"] for row in rows] == ["ok"] * 2
        assert [row["domain"] for row in rows] == list(launch.plan.domains)
        assert all(row["gallery_size"] == 3 for row in rows)


def test_pictures_are_those_of_the_folder_and_splits_share_none(ffhq: Launch, originals: Path, tmp_path: Path) -> None:
    bench = bench_of(ffhq, tmp_path)
    files = {path: load_picture(path, size_px=64) for path in (originals / "ffhq-data").rglob("*.[pj]*g")}
    found: dict[str, set[Path]] = {}
    for split in ("tune", "test", "select"):
        targets = bench._targets(split)
        assert len(targets) == 2
        for target in targets:
            (path,) = [path for path, image in files.items() if torch.equal(image, target.image)]
            found.setdefault(split, set()).add(path)
            if target.domain == "ffhq":
                assert target.label == int(12 + 11 * int(path.stem)) // 10
            else:
                assert target.label == ["dog", "person"].index(path.parent.name)
    assert len(set.union(*found.values())) == 6


def test_a_plan_with_a_task_is_read_back(ffhq: Launch) -> None:
    again = StudyPlan.from_json(ffhq.plan.to_json())
    assert again == ffhq.plan
    assert again.digest == ffhq.plan.digest
    assert again.task_info == ffhq.plan.task_info


def test_no_path_enters_the_plan_and_where_files_lie_is_the_owners(ffhq: Launch, tmp_path: Path) -> None:
    assert "/" not in ffhq.plan.to_json()
    assert ffhq.inputs is not None
    path = ffhq.inputs.save(tmp_path)
    assert path.name == NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Inputs.read(path) == ffhq.inputs


def test_the_same_files_elsewhere_make_the_same_plan(ffhq: Launch, originals: Path, tmp_path: Path, here: None) -> None:
    shutil.copytree(originals, tmp_path / "copy")
    elsewhere = read_options(ffhq_arguments(tmp_path / "copy"))
    assert elsewhere.plan == ffhq.plan
    assert elsewhere.inputs != ffhq.inputs


def test_a_study_of_another_file_is_refused(own: Path) -> None:
    plan = read_options(own_arguments(own)).plan
    (own / "results").mkdir()
    plan.save(own / "results")
    assert read_options(own_arguments(own)).plan == plan
    (own / "task.toml").write_text(TASK.replace("size_px = 32", "size_px = 16"))
    with pytest.raises(ValueError, match=r"holds another plan .*own_task.size_px: 32 there, 16 here"):
        read_options(own_arguments(own))


@pytest.mark.parametrize("changed", ["picture", "victim"])
def test_changed_content_is_another_study(changed: str, own: Path) -> None:
    before = read_options(own_arguments(own)).plan
    if changed == "picture":
        for path in (own / "ffhq-data" / "ffhq").glob("*.png"):
            Image.new("RGB", (80, 80), (int(path.stem), 3, 4)).save(path)
    else:
        (own / "own_victim.py").write_text(VICTIM + "# changed\n")
    assert read_options(own_arguments(own)).plan.digest != before.digest


@pytest.mark.parametrize("changed", ["checkpoint", "picture", "gone"])
def test_a_worker_refuses_files_that_changed_under_it(changed: str, own: Path, tmp_path: Path) -> None:
    launch = read_options(own_arguments(own))
    bench = bench_of(launch, tmp_path)
    if changed == "checkpoint":
        path = own / "faces.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(ValueError, match="has changed since the study began: its sha256 was"):
            bench.generator("search")
        return
    for path in (own / "ffhq-data").rglob("*.[pj]*g"):
        path.unlink() if changed == "gone" else Image.new("RGB", (80, 80)).save(path)
    with pytest.raises(ValueError, match="is no longer there" if changed == "gone" else "has changed since the study"):
        bench.blocks("search")


def test_a_victim_of_ones_own_is_built_from_its_seed(own: Path, tmp_path: Path) -> None:
    launch = read_options(own_arguments(own, "--match-layers", "0:1"))
    assert launch.plan.victim == "own_victim:small"
    bench = bench_of(launch, tmp_path)
    first, again, other = bench.victim("search", 0), bench._build_victim("tune", 0), bench.victim("search", 1)
    weights = [next(victim.parameters()) for victim in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_conditions_of_the_file_are_defaults_that_options_override(own: Path) -> None:
    plan = read_options(own_arguments(own)).plan
    assert (plan.budget, plan.gallery, plan.targets_per_domain) == (24, 3, 1)
    assert read_options(own_arguments(own, "--budget", "30")).plan.budget == 30


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tune = 1", "tune = 9", r"the domain faces has 6 pictures, and this study needs 19 \(tune, test and select"),
        ("size_px = 32", "size_px = 24", "images of 64 px can be pooled to a divisor of 64 only, got 24"),
        ('"faces.safetensors"', '"none.safetensors"', "a checkpoint is a file"),
        ("own_victim:small", "own_victim:tiny", "needs a function tiny in own_victim; there is none"),
        ("own_victim:small", "no_victim:small", r"cannot be imported \(ModuleNotFoundError"),
        ("own_victim:small", "resnet", "a victim is one of lenet"),
        ('layout = "flat"', 'layout = "ffhq"', "has label [0-9], and the victim has the classes 0 to 1"),
        ("ffhq-data/sketch", "ffhq-data/sketch/dog", "has no label"),
        ('trained_on', 'sha256 = "00"\ntrained_on', "sha256 should be 00, got"),
        ("budget = 24", 'budget = 24\ncontrol = "nois"', "no control 'nois'"),
        ("trained_on", 'approximation = "lower"\ntrained_on', "did you mean 'lower_layers'"),
    ],
)  # fmt: skip
def test_bad_tasks_end_with_exit_code_2_before_any_work(
    old: str, new: str, message: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in TASK
    (own / "task.toml").write_text(TASK.replace(old, new))
    assert main(own_arguments(own)) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (own / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "ffhq"], "missing: --data and --weights"),
        (["--task", "portraits", "--data", "x"], "--data and --weights belong to --task ffhq or imagenet"),
        (["--task", "ffqh", "--budget", "40"], "did you mean 'ffhq'"),
        (["--task", "nothing.toml"], "there is no such file"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_options(["--space", "ood", *SMALL, *arguments])


def test_a_folder_without_known_domains_is_refused(originals: Path, tmp_path: Path) -> None:
    where = ["--data", str(tmp_path), "--weights", str(originals / "faces.safetensors")]
    with pytest.raises(ValueError, match="holds none of the folders ffhq, celeba, photo, art_painting"):
        read_options(["--space", "ood", "--task", "ffhq", *where])


@pytest.mark.slow
@pytest.mark.parametrize("arguments_of", [ffhq_arguments, imagenet_arguments])
def test_the_published_recipes_run_end_to_end(arguments_of, originals: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    more = ["--trials", "2", "--max-concurrent", "1", "--controls", "other_image", "--results", str(results)]
    assert main(arguments_of(originals, *more)) == 0
    rows = Ledger(results).phase_rows("reconstructions", "test", ["outcome", "domain"])
    assert {row["outcome"] for row in rows} == {"ok"}
    assert len(rows) >= 2
