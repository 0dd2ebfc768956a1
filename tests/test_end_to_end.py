"""The main job as a person runs it: real Ray, real Optuna, real Parquet, real processes killed with -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.cbook
import optuna
import pandas as pd
import psutil
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from PIL import Image

TRIALS = 9
SMALL = ["--domains", "photo,sketch", "--targets-per-domain", "6", "--test-targets-per-domain", "3", "--budget", "24"]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "study.launch", "--space", "ood", *arguments]
    # A shell's background job, which these tests may run in, passes on that Ctrl-C is ignored.
    restore = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened for two minutes"
        time.sleep(0.05)


def parts(results: Path) -> int:
    return len(list((results / "reconstructions").glob("search-*.parquet")))


def check_nothing_lost_or_doubled(results: Path, *, trials: int) -> pd.DataFrame:
    rows = pd.read_parquet(results / "reconstructions")
    search = rows[rows.phase == "search"]
    assert not search.duplicated(["trial", "target_id"]).any()
    assert search.groupby("trial").target_id.nunique().to_dict() == dict.fromkeys(range(trials), 12)
    (summary,) = optuna.get_all_study_summaries(JournalStorage(JournalFileBackend(str(results / "optuna.journal"))))
    study = optuna.load_study(
        study_name=summary.study_name, storage=JournalStorage(JournalFileBackend(str(results / "optuna.journal")))
    )
    assert [trial.number for trial in study.trials] == list(range(trials))
    assert all(trial.state.is_finished() for trial in study.trials)
    told = pd.read_parquet(results / "trials").query("phase == 'search'").set_index("trial")
    assert set(told.outcome) <= {"ok", "diverged"}
    assert len(told) == trials
    return rows


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study stopped by Ctrl-C, killed with -9, given a torn journal and a truncated part, then continued."""
    folder = tmp_path_factory.mktemp("study") / "results"
    arguments = [*SMALL, "--trials", str(TRIALS), "--results", str(folder)]

    process = start(*arguments)
    wait_for(lambda: parts(folder) >= 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in err
    assert "Traceback" not in err
    finished = {path: path.read_bytes() for path in (folder / "reconstructions").glob("*.parquet")}

    process = start(*arguments)
    wait_for(lambda: parts(folder) >= len(finished) + 3, process)
    process.kill()
    process.communicate()
    with (folder / "optuna.journal").open("ab") as journal:
        journal.write(b'{"op_code": 5, "wor')
    truncated = sorted((folder / "reconstructions").glob("search-*.parquet"))[0]
    truncated.write_bytes(truncated.read_bytes()[:-9])

    out, _ = finish(start(*arguments))
    assert f"set aside reconstructions/{truncated.name}" in out
    kept = {path: data for path, data in finished.items() if path != truncated}
    assert {path: path.read_bytes() for path in kept} == kept, "finished blocks were written again"
    (folder / "last-output.txt").write_text(out)
    return folder


def test_nothing_is_lost_or_doubled_by_kills(results: Path) -> None:
    check_nothing_lost_or_doubled(results, trials=TRIALS)


def test_all_configs_spend_the_same_budget(results: Path) -> None:
    rows = pd.read_parquet(results / "reconstructions")
    assert set(rows.gradient_evaluations) == {24}


def test_final_numbers_come_from_images_the_search_never_saw(results: Path) -> None:
    rows = pd.read_parquet(results / "reconstructions")
    test = rows[rows.phase == "test"]
    finalists = json.loads((results / "finalists.json").read_text())
    assert set(test.trial) == set(finalists.values())
    assert set(test.split) == {"test"}
    assert not set(test.target_id) & set(rows[rows.phase == "search"].target_id)
    assert (test.groupby("trial").target_id.nunique() == 6).all()


def test_the_end_says_what_was_found_and_where(results: Path) -> None:
    lines = (results / "last-output.txt").read_text().strip().splitlines()
    assert lines[-1] == f"results: {results}"
    assert any("images that the search never saw" in line for line in lines)
    assert [line.strip()[:2] for line in lines if line.strip()[:2] in {"1.", "2.", "3."}] == ["1.", "2.", "3."]


def test_figures_and_their_numbers_are_written(results: Path) -> None:
    written = {path.name for path in (results / "analysis").iterdir()}
    assert {"sensitivity.png", "sensitivity.csv", "generalization.png", "pictures.png"} <= written
    assert len(pd.read_csv(results / "analysis" / "sensitivity.csv")) > 5


def test_the_five_lines_of_pandas_in_the_readme_work(results: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    code = readme.split("```python\nimport pandas as pd\n")[1].split("```")[0]
    exec("import pandas as pd\n" + code.replace("results/ood", str(results)), {})


def test_results_name_no_machine_and_no_home(results: Path) -> None:
    for name in ("plan.json", "environment.json"):
        text = (results / name).read_text()
        assert os.uname().nodename not in text
        assert str(Path.home()) not in text
        assert str(results) not in text


def test_a_finished_study_is_extended_by_more_trials(results: Path) -> None:
    before = {path.name: path.read_bytes() for path in (results / "reconstructions").glob("search-*.parquet")}
    out, _ = finish(start(*SMALL, "--trials", str(TRIALS + 2), "--results", str(results)))
    assert f"trial {TRIALS + 2}/{TRIALS + 2}" in out
    check_nothing_lost_or_doubled(results, trials=TRIALS + 2)
    after = {path.name: path.read_bytes() for path in (results / "reconstructions").glob("search-*.parquet")}
    assert before.items() <= after.items()


@pytest.mark.slow
def test_a_persons_own_photographs_are_attacked(tmp_path: Path) -> None:
    photo = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(9):
        left, top = 40 * index, 45 * (index % 4)
        photo.crop((left, top, left + 180, top + 200)).save(folder / f"crop{index}.{'png' if index % 2 else 'jpg'}")
    results = tmp_path / "results"
    arguments = ["--images", str(folder), "--trials", "2", "--budget", "24", "--targets-per-domain", "3"]
    out, _ = finish(start(*arguments, "--test-targets-per-domain", "3", "--results", str(results)))
    rows = pd.read_parquet(results / "reconstructions")
    assert set(rows.domain) == {"user"}
    assert rows[rows.phase == "search"].target_id.nunique() == 3
    assert not set(rows[rows.phase == "search"].target_id) & set(rows[rows.phase == "test"].target_id)
    assert pd.read_parquet(results / "targets").png.isna().all(), "private originals only with --keep-targets"
    assert out.strip().splitlines()[-1] == f"results: {results}"


def test_a_second_driver_is_turned_away(tmp_path: Path) -> None:
    results = tmp_path / "results"
    first = start(*SMALL, "--trials", "2", "--results", str(results))
    wait_for(lambda: (results / "plan.json").exists(), first)
    second = start(*SMALL, "--trials", "2", "--results", str(results))
    _, err = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"in use by process {first.pid}" in err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)


@pytest.mark.slow
def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    results = tmp_path / "results"
    process = start(*SMALL, "--trials", "8", "--results", str(results))
    for count in (2, 5):
        wait_for(lambda count=count: parts(results) >= count, process)
        for pid in _workers(process.pid):
            os.kill(pid, signal.SIGKILL)
    finish(process)
    check_nothing_lost_or_doubled(results, trials=8)


@pytest.mark.slow
def test_several_configs_run_as_one_and_killed_workers_lose_nothing(tmp_path: Path) -> None:
    results = tmp_path / "results"
    frozen = ["end_layer=2", "search_layer_1=1", "restarts=1", "balls=0", "lr_last=0.1", "steps_tilt=1"]
    arguments = [*SMALL, "--configs-per-trial", "3", *(word for name in frozen for word in ("--set", name))]
    process = start(*arguments, "--trials", "9", "--results", str(results))
    wait_for(lambda: parts(results) >= 5, process)
    for pid in _workers(process.pid):
        os.kill(pid, signal.SIGKILL)
    finish(process)
    check_nothing_lost_or_doubled(results, trials=9)
    finish(start(*arguments, "--trials", "13", "--results", str(results)))
    rows = check_nothing_lost_or_doubled(results, trials=13)
    assert set(rows.gradient_evaluations) == {24}
    last = rows[(rows.phase == "search") & (rows.trial >= 10)].groupby("block").seconds
    assert (last.nunique() == 1).all(), "the last group shares its time, so it was one computation"


def _workers(driver: int) -> list[int]:
    """The trial actors of a driver's own Ray."""
    below = psutil.Process(driver).children(recursive=True)
    return [child.pid for child in below if any("AttackTrainable" in part for part in child.cmdline())]


@pytest.mark.slow
def test_a_running_cluster_of_two_nodes_is_used(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    results = tmp_path / "results"
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes.add_node(num_cpus=1)
        finish(start(*SMALL, "--trials", "3", "--address", nodes.address, "--results", str(results)))
    finally:
        nodes.shutdown()
    check_nothing_lost_or_doubled(results, trials=3)


def evaluate(results: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "study.evaluate", str(results), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_evaluation_continues_and_doubles_nothing(results: Path) -> None:
    """Everything that the full protocol runs, with one other attack, killed in the middle of every phase."""
    arguments = ["--protocol", "full", "--methods", "ig"]
    for phase in ("select", "test_other_image", "ablation"):
        process = evaluate(results, *arguments)
        wait_for(lambda phase=phase: any((results / "reconstructions").glob(f"{phase}-*")), process)
        process.kill()
        process.communicate()
    finish(evaluate(results, *arguments))
    rows = pd.read_parquet(results / "reconstructions")
    assert not rows.duplicated(["phase", "trial", "target_id"]).any()
    controls = {"test_noise_gradient", "test_other_image", "test_untrained_generator"}
    assert set(rows.phase) == {"search", "select", "test", "ablation_order", "ablation"} | controls
    assert rows.groupby("target_id").split.nunique().max() == 1, "no image is in two splits"
    finalists = json.loads((results / "finalists.json").read_text())
    assert {"published", "oracle", "observable", "oracle_photo", "oracle_sketch"} == finalists.keys()
    path = json.loads((results / "ablation.json").read_text())["steps"]
    first, last = path[0]["trial"], path[-1]["trial"]
    psnr = rows[rows.phase == "ablation"].groupby("trial").psnr_db.mean()
    tested = rows[rows.phase == "test"].groupby("trial").psnr_db.mean()
    assert psnr[first] == pytest.approx(tested[0], abs=0.2)
    assert psnr[last] == pytest.approx(tested[finalists["oracle"]], abs=0.2)
    other = pd.read_parquet(results / "methods" / "ig" / "reconstructions")
    assert set(other[other.phase == "test"].target_id) == set(rows[rows.phase == "test"].target_id)
    assert other[other.phase == "search"].trial.nunique() == rows[rows.phase == "search"].trial.nunique()
    assert set(pd.read_csv(results / "analysis" / "methods.csv").method) == {"gifd", "ig"}
