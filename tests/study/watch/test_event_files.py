from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from study.search.search import Search
from study.watch.event_files import FOLDER, event_files
from study.watch.history import History
from tests.study.watch.test_status import run


def scalars(results: Path) -> dict[str, dict[int, float]]:
    """By tag and step; a step that is there twice fails."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for path in (results / FOLDER).iterdir():
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                assert event.step not in found[value.tag]
                found[value.tag][event.step] = value.tensor.float_val[0]
    return found


def test_every_trial_is_a_step_with_its_scores(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=5)
    plan.save(ledger.results)
    with event_files(ledger.results):
        run(search, plan, ledger, fails=2)
    found = scalars(ledger.results)
    assert found["improvement/psnr_db"].keys() == {0, 1, 3, 4}
    for trial in (1, 3, 4):
        assert found["improvement/psnr_db"][trial] == pytest.approx(search.improvement(trial), rel=1e-6)
        expected = 10 + 100 * search.job_of(trial)["params"]["lr_first"]
        assert found["psnr_db/photo"][trial] == pytest.approx(expected, rel=1e-6)
    assert found["outcomes/ok"][4] == 4
    assert found["outcomes/diverged"][4] == 1
    assert not [path for path in (ledger.results / FOLDER).iterdir() if os.uname().nodename in path.name]


def test_a_study_that_goes_on_doubles_nothing(plan: StudyPlan, ledger: Ledger) -> None:
    plan.save(ledger.results)
    for trials in (3, 5):
        with event_files(ledger.results):
            run(Search(plan, ledger, trials=trials), plan, ledger)
    assert scalars(ledger.results)["psnr_db/sketch"].keys() == set(range(5))
    assert len(History(ledger.results).read()) == 5


def test_writing_event_files_does_not_take_torch_into_the_driver(plan: StudyPlan, ledger: Ledger) -> None:
    plan.save(ledger.results)
    code = (
        "import sys; from pathlib import Path; from study.watch.event_files import event_files\n"
        f"with event_files(Path({str(ledger.results)!r})): pass\n"
        "assert not {'torch', 'tensorflow'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        read_options(["--space", "ood", "--tensorboard", "--dry-run"])
