"""The check of a task file: real samples, real iterations, and exit code 2 for what must be mended."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from study.task.check import main
from tests.study.task.test_own_task import TASK, VICTIM


def test_a_sound_task_is_shown_measured_and_estimated(originals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (originals / "task.toml").write_text(TASK + 'labels = "given"\n')
    (originals / "own_victim.py").write_text(VICTIM)
    output = originals / "shown"
    output.mkdir()
    assert main(["check", str(originals / "task.toml"), "--output", str(output), "--trials", "8"]) == 0
    said = capsys.readouterr().out
    for words in (
        "generator stylegan2: 5 layers",
        "victim own_victim:small: 2 layers",
        "domain faces (the generator's",
    ):
        assert words in said
    assert "s per iteration of 2 targets" in said
    assert "a study of 8 trials, budget 24" in said
    with Image.open(output / "task-samples.png") as samples, Image.open(output / "task-pictures.png") as pictures:
        assert samples.size == (8 * 32, 32)
        assert pictures.size == (2 * 32, 32)
    assert {path.name for path in output.iterdir()} == {"task-samples.png", "task-pictures.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none.toml"], "there is no such file"),
        (["check", "portraits"], "portraits is built in, so there is nothing to check"),
        (["check", "portraits", "--output", "nowhere"], "--output needs a folder that exists"),
    ],
)
def test_what_cannot_be_checked_ends_with_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
